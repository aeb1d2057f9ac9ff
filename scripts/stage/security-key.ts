import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'

/** The fields of Keycloak's page on which a security key is registered, as a browser with a key in it fills them. */
export function newSecurityKey(page: { readonly text: string; readonly url: string }): Record<string, string> {
  const given = (name: string) => new RegExp(`${name} : "([^"]*)"`).exec(page.text)?.[1] ?? ''
  const clientData = {
    type: 'webauthn.create',
    challenge: given('challenge'),
    origin: new URL(page.url).origin,
    crossOrigin: false,
  }
  const id = randomBytes(16)
  const attestation = map([
    [text('fmt'), text('none')],
    [text('attStmt'), map([])],
    [text('authData'), bytes(authenticatorData(given('rpId'), id))],
  ])
  return {
    clientDataJSON: Buffer.from(JSON.stringify(clientData)).toString('base64url'),
    attestationObject: attestation.toString('base64url'),
    publicKeyCredentialId: id.toString('base64url'),
    authenticatorLabel: 'a key',
  }
}

/** Web Authentication §6.1: the user was there and verified, and this is the new credential. */
function authenticatorData(rpId: string, id: Buffer): Buffer {
  const [flags, counter, model] = [Buffer.of(0x45), Buffer.alloc(4), Buffer.alloc(16)]
  const idLength = Buffer.of(0, id.length)
  return Buffer.concat([createHash('sha256').update(rpId).digest(), flags, counter, model, idLength, id, es256Key()])
}

/** RFC 9053 §7.1.1. */
function es256Key(): Buffer {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const coordinate = (value: string) => bytes(Buffer.from(value, 'base64url'))
  const [one, two, three, minusOne, minusTwo, minusThree, es256] = [1, 2, 3, -1, -2, -3, -7].map(whole)
  return map([
    [one, two],
    [three, es256],
    [minusOne, one],
    [minusTwo, coordinate(x)],
    [minusThree, coordinate(y)],
  ])
}

// CBOR (RFC 8949 §3), as much as a credential needs: the major type in the upper three bits, then the length or value.
function head(major: number, value: number): Buffer {
  return value < 24 ? Buffer.of((major << 5) | value) : Buffer.of((major << 5) | 24, value)
}
const whole = (value: number) => (value < 0 ? head(1, -1 - value) : head(0, value))
const text = (value: string) => Buffer.concat([head(3, value.length), Buffer.from(value)])
const bytes = (value: Buffer) => Buffer.concat([head(2, value.length), value])
const map = (entries: readonly (readonly (Buffer | undefined)[])[]) =>
  Buffer.concat([head(5, entries.length), ...entries.flat().flatMap((part) => part ?? [])])
