/**
 * The first share of a delegate as text (docs/protocol.md §13): what Dynamic's receivers call a keyShare, JSON of
 * `{"pubkey": <public key, hex>, "secretShare": "cs1:" + base64url(layout)}`. The layout is
 *
 *   version 1 ‖ u8 alg ‖ walletId 16 ‖ idG 32 ‖ idD 32 ‖ linkId 16 ‖ PK ‖ X_G0 ‖ X_D0 ‖ cc 32 ‖ x_G0 32
 *
 * so that everything the delegate has to hold the granting daemon to is inside. The text is made and read as bytes: a
 * string could not be wiped.
 */
import { groupOf } from '../curve/group.ts'
import { decompress } from '../curve/secp256k1.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1 } from '../dkls23/suite.ts'
import { ascii, concatBytes, equalBytes, secretBytes, u8 } from '../hash/encoding.ts'
import { isZeroScalar } from '../kernel/scalar.ts'

export type DelegatedShare = {
  readonly alg: Alg
  /** Of the wallet that delegate and daemon share, 16 bytes. */
  readonly walletId: Uint8Array
  /** Party ids of the delegate and of the granting daemon, 32 bytes. */
  readonly idG: Uint8Array
  readonly idD: Uint8Array
  /** The link between the two, C the delegate and S the daemon, 16 bytes. */
  readonly linkId: Uint8Array
  /** Points as the engine encodes them: 33 bytes SEC1 compressed, of Ed25519 32. */
  readonly publicKey: Uint8Array
  readonly pointG: Uint8Array
  readonly pointD: Uint8Array
  readonly chainCode: Uint8Array
  /** x_G0, 32 bytes little-endian. Secret. */
  readonly share: Uint8Array
}

const VERSION = 1
const MARK = 'cs1:'
const FIXED_BYTES = 2 + 16 + 32 + 32 + 16 + 32 + 32

const PUBKEY_KEY = ascii('{"pubkey":"')
const SHARE_KEY = ascii(`","secretShare":"${MARK}`)
const END = ascii('"}')

/** The public key as wallets show it, in hex: secp256k1 130 digits beginning 04, Ed25519 64. */
const shownKey = ({ alg, publicKey }: Pick<DelegatedShare, 'alg' | 'publicKey'>): string =>
  Buffer.from(alg === ALG_ED25519 ? publicKey : decompress(publicKey)).toString('hex')

/** The text as UTF-8, which the caller wipes, and seals before. */
export const encodeDelegatedShare = (share: DelegatedShare): Uint8Array => {
  const layout = concatBytes(
    Uint8Array.of(VERSION),
    u8(share.alg),
    share.walletId,
    share.idG,
    share.idD,
    share.linkId,
    share.publicKey,
    share.pointG,
    share.pointD,
    share.chainCode,
    share.share,
  )
  if (layout.length !== layoutBytes(share.alg)) throw new RangeError('a value of a delegated share has another length')
  const encoded = toBase64url(layout)
  try {
    return concatBytes(PUBKEY_KEY, ascii(shownKey(share)), SHARE_KEY, encoded, END)
  } finally {
    layout.fill(0)
    encoded.fill(0)
  }
}

/** `foreign`: a keyShare, but none of ours. `malformed`: no keyShare at all, or one of ours that does not hold together. */
export type ReadShare =
  | { readonly kind: 'own'; readonly share: DelegatedShare }
  | { readonly kind: 'foreign' }
  | { readonly kind: 'malformed' }

const MALFORMED = { kind: 'malformed' } as const

/**
 * Reads a keyShare: its points are valid and different, x_G0 opens X_G0, X_G0 + X_D0 = PK, and `pubkey` is that PK. The
 * caller wipes the share, and the text. For Ed25519 after `ed25519Ready`.
 */
export const decodeDelegatedShare = (text: Uint8Array): ReadShare => {
  const parts = partsOf(text)
  if (parts === undefined || parts === 'foreign') return parts === undefined ? MALFORMED : { kind: 'foreign' }
  const layout = fromBase64url(parts.encoded)
  if (layout === undefined) return MALFORMED
  try {
    const share = readLayout(layout)
    if (share === undefined) return MALFORMED
    if (parts.pubkey.toLowerCase() === shownKey(share)) return { kind: 'own', share }
    share.share.fill(0)
    return MALFORMED
  } finally {
    layout.fill(0)
    parts.encoded.fill(0)
  }
}

const layoutBytes = (alg: Alg): number => FIXED_BYTES + 3 * groupOf(alg).pointBytes

const readLayout = (layout: Uint8Array): DelegatedShare | undefined => {
  const [version, alg] = layout
  if (version !== VERSION || (alg !== ALG_SECP256K1 && alg !== ALG_ED25519)) return undefined
  if (layout.length !== layoutBytes(alg)) return undefined
  const { pointBytes } = groupOf(alg)
  let at = 2
  const take = (length: number): Uint8Array => layout.slice(at, (at += length))
  const [walletId, idG, idD, linkId] = [take(16), take(32), take(32), take(16)]
  const [publicKey, pointG, pointD] = [take(pointBytes), take(pointBytes), take(pointBytes)]
  const chainCode = take(32)
  const share = secretBytes(32)
  share.set(layout.subarray(at))
  const read: DelegatedShare = { alg, walletId, idG, idD, linkId, publicKey, pointG, pointD, chainCode, share }
  if (holdsTogether(read)) return read
  share.fill(0)
  return undefined
}

