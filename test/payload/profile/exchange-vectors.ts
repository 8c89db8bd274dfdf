import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sign } from 'viem/accounts'
import { recoverAddress } from 'viem/utils'
import { toHex } from '../../../src/payload/bytes.ts'
import type { SignedRequest, SigningStep } from '../../../src/payload/profile/loaded-profile.ts'

/** One entry of test/vectors/exchange; the README there says what its provenance means. */
export type ExchangeVector = {
  readonly name: string
  readonly kind: string
  readonly provenance: string
  readonly privateKey?: `0x${string}`
  // Each kind has fields of its own.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the vectors are data of other people
  readonly input: any
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the vectors are data of other people
  readonly expected: any
  readonly digest?: `0x${string}`
  readonly signature?: { readonly r: string; readonly s: string; readonly v: number } | string
  readonly verified: boolean | 'n/a'
}

const FOLDER = join(import.meta.dirname, '../../vectors/exchange')

export const readVectors = (venue: string): readonly ExchangeVector[] =>
  (JSON.parse(readFileSync(join(FOLDER, `${venue}.json`), 'utf8')) as { vectors: ExchangeVector[] }).vectors

/** For `it.each` with `%s`, which prints a name in full. */
export const byName = (vectors: readonly ExchangeVector[]): (readonly [title: string, vector: ExchangeVector])[] =>
  vectors.map((vector) => [`${vector.name} [${vector.provenance}]`, vector])

/** A step, or a failure of the test: the flow ended without a signature. */
export const asStep = (result: SigningStep | SignedRequest): SigningStep => {
  if (result.kind !== 'sign') throw new Error('the flow signs nothing')
  return result
}

export const asDone = (result: SigningStep | SignedRequest): SignedRequest => {
  if (result.kind !== 'done') throw new Error('the flow wants another signature')
  return result
}

const signatureHex = ({ r, s, v }: { r: string; s: string; v: number }): `0x${string}` =>
  `0x${r.slice(2).padStart(64, '0')}${s.slice(2).padStart(64, '0')}${v.toString(16)}`

/** r ‖ s ‖ v under RFC 6979, as every library here makes it. */
export const signWith = async (privateKey: `0x${string}`, digest: Uint8Array): Promise<Uint8Array> => {
  const { r, s, v } = await sign({ hash: toHex(digest), privateKey })
  return new Uint8Array(Buffer.from(signatureHex({ r, s, v: Number(v) }).slice(2), 'hex'))
}

/** The signature a vector expects, of those that have r, s and v or one text. */
export const expectedSignature = ({ expected }: ExchangeVector): string =>
  typeof expected.signature === 'string' ? expected.signature : signatureHex(expected)

/** The signer of a digest, lower case. */
export const recoverLower = async (digest: Uint8Array, signature: ExchangeVector['signature']): Promise<string> => {
  const hex = typeof signature === 'object' ? signatureHex(signature) : (signature as `0x${string}`)
  return (await recoverAddress({ hash: toHex(digest), signature: hex })).toLowerCase()
}
