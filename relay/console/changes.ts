import { html } from 'hono/html'
import { weakens } from '../domain/change.ts'
import { many } from '../text.ts'
import { type Html, instant, partyHref } from './layout.ts'
import type { NameOf } from './names.ts'
import type { ConsolePorts } from './ports.ts'
import { CHANGES } from './words.ts'

const PAGE = 50

/** Who changed what of what could keep an attacker in, newest first. */
export async function changesPage(
  { store }: Pick<ConsolePorts, 'store'>,
  issuer: string,
  before: number | undefined,
  nameOf: NameOf,
): Promise<Html> {
  const found = await store.changes(issuer, PAGE, before)
  const last = found.length === PAGE ? found.at(-1)?.seq : undefined
  return html`<h1>Changes</h1>
    <p class="meta">
      What could keep an attacker in, whoever changed it, and what took such a change back. What is changed in the realm
      is seen within a minute; by whom, the realm’s admin events say. A red point marks what is weaker.
    </p>
    ${found.length === 0 ? html`<p class="empty">None${before === undefined ? ' so far' : ' before that'}.</p>` : ''}
    <ol class="story changes">
      ${found.map(({ kind, atMs, clientId, by, reason, data }) => {
        const count = data['count']
        return html`<li class="${weakens(kind) ? 'given-up' : 'confirmed'}">
          <span class="at">${instant(atMs)}</span>
          <span class="what">
            <strong>${CHANGES[kind]}</strong
            >${clientId === undefined ? '' : html`: <a href="${partyHref(clientId)}">${clientId}</a>`}${
              typeof count === 'number' ? `, ${many(count, 'session')}` : ''
            }
            ${difference(data)}
            <small
              >${by === undefined ? (kind.startsWith('settings_') ? 'in relay.yaml' : 'in the realm') : html`by ${nameOf(by)}`}${reason === undefined ? '' : `: “${reason}”`}</small
            >
          </span>
        </li>`
      })}
    </ol>
    ${last === undefined ? '' : html`<p><a class="button quiet" href="/console/changes?before=${last}">Older</a></p>`}`
}

function difference(data: Readonly<Record<string, string | number>>): Html | '' {
  const { setting, was, is, logout_uri, check } = data
  const letGo = data['directory'] ?? data['upstream'] ?? data['signed_out_at']
  if (letGo !== undefined) {
    return html`<small><code>${letGo}</code></small>`
  }
  if (logout_uri !== undefined) {
    return html`<small><code>${logout_uri}</code>${check === 'failed' ? ', although it failed the check' : ''}</small>`
  }
  if (was === undefined && is === undefined) {
    return ''
  }
  return html`<small
    >${setting === undefined ? '' : html`<code>${setting}</code>: `}${was === undefined ? '' : html`<code>${was}</code>`}
    ${is === undefined ? '' : html`→ <code>${is}</code>`}</small
  >`
}