const holdsTogether = ({ alg, publicKey, pointG, pointD, share }: DelegatedShare): boolean => {
  const group = groupOf(alg)
  if (![publicKey, pointG, pointD].every((point) => group.isPoint(point)) || equalBytes(pointG, pointD)) return false
  if (!group.isCanonicalScalar(share) || isZeroScalar(share)) return false
  const sum = group.addPoints([pointG, pointD])
  return sum !== undefined && equalBytes(sum, publicKey) && equalBytes(group.mulBase(share), pointG)
}

type Parts = { readonly pubkey: string; readonly encoded: Uint8Array }

/** Our own text is read where it lies; any other JSON of a keyShare, ours written anew by somebody, as JSON. */
const partsOf = (text: Uint8Array): Parts | 'foreign' | undefined => {
  const pubkeyEnd = text.indexOf(0x22, PUBKEY_KEY.length)
  const shareAt = pubkeyEnd + SHARE_KEY.length
  const isOwn =
    startsWith(text, PUBKEY_KEY, 0) && pubkeyEnd >= 0 && startsWith(text, SHARE_KEY, pubkeyEnd) &&
    text.length > shareAt + END.length && startsWith(text, END, text.length - END.length)
  if (!isOwn) return partsOfJson(text)
  const encoded = secretBytes(text.length - END.length - shareAt)
  encoded.set(text.subarray(shareAt, text.length - END.length))
  return { pubkey: Buffer.from(text.subarray(PUBKEY_KEY.length, pubkeyEnd)).toString('utf8'), encoded }
}

const partsOfJson = (text: Uint8Array): Parts | 'foreign' | undefined => {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(text).toString('utf8'))
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined
  const { pubkey, secretShare } = parsed as { readonly pubkey?: unknown; readonly secretShare?: unknown }
  if (typeof secretShare !== 'string') return undefined
  if (!secretShare.startsWith(MARK)) return 'foreign'
  return typeof pubkey === 'string' ? { pubkey, encoded: ascii(secretShare.slice(MARK.length)) } : undefined
}

const startsWith = (bytes: Uint8Array, prefix: Uint8Array, at: number): boolean =>
  equalBytes(bytes.subarray(at, at + prefix.length), prefix)

/** RFC 4648 §5 without padding, by arithmetic: no table is indexed by a secret. */
const toBase64url = (bytes: Uint8Array): Uint8Array => {
  const out = secretBytes(Math.ceil((bytes.length * 4) / 3))
  for (let i = 0; i < out.length; i++) {
    const bit = 6 * i
    const word = ((bytes[bit >> 3] ?? 0) << 8) | (bytes[(bit >> 3) + 1] ?? 0)
    out[i] = letterOf((word >> (10 - (bit & 7))) & 63)
  }
  return out
}

/** All ones when `value` is in [low, high], zero otherwise; all below 2^15. */
const within = (value: number, low: number, high: number): number => ~(((value - low) | (high - value)) >> 31)

const letterOf = (six: number): number =>
  (within(six, 0, 25) & (six + 65)) |
  (within(six, 26, 51) & (six + 71)) |
  (within(six, 52, 61) & (six - 4)) |
  (within(six, 62, 62) & 45) |
  (within(six, 63, 63) & 95)

const sixOf = (letter: number): number =>
  (within(letter, 65, 90) & (letter - 65)) |
  (within(letter, 97, 122) & (letter - 71)) |
  (within(letter, 48, 57) & (letter + 4)) |
  (within(letter, 45, 45) & 62) |
  (within(letter, 95, 95) & 63)

const isLetter = (letter: number): number =>
  within(letter, 65, 90) | within(letter, 97, 122) | within(letter, 48, 57) | within(letter, 45, 45) | within(letter, 95, 95)

/** Undefined for anything but the one text of some bytes. */
const fromBase64url = (text: Uint8Array): Uint8Array | undefined => {
  if (text.length % 4 === 1) return undefined
  const out = secretBytes(Math.floor((text.length * 3) / 4))
  const padded = secretBytes(out.length + 1)
  let letters = -1
  for (let i = 0; i < text.length; i++) {
    const letter = text[i] ?? 0
    letters &= isLetter(letter)
    const bit = 6 * i
    const word = sixOf(letter) << (10 - (bit & 7))
    padded[bit >> 3]! |= word >> 8
    if ((bit >> 3) + 1 < padded.length) padded[(bit >> 3) + 1]! |= word & 0xff
  }
  out.set(padded.subarray(0, out.length))
  const rest = padded[out.length]
  padded.fill(0)
  if (letters === -1 && rest === 0) return out
  out.fill(0)
  return undefined
}
