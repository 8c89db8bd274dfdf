import { invalidField } from '../domain/failure.ts'
import { isEvmAddress, isSolanaAddress, parseWalletId } from '../domain/ids.ts'
import type { TokenKey } from '../payload/facts.ts'
import type { Caps, Narrowing, PermissionGrant } from './permissions.ts'
import { parsePermission } from './permissions.ts'

/**
 * The JSON form in which grants are stored and compared:
 *
 *     [{ "permission": "wallet:sign",
 *        "narrowing": { "wallets": ["wal_…"], "session_keys": ["…"], "chains": ["eip155:1"],
 *                       "destinations": ["0x…"],
 *                       "max_per_transaction": { "eip155:1/native": "1000", "eip155:1/fee": "1000" },
 *                       "max_per_day": { "eip155:1/0x…": "5" }, "requests_per_second": 10 } }]
 */
export const MAX_GRANTS = 100
export const MAX_LISTED = 1024
export const MAX_REQUESTS_PER_SECOND = 1_000_000

const CHAIN = /^(?:eip155:(?:0|[1-9][0-9]{0,19})|solana:[1-9A-HJ-NP-Za-km-z]{32})$/
const TOKEN_KEY = /^eip155:[1-9][0-9]{0,19}\/(?:native|fee|0x[0-9a-f]{40})$/
const SOLANA_TOKEN_KEY = /^solana:[1-9A-HJ-NP-Za-km-z]{32}\/(?<what>[1-9A-HJ-NP-Za-km-z]{3,44})$/
const AMOUNT = /^(?:0|[1-9][0-9]{0,77})$/
const SESSION_KEY_ID = /^[\x21-\x7e]{1,128}$/
const U256_MAX = (1n << 256n) - 1n

type JsonObject = { readonly [key: string]: unknown }

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const parseObject = (value: unknown, field: string, known: readonly string[]): JsonObject => {
  if (!isObject(value)) throw invalidField(field, 'is not an object')
  for (const key of Object.keys(value)) if (!known.includes(key)) throw invalidField(`${field}.${key}`, 'is not known')
  return value
}

/** A list that narrows: never empty, because "nothing" and "everything" must not look alike. */
const parseSet = <T extends string>(
  value: unknown,
  field: string,
  parseItem: (text: string) => T | undefined,
): ReadonlySet<T> => {
  if (!Array.isArray(value)) throw invalidField(field, 'is not a list')
  if (value.length === 0) throw invalidField(field, 'is empty; leave it out or list something')
  if (value.length > MAX_LISTED) throw invalidField(field, `has more than ${MAX_LISTED} entries`)
  const parsed = new Set<T>()
  for (const [index, item] of value.entries()) {
    const entry = typeof item === 'string' ? parseItem(item) : undefined
    if (entry === undefined) throw invalidField(`${field}[${index}]`, 'is malformed')
    if (parsed.has(entry)) throw invalidField(`${field}[${index}]`, 'is listed twice')
    parsed.add(entry)
  }
  return parsed
}

const matching =
  (pattern: RegExp) =>
  (text: string): string | undefined =>
    pattern.test(text) ? text : undefined

const parseChain = matching(CHAIN)
const parseSessionKeyId = matching(SESSION_KEY_ID)

const parseDestination = (text: string): string | undefined => {
  if (isEvmAddress(text)) return text.toLowerCase()
  return isSolanaAddress(text) ? text : undefined
}

const isSolanaTokenKey = (text: string): boolean => {
  const what = SOLANA_TOKEN_KEY.exec(text)?.groups?.['what'] ?? ''
  return what === 'native' || what === 'fee' || isSolanaAddress(what)
}

/** A token key (see `TokenKey`), an EVM one with its address in any letter case. */
export const parseTokenKey = (text: string): TokenKey | undefined => {
  if (isSolanaTokenKey(text)) return text as TokenKey
  const key = text.toLowerCase()
  return TOKEN_KEY.test(key) ? (key as TokenKey) : undefined
}

const parseCaps = (value: unknown, field: string): Caps => {
  if (!isObject(value)) throw invalidField(field, 'is not an object')
  const entries = Object.entries(value)
  if (entries.length === 0) throw invalidField(field, 'is empty; leave it out or list a token')
  if (entries.length > MAX_LISTED) throw invalidField(field, `has more than ${MAX_LISTED} entries`)
  const caps = new Map<TokenKey, bigint>()
  for (const [name, amount] of entries) {
    const token = parseTokenKey(name)
    if (token === undefined) throw invalidField(field, 'names a malformed token')
    if (caps.has(token)) throw invalidField(field, `lists ${token} twice`)
    if (typeof amount !== 'string' || !AMOUNT.test(amount) || BigInt(amount) > U256_MAX)
      throw invalidField(`${field}.${token}`, 'is not a decimal amount in base units')
    caps.set(token, BigInt(amount))
  }
  return caps
}

