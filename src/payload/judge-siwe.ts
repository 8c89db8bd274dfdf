/** Whether a signed-in message is the one that was asked for. Pure; the signature is checked elsewhere. */
import { type Failure, failure } from '../domain/failure.ts'
import { equalBytes } from './bytes.ts'
import { parseSiweMessage, type SignInMessage, type SiweMessage, SiweRefused } from './siwe.ts'

export type SignInExpectation = {
  /** Of the pages that may ask: host, and port where it is not the usual one. */
  readonly domains: readonly string[]
  /** 20 bytes, on Solana 32. */
  readonly address: Uint8Array
  readonly nonce: string
  /** When the nonce was given out: no message that names it is older. */
  readonly nonceMs: number
  readonly nowMs: number
}

export type SiweExpectation = SignInExpectation & { readonly chainId: bigint }

/** What clocks may differ by. */
const SKEW_MS = 60_000
/** A message that is good for longer than an owner looks at it is one to be found later. */
const MAX_LIFE_MS = 3_600_000

const LOCAL = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i

/** The page it was signed for, and whether its URI is of that page: https, but on the developer's own machine. */
const isOfDomain = ({ scheme, domain, uri }: Pick<SiweMessage, 'scheme' | 'domain' | 'uri'>): boolean => {
  if (!URL.canParse(uri)) return false
  const url = new URL(uri)
  const page = `${url.protocol}//${domain}`
  if (!URL.canParse(page)) return false
  const isLocal = LOCAL.test(domain)
  const isSafe = (text: string): boolean => text === 'https' || (isLocal && text === 'http')
  if (!isSafe(url.protocol.slice(0, -1)) || (scheme !== undefined && !isSafe(scheme))) return false
  return url.username === '' && url.password === '' && url.host === new URL(page).host
}

/** What `parse` makes of it. Refuses with SIWE_INVALID where it throws SiweRefused. */
export const orInvalid = <T>(parse: () => T): T => {
  try {
    return parse()
  } catch (error) {
    if (error instanceof SiweRefused) throw failure('SIWE_INVALID', { why: error.why })
    throw error
  }
}

type Times = Pick<SignInMessage<unknown>, 'issuedAtMs' | 'expirationMs' | 'notBeforeMs'>

/** Why its times are not those of a message that was signed for its nonce; undefined where they are. */
const judgeTimes = ({ issuedAtMs, expirationMs, notBeforeMs }: Times, { nonceMs, nowMs }: SignInExpectation): Failure | undefined => {
  if (expirationMs === undefined) return failure('SIWE_INVALID', { why: 'it has no Expiration Time' })
  if (expirationMs - issuedAtMs > MAX_LIFE_MS) return failure('SIWE_INVALID', { why: 'it is good for more than an hour' })
  if (expirationMs <= nowMs) return failure('SIWE_EXPIRED', {})
  if (issuedAtMs > nowMs + SKEW_MS || (notBeforeMs ?? 0) > nowMs + SKEW_MS) return failure('SIWE_NOT_YET_VALID', {})
  if (issuedAtMs < nonceMs - SKEW_MS) return failure('SIWE_INVALID', { why: 'it is older than its nonce' })
  return undefined
}

/**
 * The message's parts, if it is what was asked for. Refuses: SIWE_INVALID, SIWE_DOMAIN_MISMATCH, SIWE_ADDRESS_MISMATCH,
 * SIWE_CHAIN_MISMATCH, SIWE_NONCE_MISMATCH, SIWE_EXPIRED, SIWE_NOT_YET_VALID.
 */
export const requireSiwe = (text: string, expected: SiweExpectation): SiweMessage => {
  const message = orInvalid(() => parseSiweMessage(text))
  requireSignIn(message, expected, String(expected.chainId), (chainId) => chainId === expected.chainId)
  return message
}

/** As `requireSiwe`, of a message in any dialect. */
export const requireSignIn = <ChainId>(
  message: SignInMessage<ChainId>,
  expected: SignInExpectation,
  expectedChain: string,
  isOfChain: (chainId: ChainId) => boolean,
): void => {
  const domain = message.domain.toLowerCase()
  if (!expected.domains.includes(domain) || !isOfDomain(message)) throw failure('SIWE_DOMAIN_MISMATCH', {})
  if (!equalBytes(message.address, expected.address)) throw failure('SIWE_ADDRESS_MISMATCH', {})
  if (!isOfChain(message.chainId)) throw failure('SIWE_CHAIN_MISMATCH', { expected: expectedChain, found: String(message.chainId) })
  if (message.nonce !== expected.nonce) throw failure('SIWE_NONCE_MISMATCH', {})
  const untimely = judgeTimes(message, expected)
  if (untimely !== undefined) throw untimely
}
