import { html } from 'hono/html'
import { csrf, type Html } from './layout.ts'
import type { Session } from './sessions.ts'
import { sentence } from './words.ts'

/** The form for a new one; after a check that failed, with what was found and the choice to register it all the same. */
export function registerPage(
  session: Session,
  given: { readonly clientId: string; readonly logoutUri: string; readonly reason: string },
  problem: { readonly says: string; readonly canInsist: boolean } | undefined,
): Html {
  return html`<p class="back"><a href="/console/relying-parties">Relying parties</a></p>
    <h1>Register a relying party</h1>
    <p class="meta">
      For a client that cannot be given a <em>Backchannel logout URL</em> in the realm. Where the realm or relay.yaml
      names one, that one counts. It is checked first: it is sent tokens that it must refuse, and some that it must
      take.
    </p>
    ${problem ? html`<p class="alarm" role="alert"><strong>Not registered.</strong> ${sentence(problem.says)}</p>` : ''}
    <form method="post" action="/console/relying-parties/register" class="card fields">
      ${csrf(session)}
      <label
        >Client id <input name="client_id" value="${given.clientId}" maxlength="255" required autocomplete="off"
      /></label>
      <label
        >Back-channel logout URL
        <input
          name="backchannel_logout_uri"
          value="${given.logoutUri}"
          maxlength="2000"
          required
          inputmode="url"
          placeholder="https://wiki.example.org/backchannel-logout"
          autocomplete="off"
      /></label>
      <label
        >Reason <input name="reason" value="${given.reason}" minlength="3" maxlength="500" required autocomplete="off"
      /></label>
      ${
        problem?.canInsist === true
          ? html`<label class="tick"
              ><input type="checkbox" name="despite_check" value="true" />Register it all the same</label
            >`
          : ''
      }
      <p><button>Check and register</button></p>
    </form>`
}
