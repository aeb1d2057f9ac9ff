import { REVOCATION } from '../../domain/provider.ts'
import type { DeliveryKind } from '../port.ts'
import { judge, judgeNotMinted } from './judge.ts'
import { examine } from './probe.ts'
import { mint, send } from './request.ts'

/**
 * A request to an identity provider that everything of a user there be ended (Global Token Revocation,
 * draft-parecki-oauth-global-token-revocation). Where it goes is in relay.yaml alone, whom it names is the realm's to say.
 */
export const globalTokenRevocation: DeliveryKind = {
  kind: REVOCATION,
  named: () => ({ kind: REVOCATION }),
  open: ({ post, wayTo = () => undefined }) => ({
    owed: (target) => target,
    isMadeHere: () => false,
    mint: (maker, deliveries) => mint(maker, deliveries, wayTo),
    notMinted: judgeNotMinted,
    send: (target, request, policy) => send(post, target.uri, request, policy),
    judge: ({ answer }) => Promise.resolve(judge(answer)),
    probe: (party, policy) => examine(party, policy, post),
  }),
}
