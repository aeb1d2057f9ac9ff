import { html } from 'hono/html'
import type { Session } from './sessions.ts'

export type Html = ReturnType<typeof html>

const PAGES = [
  ['', 'Now'],
  ['/containments', 'Containments'],
  ['/deliveries', 'Open deliveries'],
  ['/relying-parties', 'Relying parties'],
  ['/coverage', 'Coverage'],
  ['/changes', 'Changes'],
  ['/settings', 'Settings'],
] as const

/** The frame of every page. `live` names the part that the stream keeps up to date; without JavaScript it is loaded anew. */
export function page(
  { session, path, title, live = false }: { session?: Session; path: string; title: string; live?: boolean },
  body: Html,
  above: Html | '' = '',
): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} · Logout Relay</title>
        <link rel="icon" href="/console/assets/icon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/console/assets/console.css" />
        <script src="/console/assets/console.js" defer></script>
        ${live ? html`<noscript><meta http-equiv="refresh" content="5" /></noscript>` : ''}
      </head>
      <body>
        <a class="skip" href="#main">To the content</a>
        <header class="top">
          <a class="brand" href="/console"
            ><img src="/console/assets/icon.svg" alt="" width="28" height="28" />Logout Relay</a
          >
          ${
            session
              ? html`<nav aria-label="Pages">
                    ${PAGES.map(
                      ([at, name]) =>
                        html`<a href="/console${at}" ${at === path ? html`aria-current="page"` : ''}>${name}</a>`,
                    )}
                  </nav>
                  <form class="who" method="post" action="/console/logout">
                    <span>${session.name}</span>${csrf(session)}<button class="quiet">Log out</button>
                  </form>`
              : ''
          }
        </header>
        ${live ? html`<p class="alarm stale" role="alert" hidden></p>` : ''}
        <main id="main" tabindex="-1" ${live ? html`data-live="/console/live"` : ''}>${above}${body}</main>
      </body>
    </html>`
}

export function csrf(session: Session): Html {
  return html`<input type="hidden" name="csrf" value="${session.csrf}" />`
}

/** Where somebody goes from a message. */
export interface Way {
  readonly href: string
  readonly text: string
}
const TO_THE_CONSOLE: Way = { href: '/console', text: 'To the console' }

/** A page with nothing but a message, for whatever went wrong. */
export function notice(title: string, says: string, session?: Session, way: Way = TO_THE_CONSOLE): Html {
  return page(
    { ...(session ? { session } : {}), path: 'notice', title },
    html`<section class="notice">
      <h1>${title}</h1>
      <p>${says}</p>
      <p><a class="button" href="${way.href}">${way.text}</a></p>
    </section>`,
  )
}

/** An instant as people read it, exact to the second in UTC: operators sit in several time zones. */
export function instant(ms: number): Html {
  const iso = new Date(ms).toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC</time>`
}

/** A message after an act, for who made it. */
export function done(says: string | undefined): Html | '' {
  return says === undefined ? '' : html`<p class="done" role="status">${says}</p>`
}

export function reasonField(label = 'Reason'): Html {
  return html`<label>${label} <input name="reason" minlength="3" maxlength="500" autocomplete="off" required /></label>`
}

export function partyHref(clientId: string): string {
  return `/console/relying-party?client_id=${encodeURIComponent(clientId)}`
}
