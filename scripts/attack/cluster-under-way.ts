import type { Browser, Page } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import type { Node } from '../stage/nodes.ts'
import { until } from '../stage/process.ts'
import { CIBA_APP, type Cluster, REDIRECT_URI } from './cluster-world.ts'

/** Goes on with what was begun before the reset; answers what came of it that is alive. */
export type GoOn = () => Promise<string[]>

const authorization = ({ url }: Node, realm: string, clientId: string) =>
  `${url}/realms/${realm}/protocol/openid-connect/auth?${new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: REDIRECT_URI,
    scope: 'openid',
  }).toString()}`

/** All that somebody with the password and the mailbox can begin and finish later, at each node. */
export async function beginAll(nodes: readonly Node[], cluster: Cluster, realm: string, name: string): Promise<GoOn[]> {
  const atOnce = nodes.flatMap((node) => [beginCode(node, realm, name), beginConsent(node, realm, name)])
  const begun = await Promise.all(atOnce)
  for (const node of nodes) {
    begun.push(await beginApproval(node, cluster, realm, name))
  }
  // Last: a link counts from the second in which it was mailed.
  for (const node of nodes) {
    begun.push(await beginLink(node, cluster, realm, name))
  }
  return begun
}

async function logIn(browser: Browser, node: Node, realm: string, name: string, clientId: string): Promise<Page> {
  const page = await browser.open(authorization(node, realm, clientId), REDIRECT_URI)
  return browser.submit(page, { username: name, password: 'password' }, REDIRECT_URI)
}

/** Whether the code that the page has ended with gives tokens. */
async function redeems({ url }: Page, node: Node, realm: string, clientId: string): Promise<boolean> {
  const code = url.startsWith(REDIRECT_URI) ? new URL(url).searchParams.get('code') : null
  const form = { grant_type: 'authorization_code', client_id: clientId, redirect_uri: REDIRECT_URI, code: code ?? '' }
  return code !== null && (await node.tokens(realm).ask(form)).status === 200
}

/** A code that is not redeemed, and the single sign-on of the browser that it was given to. */
async function beginCode(node: Node, realm: string, name: string): Promise<GoOn> {
  const browser = node.browser()
  const page = await logIn(browser, node, realm, name, 'flows-app')
  if (!page.url.startsWith(REDIRECT_URI)) {
    throw new Error(`No code at node ${node.name}, but ${page.status} at ${page.url}`)
  }
  return async () => {
    const lives = (await redeems(page, node, realm, 'flows-app')) ? [`a code at ${node.name}`] : []
    const again = await browser.open(authorization(node, realm, 'flows-app'), REDIRECT_URI)
    return again.url.startsWith(REDIRECT_URI) ? [...lives, `single sign-on at ${node.name}`] : lives
  }
}

/** A login that stands behind the password, at the page that asks for consent. */
async function beginConsent(node: Node, realm: string, name: string): Promise<GoOn> {
  const browser = node.browser()
  const page = await logIn(browser, node, realm, name, 'consent-app')
  if (!page.text.includes('name="accept"')) {
    throw new Error(`No page for consent at node ${node.name}, but ${page.status} at ${page.url}`)
  }
  return async () => {
    const end = await browser.submit(page, { accept: 'Yes' }, REDIRECT_URI)
    return (await redeems(end, node, realm, 'consent-app')) ? [`a login under way at ${node.name}`] : []
  }
}

/** A mailed link for a forgotten password, by which one would set a password of one's own. */
async function beginLink(node: Node, { mail }: Cluster, realm: string, name: string): Promise<GoOn> {
  const browser = node.browser()
  const address = `${name}@example.org`
  const before = mail.linkFor(address)
  const page = await browser.open(authorization(node, realm, 'flows-app'), REDIRECT_URI)
  const forgotten = /href="([^"]*reset-credentials[^"]*)"/.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
  await browser.submit(await browser.open(new URL(forgotten, page.url).href), { username: name })
  await until('the mail has come', () => mail.linkFor(address) !== before, { seconds: 20 })
  const link = mail.linkFor(address) ?? ''
  return async () => {
    const opened = await node.browser().open(link)
    return opened.text.includes('name="password-new"') ? [`a mailed link at ${node.name}`] : []
  }
}

/** A login that was approved on another device (CIBA Core 1.0), and whose tokens are not fetched. */
async function beginApproval(node: Node, { ciba }: Cluster, realm: string, name: string): Promise<GoOn> {
  const before = ciba.said()
  const form = { ...CIBA_APP, scope: 'openid', login_hint: name }
  const url = `${node.url}/realms/${realm}/protocol/openid-connect/ext/ciba/auth`
  const answer = await call<{ auth_req_id: string }>('POST', url, { form })
  if (answer.status !== 200) {
    throw new Error(`Node ${node.name} takes no request for an approval: ${answer.status} ${answer.text}`)
  }
  await until('the device has said yes', () => ciba.said() > before)
  const request = {
    ...CIBA_APP,
    grant_type: 'urn:openid:params:grant-type:ciba',
    auth_req_id: answer.json().auth_req_id,
  }
  return async () => ((await node.tokens(realm).ask(request)).status === 200 ? [`an approval at ${node.name}`] : [])
}
