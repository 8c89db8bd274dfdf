import { encodeBase58 } from '../domain/base58.ts'

/**
 * Off-chain messages as Solana's wallets frame them: `ff` "solana offchain", a version, then for version 0 an
 * application domain of 32 bytes, a format, the signers and a length; for version 1 only the signers. The first
 * byte keeps them apart from every transaction message. Source: docs.anza.xyz, "Off-Chain Message Signing"; sRFC
 * 38 for version 1.
 */
export type SolanaOffchainMessage = {
  readonly version: number
  /** 32 bytes in base58; version 0 alone has one. */
  readonly applicationDomain?: string
  readonly signers: readonly string[]
  readonly contentBytes: number
}

const DOMAIN = Buffer.from('\u00ffsolana offchain', 'latin1')
const VERSION_AT = DOMAIN.length
const MAX_FORMAT = 2

/** Whether bytes begin with the signing domain of off-chain messages. */
export const isSolanaOffchain = (bytes: Uint8Array): boolean =>
  bytes.length > VERSION_AT && DOMAIN.equals(bytes.subarray(0, VERSION_AT))

/** Where the signers are listed, and where the content begins after them. */
const readSigners = (
  bytes: Uint8Array,
  countAt: number,
): { signers: readonly string[]; end: number } | undefined => {
  const count = bytes[countAt] ?? 0
  const end = countAt + 1 + 32 * count
  if (count === 0 || bytes.length < end) return undefined
  const signers = Array.from({ length: count }, (_, index) => {
    const at = countAt + 1 + 32 * index
    return encodeBase58(bytes.subarray(at, at + 32))
  })
  return new Set(signers).size === count ? { signers, end } : undefined
}

const readV0 = (bytes: Uint8Array): SolanaOffchainMessage | undefined => {
  const domainAt = VERSION_AT + 1
  const formatAt = domainAt + 32
  const signed = readSigners(bytes, formatAt + 1)
  if (signed === undefined || (bytes[formatAt] ?? MAX_FORMAT + 1) > MAX_FORMAT) return undefined
  const { signers, end } = signed
  const contentBytes = (bytes[end] ?? 0) + 256 * (bytes[end + 1] ?? 0)
  if (contentBytes === 0 || bytes.length !== end + 2 + contentBytes) return undefined
  return { version: 0, applicationDomain: encodeBase58(bytes.subarray(domainAt, formatAt)), signers, contentBytes }
}

const readV1 = (bytes: Uint8Array): SolanaOffchainMessage | undefined => {
  const signed = readSigners(bytes, VERSION_AT + 1)
  if (signed === undefined || bytes.length === signed.end) return undefined
  return { version: 1, signers: signed.signers, contentBytes: bytes.length - signed.end }
}

/** The frame of an off-chain message; undefined when it is of no version and form that is known. */
export const readSolanaOffchain = (bytes: Uint8Array): SolanaOffchainMessage | undefined => {
  if (!isSolanaOffchain(bytes)) return undefined
  if (bytes[VERSION_AT] === 0) return readV0(bytes)
  return bytes[VERSION_AT] === 1 ? readV1(bytes) : undefined
}
