/**
 * What owners of Solana wallets sign: the message of EIP-4361 in Solana's dialect (Sign In With Solana), the same on one
 * line, as some apps send it, or a text of the app's own that names its page, the address and the nonce.
 */
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import { orInvalid, requireSignIn, type SignInExpectation } from './judge-siwe.ts'
import { matching, parseSignIn, parseTime, type SignInDialect, type SignInMessage, SiweRefused } from './siwe.ts'

export type SiwsExpectation = SignInExpectation & {
  /** The cluster's, in base58. */
  readonly genesisHash: string
}

const PREAMBLE = ' wants you to sign in with your Solana account:'
const CHAIN_ID = /^[A-Za-z0-9:_-]{1,64}$/
const MAX_CHARACTERS = 4_096
const CAIP2_CHARACTERS = 32

/** By their genesis hashes. `1` is what apps write that hold Solana for one chain. */
const CLUSTER_NAMES: ReadonlyMap<string, readonly string[]> = new Map([
  ['5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d', ['mainnet', '1']],
  ['EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG', ['devnet']],
  ['4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY', ['testnet']],
])

/** What a message may call a cluster: by name, and as CAIP-2 has it. */
const chainIdsOf = (genesisHash: string): readonly string[] => {
  const names = CLUSTER_NAMES.get(genesisHash) ?? ['localnet']
  return [...names, ...names.map((name) => `solana:${name}`), `solana:${genesisHash.slice(0, CAIP2_CHARACTERS)}`]
}

const readAddress = (line: string): Uint8Array => {
  const key = decodeBase58(line)
  if (key?.length !== 32 || encodeBase58(key) !== line) throw new SiweRefused('its address is not one')
  return key
}

const SOLANA: SignInDialect<string> = {
  preamble: PREAMBLE,
  readAddress,
  readChainId: (text) => matching(CHAIN_ID, text, 'Chain ID'),
}

/** Spaces in the place of line ends; the statement has no colon with a space behind it, so that it ends before the fields. */
const ONE_LINE =
  /^(\S+ wants you to sign in with your Solana account:) (\S+)(?: ((?:(?!: ).)+?))? (URI: \S+) (Version: \S+) (Chain ID: \S+) (Nonce: \S+) (Issued At: \S+)(?: (Expiration Time: \S+))?(?: (Not Before: \S+))?$/

const unfold = (text: string): string => {
  const parts = text.includes('\n') ? undefined : ONE_LINE.exec(text)
  if (parts === undefined || parts === null) return text
  const [, origin = '', address = '', statement, ...fields] = parts
  const lines = [origin, address, '', ...(statement === undefined ? [] : [statement]), '', ...fields.filter((field) => field !== undefined)]
  return lines.join('\n')
}

const WRAPPING = /^[("'<[]+|[)"'>\].,;:!?]+$/g

const hostOf = (word: string): string => (/^https?:\/\//i.test(word) && URL.canParse(word) ? new URL(word).host : word).toLowerCase()

/** The value behind `label: ` up to the next space or line end, if the text has the label; refused where it has it twice. */
const labelled = (text: string, label: string): string | undefined => {
  const found = [...text.matchAll(new RegExp(`\\b${label}: *(\\S+)`, 'gi'))]
  if (found.length > 1) throw new SiweRefused(`names its ${label} twice`)
  return found[0]?.[1]
}

/** A text without a grammar: it must have the words for domain, address and nonce; what else it names by label counts, too. */
const readFreeText = (text: string, expected: SiwsExpectation): SignInMessage<string> => {
  const words = text.split(/\s+/).map((word) => word.replaceAll(WRAPPING, ''))
  const hosts = new Set(words.map(hostOf))
  const domain = expected.domains.find((one) => hosts.has(one)) ?? ''
  const timeOf = (label: string): number | undefined => {
    const value = labelled(text, label)
    return value === undefined ? undefined : parseTime(value, label)
  }
  const issuedAtMs = timeOf('Issued At') ?? expected.nowMs
  return {
    scheme: undefined,
    domain,
    address: words.includes(encodeBase58(expected.address)) ? expected.address : new Uint8Array(32),
    statement: undefined,
    uri: labelled(text, 'URI') ?? `https://${domain}`,
    chainId: labelled(text, 'Chain ID') ?? chainIdsOf(expected.genesisHash)[0] ?? '',
    nonce: words.includes(expected.nonce) ? expected.nonce : '',
    issuedAtMs,
    // Without an end of its own it ends with the token, whose nonce it names.
    expirationMs: timeOf('Expiration Time') ?? Math.max(issuedAtMs, expected.nowMs) + 1,
    notBeforeMs: timeOf('Not Before'),
    requestId: undefined,
    resources: [],
  }
}

const parse = (text: string, expected: SiwsExpectation): SignInMessage<string> => {
  if (text.length > MAX_CHARACTERS) throw new SiweRefused(`is longer than ${MAX_CHARACTERS} characters`)
  // What begins as such a message is one, or is refused: no second, looser reading of it.
  if (text.includes(PREAMBLE)) return parseSignIn(unfold(text), SOLANA)
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/.test(text)) throw new SiweRefused('has characters that nobody sees')
  return readFreeText(text, expected)
}

/**
 * Refuses as `requireSiwe` a text that an owner did not sign for this: SIWE_INVALID, SIWE_DOMAIN_MISMATCH,
 * SIWE_ADDRESS_MISMATCH, SIWE_CHAIN_MISMATCH, SIWE_NONCE_MISMATCH, SIWE_EXPIRED, SIWE_NOT_YET_VALID.
 */
export const requireSiws = (text: string, expected: SiwsExpectation): void => {
  const message = orInvalid(() => parse(text, expected))
  const chainIds = chainIdsOf(expected.genesisHash)
  requireSignIn(message, expected, chainIds.join(' or '), (chainId) => chainIds.includes(chainId))
}
