/**
 * Sign-In with Ethereum (EIP-4361): the message as its grammar has it, byte for byte, and nothing that is nearly one. Other
 * chains have the same message with addresses and chain ids of their own (CAIP-122): a dialect.
 */
import { formatEvmAddress, parseEvmAddress } from './address.ts'

export type SignInMessage<ChainId> = {
  /** Of the URL in front of the domain; undefined where there is none. */
  readonly scheme: string | undefined
  /** An RFC 3986 authority without a user: a host, and a port where one is named. */
  readonly domain: string
  /** 20 bytes, of the dialect of Solana 32. */
  readonly address: Uint8Array
  readonly statement: string | undefined
  readonly uri: string
  readonly chainId: ChainId
  readonly nonce: string
  readonly issuedAtMs: number
  readonly expirationMs: number | undefined
  readonly notBeforeMs: number | undefined
  readonly requestId: string | undefined
  readonly resources: readonly string[]
}

export type SiweMessage = SignInMessage<bigint>

export type SignInDialect<ChainId> = {
  /** Behind the domain, on the first line. */
  readonly preamble: string
  /** Throws SiweRefused. */
  readonly readAddress: (line: string) => Uint8Array
  readonly readChainId: (text: string) => ChainId
}

/** What is not as EIP-4361 has it. */
export class SiweRefused extends Error {
  readonly why: string

  constructor(why: string) {
    super(why)
    this.name = 'SiweRefused'
    this.why = why
  }
}

const MAX_CHARACTERS = 4_096
const MAX_RESOURCES = 32

