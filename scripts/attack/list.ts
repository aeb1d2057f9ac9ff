import { ACCOUNT_LINK } from './account-link.ts'
import { ADMIN_API } from './admin-api.ts'
import { ASSERTION } from './assertion.ts'
import type { Attack } from './attack.ts'
import { BROKER } from './broker.ts'
import { CONSENT } from './consent.ts'
import { FIRST_LOGIN } from './first-login.ts'
import { GRANTS } from './grants.ts'
import { IMPERSONATION } from './impersonation.ts'
import { INVITATION } from './invitation.ts'
import { MAILED_LINKS } from './mailed-links.ts'
import { MANY_SESSIONS } from './many-sessions.ts'
import { OLD_PASSWORD } from './old-password.ts'
import { OPERATOR_TOKEN } from './operator.ts'
import { OWN_CHANGE } from './own-change.ts'
import { REQUIRED_ACTIONS } from './required-actions.ts'
import { SHARED_BROWSER } from './shared-browser.ts'
import { STORMS } from './storm.ts'
import { UMA } from './uma.ts'
import { UPDATE_EMAIL } from './update-email.ts'
import { WORKFLOW } from './workflow.ts'

/** Every attack on one server. A new one is an object in the file of its family; a new family is a line here. */
export const ATTACKS: readonly Attack[] = [
  ...UPDATE_EMAIL,
  ...BROKER,
  ...FIRST_LOGIN,
  ...OWN_CHANGE,
  ...ASSERTION,
  ...ACCOUNT_LINK,
  ...GRANTS,
  ...IMPERSONATION,
  ...ADMIN_API,
  ...REQUIRED_ACTIONS,
  ...CONSENT,
  ...MAILED_LINKS,
  ...INVITATION,
  ...UMA,
  ...SHARED_BROWSER,
  ...WORKFLOW,
  ...OPERATOR_TOKEN,
  ...OLD_PASSWORD,
  ...STORMS,
  // Last, since a server that is slow at it is slow at all that comes after.
  ...MANY_SESSIONS,
]
