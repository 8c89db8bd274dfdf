/**
 * `[[chain]]`: where a chain is read, and what tells it from others: `chain_id` of EVM chains, `genesis_hash` of Solana's
 * clusters. Its endpoints are secrets, because providers put the account's key into the URL.
 * `[[token]]`: what a currency is on a network.
 */
import { readFileSync } from 'node:fs'
import { decodeBase58 } from '../domain/base58.ts'
import { Secret } from '../domain/secret.ts'
import type { ChainSettings, SendingSettings, SolanaSendingSettings, TokenSettings } from './config.ts'
import { ConfigError } from './config-error.ts'
import { parseIntegerWithin, parsePath, type RawSetting, SettingProblem } from './parse-setting.ts'

export const TOKEN_KEYS = ['network', 'currency', 'address', 'decimals'] as const
export const CHAIN_KEYS = ['network', 'chain_id', 'genesis_hash', 'commitment', 'rpc', 'rpc_file', 'poll_ms', 'max_fee_gwei', 'max_gas', 'max_priority_fee_lamports'] as const

export type ReadChain = { readonly settings: ChainSettings; readonly endpoints: readonly Secret<string>[] }
type Table = <V>(key: string, parse: (raw: RawSetting) => V) => V | undefined

const MAX_ENDPOINTS = 8
const MAX_FILE_CHARACTERS = 32_768

const parseNetwork = (raw: RawSetting): string => {
  if (typeof raw !== 'string' || !/^[a-z][a-z0-9-]{0,31}$/.test(raw))
    throw new SettingProblem('expected a network name: lower-case letters, digits and hyphens, at most 32')
  return raw
}

const parseEndpoint = (text: string): URL => {
  const url = text.length <= 2_048 && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new SettingProblem('expected http(s) URLs of JSON-RPC endpoints, without a name or password in them')
  return url
}

const parseEndpoints = (texts: readonly string[]): readonly URL[] => {
  const urls = texts.map((text) => text.trim()).filter((text) => text !== '' && !text.startsWith('#')).map(parseEndpoint)
  if (urls.length === 0 || urls.length > MAX_ENDPOINTS) throw new SettingProblem(`expected 1 to ${MAX_ENDPOINTS} endpoints`)
  return urls
}

const readEndpointFile = (path: string): readonly URL[] => {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new SettingProblem(`the file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`)
  }
  if (text.length > MAX_FILE_CHARACTERS) throw new SettingProblem(`the file has more than ${MAX_FILE_CHARACTERS} characters`)
  return parseEndpoints(text.split('\n'))
}

const requireText = (raw: RawSetting): string => {
  if (typeof raw !== 'string') throw new SettingProblem('expected a string')
  return raw
}

const parseGenesisHash = (raw: RawSetting): string => {
  if (typeof raw !== 'string' || decodeBase58(raw)?.length !== 32) throw new SettingProblem('expected the genesis hash of a Solana cluster: base58 of 32 bytes')
  return raw
}

const parseCommitment = (raw: RawSetting): 'confirmed' | 'finalized' => {
  if (raw !== 'confirmed' && raw !== 'finalized') throw new SettingProblem('expected confirmed or finalized')
  return raw
}

const GWEI = 10n ** 9n
/** EIP-7825: beyond it Ethereum takes no transaction. */
const DEFAULT_MAX_GAS = 16_777_216
const DEFAULT_MAX_FEE_GWEI = 1_000
const DEFAULT_POLL_MS = 2_000
const EVM_KEYS = ['max_fee_gwei', 'max_gas'] as const
const SOLANA_KEYS = ['commitment', 'max_priority_fee_lamports'] as const
const DEFAULT_SOLANA_POLL_MS = 1_000
const DEFAULT_PRIORITY_FEE = 100_000
/** A hundredth of a SOL. */
const MOST_PRIORITY_FEE = 10_000_000

const whole = (min: number, max: number) => parseIntegerWithin(min, max) as (raw: RawSetting) => number

const readSending = (table: Table): SendingSettings => ({
  pollMs: table('poll_ms', whole(50, 600_000)) ?? DEFAULT_POLL_MS,
  maxFeePerGas: BigInt(table('max_fee_gwei', whole(1, 1_000_000)) ?? DEFAULT_MAX_FEE_GWEI) * GWEI,
  maxGas: BigInt(table('max_gas', whole(21_000, 1_000_000_000)) ?? DEFAULT_MAX_GAS),
})