const parseRate = (value: unknown, field: string): number => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > MAX_REQUESTS_PER_SECOND)
    throw invalidField(field, `is not a whole number from 1 to ${MAX_REQUESTS_PER_SECOND}`)
  return value
}

const NARROWINGS = [
  'wallets',
  'session_keys',
  'chains',
  'destinations',
  'max_per_transaction',
  'max_per_day',
  'requests_per_second',
] as const

/** As the member `narrowing` of one grant. Refuses (INVALID_REQUEST) as `parsePermissionGrants`. */
export const parseNarrowing = (value: unknown, field: string): Narrowing => {
  const json = parseObject(value, field, NARROWINGS)
  const at = (key: (typeof NARROWINGS)[number]) => `${field}.${key}`
  return {
    ...('wallets' in json && { wallets: parseSet(json['wallets'], at('wallets'), parseWalletId) }),
    ...('session_keys' in json && {
      sessionKeys: parseSet(json['session_keys'], at('session_keys'), parseSessionKeyId),
    }),
    ...('chains' in json && { chains: parseSet(json['chains'], at('chains'), parseChain) }),
    ...('destinations' in json && {
      destinations: parseSet(json['destinations'], at('destinations'), parseDestination),
    }),
    ...('max_per_transaction' in json && {
      maxPerTransaction: parseCaps(json['max_per_transaction'], at('max_per_transaction')),
    }),
    ...('max_per_day' in json && { maxPerDay: parseCaps(json['max_per_day'], at('max_per_day')) }),
    ...('requests_per_second' in json && {
      requestsPerSecond: parseRate(json['requests_per_second'], at('requests_per_second')),
    }),
  }
}

/**
 * Grants from their JSON form. Refuses (INVALID_REQUEST, naming the field) unknown permissions and keys, malformed
 * or repeated entries, empty lists and maps, more than 100 grants or 1024 entries a list. Two grants of one
 * permission are allowed: a request has to fit into one of them alone. An empty list of grants allows nothing.
 */
export const parsePermissionGrants = (json: unknown): readonly PermissionGrant[] => {
  if (!Array.isArray(json)) throw invalidField('permissions', 'is not a list')
  if (json.length > MAX_GRANTS) throw invalidField('permissions', `has more than ${MAX_GRANTS} entries`)
  return json.map((item, index) => {
    const field = `permissions[${index}]`
    const { permission, narrowing } = parseObject(item, field, ['permission', 'narrowing'])
    const parsed = typeof permission === 'string' ? parsePermission(permission) : undefined
    if (parsed === undefined) throw invalidField(`${field}.permission`, 'is not a known permission')
    return { permission: parsed, narrowing: parseNarrowing(narrowing ?? {}, `${field}.narrowing`) }
  })
}

const formatCaps = (caps: Caps) =>
  Object.fromEntries([...caps].map(([token, amount]) => [token, amount.toString()]))

/** The JSON form of a narrowing: `parseNarrowing(formatNarrowing(x), '')` equals x. */
export const formatNarrowing = (narrowing: Narrowing) => ({
  ...(narrowing.wallets && { wallets: [...narrowing.wallets] }),
  ...(narrowing.sessionKeys && { session_keys: [...narrowing.sessionKeys] }),
  ...(narrowing.chains && { chains: [...narrowing.chains] }),
  ...(narrowing.destinations && { destinations: [...narrowing.destinations] }),
  ...(narrowing.maxPerTransaction && { max_per_transaction: formatCaps(narrowing.maxPerTransaction) }),
  ...(narrowing.maxPerDay && { max_per_day: formatCaps(narrowing.maxPerDay) }),
  ...(narrowing.requestsPerSecond !== undefined && { requests_per_second: narrowing.requestsPerSecond }),
})

/** The JSON form of grants: `parsePermissionGrants(formatPermissionGrants(x))` equals x. */
export const formatPermissionGrants = (grants: readonly PermissionGrant[]) =>
  grants.map(({ permission, narrowing }) => ({ permission, narrowing: formatNarrowing(narrowing) }))
