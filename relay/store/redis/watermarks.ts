import type { WatermarkLog } from '../watermark-log.ts'
import type { Read } from './reads.ts'
import { watermarkOf } from './rows.ts'
import { PREFIX, type Script } from './scripts.ts'

/** The watermarks on Redis. */
export function watermarksOn(script: Script, read: Read): WatermarkLog {
  return {
    watermarks: async (issuer, after, limit) => {
      const flat = (await script('watermarks', issuer, after, limit)) as string[]
      return Array.from({ length: flat.length / 3 }, (_, n) => {
        const [name = '', seq, times = ''] = flat.slice(3 * n, 3 * n + 3)
        return { ...watermarkOf(name, times), seq: Number(seq) }
      })
    },

    watermarksOf: (issuer, sub, sid, clientId) =>
      read(async (client) => {
        const names = [
          `sub ${sub}`,
          ...(sid === undefined ? [] : [`sid ${sid}`, `kept ${sid}`]),
          ...(clientId === undefined ? [] : [`client ${clientId}`]),
        ]
        const times = await client.hmGet(`${PREFIX}watermark:${issuer}`, names)
        return names.flatMap((name, n) => (times[n] == null ? [] : watermarkOf(name, times[n])))
      }),
  }
}