const readSolanaSending = (table: Table): SolanaSendingSettings => ({
  pollMs: table('poll_ms', whole(50, 600_000)) ?? DEFAULT_SOLANA_POLL_MS,
  maxPriorityFee: BigInt(table('max_priority_fee_lamports', whole(0, MOST_PRIORITY_FEE)) ?? DEFAULT_PRIORITY_FEE),
})

type Identity =
  | { readonly chainId: bigint; readonly sending: SendingSettings }
  | { readonly genesisHash: string; readonly commitment: 'confirmed' | 'finalized'; readonly sending: SolanaSendingSettings }

const readIdentity = (table: Table, where: string): Identity => {
  const chainId = table('chain_id', parseIntegerWithin(1, Number.MAX_SAFE_INTEGER) as (raw: RawSetting) => number)
  const genesisHash = table('genesis_hash', parseGenesisHash)
  const commitment = table('commitment', parseCommitment)
  if (chainId !== undefined && genesisHash !== undefined) throw new ConfigError(where, 'has both chain_id (EVM) and genesis_hash (Solana)')
  const isGiven = (key: string): boolean => table(key, () => true) === true
  if (genesisHash !== undefined) {
    const isOfEvm = EVM_KEYS.find(isGiven)
    if (isOfEvm !== undefined) throw new ConfigError(where, `has ${isOfEvm}, which is of EVM chains`)
    return { genesisHash, commitment: commitment ?? 'confirmed', sending: readSolanaSending(table) }
  }
  if (chainId === undefined) throw new ConfigError(where, 'lacks chain_id (EVM) or genesis_hash (Solana)')
  const isOfSolana = SOLANA_KEYS.find(isGiven)
  if (isOfSolana !== undefined) throw new ConfigError(where, `has ${isOfSolana}, which is of Solana`)
  return { chainId: BigInt(chainId), sending: readSending(table) }
}

/** Reads one table. Throws ConfigError, SettingProblem. */
export const readChain = (table: Table, where: string, baseDir: string): ReadChain => {
  const network = table('network', parseNetwork)
  if (network === undefined) throw new ConfigError(where, 'lacks network')
  const identity = readIdentity(table, where)
  const isGiven = (key: string): boolean => table(key, () => true) === true
  if (isGiven('rpc') === isGiven('rpc_file')) throw new ConfigError(where, 'has either rpc or rpc_file')
  const urls =
    table('rpc', (raw) => parseEndpoints(requireText(raw).split(','))) ??
    table('rpc_file', (raw) => readEndpointFile(parsePath(raw, baseDir))) ??
    []
  const hosts = urls.map(({ host }) => host)
  return { settings: { network, ...identity, hosts }, endpoints: urls.map(({ href }) => new Secret(href)) }
}

/** Refuses a name that is there twice: which of the two is meant would be a guess. */
export const requireDistinct = (chains: readonly ReadChain[], path: string): void => {
  const names = chains.map(({ settings }) => settings.network)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new ConfigError(path, `[[chain]] ${twice} is there twice`)
}

const parseCurrency = (raw: RawSetting): string => {
  if (typeof raw !== 'string' || !/^[a-z0-9]{1,16}$/.test(raw)) throw new SettingProblem('expected a currency: lower-case letters and digits')
  return raw
}

const parseTokenAddress = (raw: RawSetting): string => {
  const isToken = typeof raw === 'string' && (/^0x[0-9a-fA-F]{40}$/.test(raw) || decodeBase58(raw)?.length === 32)
  if (!isToken) throw new SettingProblem('expected a contract address, 0x and 40 hex digits, or a Solana mint')
  return raw
}

const MAX_DECIMALS = 36

/** Reads one table. Throws ConfigError, SettingProblem. */
export const readToken = (table: Table, where: string): TokenSettings => {
  const network = table('network', parseNetwork)
  const currency = table('currency', parseCurrency)
  const tokenAddress = table('address', parseTokenAddress)
  const decimals = table('decimals', parseIntegerWithin(0, MAX_DECIMALS) as (raw: RawSetting) => number)
  if (network === undefined || currency === undefined || tokenAddress === undefined || decimals === undefined)
    throw new ConfigError(where, 'has network, currency, address and decimals')
  return { network, currency, tokenAddress, decimals }
}