const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]{0,31}$/
/** A registered name, IPv4 or bracketed IPv6 address, and a port; lower or upper case ASCII only. */
const DOMAIN = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/
/** Reserved, unreserved and space (EIP-4361, `statement`). */
const STATEMENT = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;= ]+$/
const uriPattern = (): RegExp => {
  const plain = String.raw`[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2}`
  const inPath = `(?:${plain}|[:@])`
  const authority = String.raw`(?:(?:${plain}|:)*@)?(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:${plain})*)(?::[0-9]*)?`
  const segments = `(?:/${inPath}*)*`
  const behindScheme = `(?://${authority}${segments}|/?${inPath}+${segments}|/?)`
  const tail = `(?:${inPath}|[/?])*`
  return new RegExp(String.raw`^[A-Za-z][A-Za-z0-9+.\-]*:${behindScheme}(?:\?${tail})?(?:#${tail})?$`)
}
/** Of RFC 3986: scheme, authority and path or path alone, query, fragment. */
const URI = uriPattern()
const NONCE = /^[A-Za-z0-9]{8,128}$/
const CHAIN_ID = /^(?:0|[1-9][0-9]{0,77})$/
const REQUEST_ID = /^(?:[A-Za-z0-9\-._~:@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/
/** RFC 3339, with every letter as it is written there. */
const TIME = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** In milliseconds since 1970. Throws SiweRefused. */
export const parseTime = (text: string, what: string): number => {
  const parts = TIME.exec(text)?.slice(1).map(Number)
  const ms = parts === undefined ? Number.NaN : Date.parse(text)
  const [year = 0, month = 0, day = 0, hour = 24, minute = 60, second = 60] = parts ?? []
  // Date.parse takes 30 February for 1 March.
  const isDate = new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day
  if (!Number.isFinite(ms) || !isDate || hour > 23 || minute > 59 || second > 59) throw new SiweRefused(`${what} is no RFC 3339 time`)
  return ms
}

class Lines {
  readonly #lines: readonly string[]
  #at = 0

  constructor(text: string) {
    this.#lines = text.split('\n')
  }

  get isAtEnd(): boolean {
    return this.#at === this.#lines.length
  }

  next(what: string): string {
    const line = this.#lines[this.#at]
    if (line === undefined) throw new SiweRefused(`ends before its ${what}`)
    this.#at += 1
    return line
  }

  /** What is behind `name: ` on the next line, which must begin so. */
  field(name: string): string {
    const line = this.next(name)
    if (!line.startsWith(`${name}: `)) throw new SiweRefused(`has no ${name} where it belongs`)
    return line.slice(name.length + 2)
  }

  optional(name: string): string | undefined {
    return this.#lines[this.#at]?.startsWith(`${name}: `) === true ? this.field(name) : undefined
  }

  takes(line: string): boolean {
    if (this.#lines[this.#at] !== line) return false
    this.#at += 1
    return true
  }
}

/** Throws SiweRefused. */
export const matching = (pattern: RegExp, text: string, what: string): string => {
  if (!pattern.test(text)) throw new SiweRefused(`its ${what} is not one`)
  return text
}

const readOrigin = (line: string, preamble: string): { readonly scheme: string | undefined; readonly domain: string } => {
  if (!line.endsWith(preamble)) throw new SiweRefused('does not begin as one')
  const origin = line.slice(0, -preamble.length)
  const at = origin.indexOf('://')
  const scheme = at < 0 ? undefined : matching(SCHEME, origin.slice(0, at), 'scheme')
  return { scheme, domain: matching(DOMAIN, at < 0 ? origin : origin.slice(at + 3), 'domain') }
}

const readAddress = (line: string): Uint8Array => {
  const address = parseEvmAddress(line)
  // EIP-55 is part of the grammar: another spelling of the address is another message.
  if (address === undefined || formatEvmAddress(address) !== line) throw new SiweRefused('its address is not one with its checksum')
  return address
}

const readStatement = (lines: Lines): string | undefined => {
  if (lines.next('statement') !== '') throw new SiweRefused('has no empty line behind its address')
  const line = lines.next('statement')
  if (line === '') return undefined
  matching(STATEMENT, line, 'statement')
  if (lines.next('URI') !== '') throw new SiweRefused('has no empty line behind its statement')
  return line
}

const readResources = (lines: Lines): readonly string[] => {
  const resources: string[] = []
  if (!lines.takes('Resources:')) return resources
  while (!lines.isAtEnd) {
    const line = lines.next('resources')
    if (!line.startsWith('- ')) throw new SiweRefused('has something behind its resources')
    resources.push(matching(URI, line.slice(2), 'resource'))
    if (resources.length > MAX_RESOURCES) throw new SiweRefused(`has more than ${MAX_RESOURCES} resources`)
  }
  return resources
}

const ETHEREUM: SignInDialect<bigint> = {
  preamble: ' wants you to sign in with your Ethereum account:',
  readAddress,
  readChainId: (text) => BigInt(matching(CHAIN_ID, text, 'Chain ID')),
}

/** `parseSignIn` of Ethereum's own dialect. */
export const parseSiweMessage = (text: string): SiweMessage => parseSignIn(text, ETHEREUM)

/**
 * The parts of a message. Throws SiweRefused for whatever its grammar does not produce: carriage returns, lines too many,
 * in another order or twice, an address without its checksum, characters beyond ASCII, a version that is not 1.
 */
export const parseSignIn = <ChainId>(text: string, dialect: SignInDialect<ChainId>): SignInMessage<ChainId> => {
  if (text.length > MAX_CHARACTERS) throw new SiweRefused(`is longer than ${MAX_CHARACTERS} characters`)
  const lines = new Lines(text)
  const { scheme, domain } = readOrigin(lines.next('domain'), dialect.preamble)
  const address = dialect.readAddress(lines.next('address'))
  const statement = readStatement(lines)
  const uri = matching(URI, lines.field('URI'), 'URI')
  if (lines.field('Version') !== '1') throw new SiweRefused('is of another version than 1')
  const chainId = dialect.readChainId(lines.field('Chain ID'))
  const nonce = matching(NONCE, lines.field('Nonce'), 'Nonce')
  const issuedAtMs = parseTime(lines.field('Issued At'), 'Issued At')
  const expiration = lines.optional('Expiration Time')
  const notBefore = lines.optional('Not Before')
  const requestId = lines.optional('Request ID')
  const resources = readResources(lines)
  if (!lines.isAtEnd) throw new SiweRefused('goes on where it should end')
  return {
    scheme, domain, address, statement, uri, chainId, nonce, issuedAtMs,
    expirationMs: expiration === undefined ? undefined : parseTime(expiration, 'Expiration Time'),
    notBeforeMs: notBefore === undefined ? undefined : parseTime(notBefore, 'Not Before'),
    requestId: requestId === undefined ? undefined : matching(REQUEST_ID, requestId, 'Request ID'),
    resources,
  }
}
