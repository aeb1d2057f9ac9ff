/**
 * A single-page app: authorization code flow with PKCE (RFC 7636), tokens in the memory of this page and nowhere else. It
 * asks its API again and again; when the API refuses, it does what the refusal says: a fresh login (RFC 9470), or one
 * refresh and then a fresh login (RFC 6750).
 */
const { issuer, clientId, api, everyMs } = await (await fetch('settings.json')).json()
const endpoints = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
const here = `${location.origin}/`
const [says, list, button] = ['says', 'orders', 'log-in'].map((id) => document.getElementById(id))
let tokens

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (c) => ({ '+': '-', '/': '_', '=': '' })[c])
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))

function show(state, text) {
  document.body.dataset.state = state
  says.textContent = text
  button.hidden = state !== 'out'
}

/** @param more what the login must be: `max_age`, `acr_values`, `prompt` */
async function logIn(more = {}) {
  tokens = undefined
  show('leaving', 'To the login …')
  const [state, verifier] = [random(), random()]
  sessionStorage.setItem('login', JSON.stringify({ state, verifier }))
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  const request = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: here,
    scope: 'openid',
    state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
    ...more,
  }
  location.assign(`${endpoints.authorization_endpoint}?${new URLSearchParams(request)}`)
}

/** Back from the login: the code counts only for who began it, here (`state`), with this issuer (RFC 9207). */
async function comeBack(answer) {
  const { state, verifier } = JSON.parse(sessionStorage.getItem('login') ?? '{}')
  sessionStorage.removeItem('login')
  history.replaceState(null, '', here)
  const iss = answer.get('iss') ?? issuer
  return (
    state !== undefined &&
    answer.get('state') === state &&
    iss === issuer &&
    (await getTokens({
      grant_type: 'authorization_code',
      code: answer.get('code') ?? '',
      redirect_uri: here,
      code_verifier: verifier,
    }))
  )
}

async function getTokens(grant) {
  const body = new URLSearchParams({ client_id: clientId, ...grant })
  const answer = await fetch(endpoints.token_endpoint, { method: 'POST', body })
  tokens = answer.ok ? await answer.json() : undefined
  return answer.ok
}

async function getOrders({ mayRefresh = true } = {}) {
  const answer = await fetch(`${api}/orders`, { headers: { authorization: `Bearer ${tokens.access_token}` } })
  if (answer.ok) {
    const { orders } = await answer.json()
    show('in', 'You are logged in.')
    list.replaceChildren(...orders.map((text) => Object.assign(document.createElement('li'), { textContent: text })))
    return
  }
  list.replaceChildren()
  if (answer.status !== 401) {
    show('waiting', 'The orders cannot be had now.')
    return
  }
  const challenge = answer.headers.get('www-authenticate') ?? ''
  const { error, max_age, acr_values } = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  )
  if (error === 'insufficient_user_authentication') {
    await logIn({ max_age, ...(acr_values === undefined ? {} : { acr_values }) })
  } else if (
    mayRefresh &&
    (await getTokens({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token ?? '' }))
  ) {
    await getOrders({ mayRefresh: false })
  } else {
    await logIn({ prompt: 'login' })
  }
}

async function follow() {
  while (tokens) {
    await getOrders().catch(() => show('waiting', 'The orders cannot be had now.'))
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

button.addEventListener('click', () => void logIn())
const query = new URLSearchParams(location.search)
if (!query.has('state')) {
  show('out', 'Log in to see your orders.')
} else if (await comeBack(query)) {
  await follow()
} else {
  show('out', 'The login did not succeed.')
}
