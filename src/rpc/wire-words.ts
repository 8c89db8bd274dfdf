/** The domain's words and the wire's, for what more than one service speaks of. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Timestamp } from '@bufbuild/protobuf/wkt'
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt'
import type { ReceiptSchema, SignatureSchema } from '../../gen/countersign/v1/common_pb.ts'
import { KeyType as WireKeyType } from '../../gen/countersign/v1/common_pb.ts'
import { encodeBase58 } from '../domain/base58.ts'
import { failure, invalidField } from '../domain/failure.ts'
import type { KeyType, ReceiptView, Signature } from './use-cases.ts'

/** Both directions of a one-to-one table between words. */
export const bothWays = <Word extends string, Wire extends number>(toWire: { readonly [W in Word]: Wire }) => {
  const words = new Map<number, Word>()
  for (const word of Object.keys(toWire) as Word[]) words.set(toWire[word], word)
  return {
    toWire: (word: Word): Wire => toWire[word],
    /** Undefined for the wire's "not stated", and for what this version does not know. */
    fromWire: (wire: number): Word | undefined => words.get(wire),
  }
}

/** The message's rules require the choice, so this is never met. */
export const nothingChosen = (field: string) =>
  invalidField(field, 'exactly one field is required in oneof')

export const keyTypes = bothWays<KeyType, WireKeyType>({
  secp256k1: WireKeyType.SECP256K1,
  ed25519: WireKeyType.ED25519,
})

export const toTimestamp = (timeMs: number): Timestamp => timestampFromMs(timeMs)

/** A member that is absent where there is no time. */
export const optionalTimestamp = <Name extends string>(name: Name, timeMs: number | undefined) =>
  (timeMs === undefined ? {} : { [name]: timestampFromMs(timeMs) }) as { [N in Name]?: Timestamp }

export const fromTimestamp = (timestamp: Timestamp | undefined): number | undefined =>
  timestamp === undefined ? undefined : timestampMs(timestamp)

/** What is signed or sealed under a time holds whole milliseconds, so a finer one could not be the one that was meant. */
export const readExpiry = (expireTime: Timestamp | undefined): number => {
  const { seconds, nanos } = expireTime ?? { seconds: 0n, nanos: 0 }
  const ms = Number(seconds) * 1_000 + nanos / 1_000_000
  if (Number.isSafeInteger(ms) && ms >= 0) return ms
  const violations = [{ field: 'expire_time', description: 'is a time in whole milliseconds' }]
  throw failure('INVALID_REQUEST', { violations })
}

/** On the wire, empty text is absent text. */
export const orAbsent = (text: string): string | undefined => (text === '' ? undefined : text)

export const toWireSignature = (signature: Signature): MessageInitShape<typeof SignatureSchema> => {
  if ('raw' in signature) return { raw: signature.raw, base58: encodeBase58(signature.raw) }
  const { r, s, yParity } = signature
  const v = 27 + yParity
  const raw = Buffer.concat([r, s, Uint8Array.of(v)])
  return { r, s, v, yParity, raw: new Uint8Array(raw), hex: `0x${raw.toString('hex')}` }
}

export const toWireReceipt = ({
  sequence,
  hash,
  signature,
  keyId,
}: ReceiptView): MessageInitShape<typeof ReceiptSchema> => ({
  sequence,
  hash,
  signature,
  keyId,
})
