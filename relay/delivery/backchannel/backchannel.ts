import type { Deliverer, DelivererPorts, DeliveryKind } from '../port.ts'
import { judgeNotMinted, judgeToken } from './judge.ts'
import { examine } from './probe.ts'
import { Refusals } from './refusals.ts'
import { type Send, sender } from './send.ts'
import { ALG, KIND, named, owed } from './target.ts'

/** A logout token, sent straight to the relying party (OpenID Connect Back-Channel Logout 1.0). */
export const backchannel: DeliveryKind = {
  kind: KIND,
  named,
  open: ({ post, ...ports }) => openBackchannel({ ...ports, send: sender(post) }),
}

/** The same with another way to send a token. */
export function openBackchannel(ports: Omit<DelivererPorts, 'post'> & { readonly send: Send }): Deliverer {
  const { send, nowMs, giveUpUnknownMs = Infinity } = ports
  const refusals = new Refusals(ports)
  return {
    owed,
    isMadeHere: ({ target, attempts }) => target[ALG] !== undefined && attempts === 0,
    mint: (maker, deliveries) => maker.mint(deliveries),
    notMinted: judgeNotMinted,
    send: ({ uri }, token, policy) => send(uri, token, policy),
    judge: async (sent) => {
      const standing = await refusals.standing(sent)
      const owedForMs = nowMs() - sent.delivery.createdMs
      return judgeToken(sent.answer, sent.names, standing, owedForMs >= giveUpUnknownMs)
    },
    probe: (party, policy, genuine) => examine(party, policy, send, nowMs(), genuine),
  }
}
