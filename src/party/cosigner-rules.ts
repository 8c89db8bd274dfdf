/**
 * The cosigner's own rules on what it signs, whatever its daemon allows: which operations, on which chains, how many a
 * minute. They are asked about the typed request that the cosigner decodes by itself.
 */
import { walletIdFromBytes } from '../domain/ids.ts'
import { examine } from '../payload/examine.ts'
import type { SigningMethod, SigningPayload } from '../payload/signing-payload.ts'
import type { Reader } from '../vault/store.ts'

export type CosignerRules = {
  /** Undefined: all. */
  readonly methods?: readonly SigningMethod[] | undefined
  /** `eip155:<id>` and `solana`; undefined: all. Messages and digests are for `methods` to allow. */
  readonly chains?: readonly string[] | undefined
  /** In any minute; undefined: no limit. */
  readonly perMinute?: number | undefined
  readonly walletPerMinute?: number | undefined
}

/** Which rule refuses. */
export type RuleName = 'operation' | 'chain' | 'rate' | 'wallet_rate'

const MINUTE_MS = 60_000
/** Of the audit chain, looked through at once for what was signed in the minute before the vault was opened. */
const TAIL_ROWS = 10_000n

const NEWEST = 'SELECT max(sequence) AS sequence FROM audit'
const IS_RECENT = 'SELECT 1 FROM audit WHERE sequence > ? AND sequence <= ? AND time_ms > ? LIMIT 1'
const RECENT = `SELECT subject_id AS wallet, time_ms AS timeMs FROM audit
  WHERE sequence > ? AND kind = 'sign.intent' AND time_ms > ? ORDER BY sequence`

type Counted = { readonly wallet: string; readonly timeMs: number }

/** As far back as the minute goes, however much the daemon has had written in it. */
const signedSince = (read: Reader, sinceMs: number): Counted[] => {
  let from = read.one<{ sequence: bigint | null }>(NEWEST)?.sequence ?? 0n
  do from -= TAIL_ROWS
  while (from > 0n && read.one(IS_RECENT, from, from + TAIL_ROWS, sinceMs) !== undefined)
  const rows = read.all<{ wallet: string; timeMs: bigint }>(RECENT, from, sinceMs)
  return rows.map(({ wallet, timeMs }) => ({ wallet, timeMs: Number(timeMs) }))
}

export class RuleBook {
  readonly #rules: CosignerRules
  /** Of the last minute, oldest first. */
  #signed: Counted[]
  readonly #ofWallet = new Map<string, number>()

  /** A daemon that comes again has no new minute: what was signed is read from the audit chain. */
  constructor(rules: CosignerRules, read: Reader, nowMs: number) {
    this.#rules = rules
    const isCounted = rules.perMinute !== undefined || rules.walletPerMinute !== undefined
    this.#signed = isCounted ? signedSince(read, nowMs - MINUTE_MS) : []
    for (const { wallet } of this.#signed) this.#add(wallet, 1)
  }

  /** The rule that never lets this through. */
  refusesContent({ method, content }: SigningPayload): RuleName | undefined {
    const { methods, chains } = this.#rules
    if (methods !== undefined && !methods.includes(method)) return 'operation'
    // SignMessage carries one too, of a message that was hashed before: to the cosigner it says as little.
    if (methods !== undefined && content.kind === 'digest' && !methods.includes('SignDigest')) return 'operation'
    if (chains === undefined) return undefined
    if (content.kind === 'solana-message') return chains.includes('solana') ? undefined : 'chain'
    if (content.kind === 'message' || content.kind === 'digest') return undefined
    const { chainIds } = examine(content).facts
    // Typed data whose domain names no chain is good on every one.
    const fits = chainIds.length > 0 && chainIds.every((id) => chains.includes(`eip155:${id}`))
    return fits ? undefined : 'chain'
  }

  /** The rule that does not let it through now. */
  refuses(payload: SigningPayload, walletId: Uint8Array, nowMs: number): RuleName | undefined {
    const refused = this.refusesContent(payload)
    if (refused !== undefined) return refused
    const { perMinute, walletPerMinute } = this.#rules
    this.#forget(nowMs)
    if (perMinute !== undefined && this.#signed.length >= perMinute) return 'rate'
    const ofWallet = this.#ofWallet.get(walletIdFromBytes(walletId)) ?? 0
    return walletPerMinute !== undefined && ofWallet >= walletPerMinute ? 'wallet_rate' : undefined
  }

  /** In the transaction that records it. */
  count(walletId: Uint8Array, nowMs: number): void {
    const { perMinute, walletPerMinute } = this.#rules
    if (perMinute === undefined && walletPerMinute === undefined) return
    const wallet = walletIdFromBytes(walletId)
    this.#signed.push({ wallet, timeMs: nowMs })
    this.#add(wallet, 1)
  }

  #forget(nowMs: number): void {
    // A clock that was set back does not lengthen anybody's minute.
    const isOld = ({ timeMs }: Counted): boolean => timeMs <= nowMs - MINUTE_MS || timeMs > nowMs + MINUTE_MS
    const old = this.#signed.filter(isOld)
    if (old.length === 0) return
    this.#signed = this.#signed.filter((one) => !isOld(one))
    for (const { wallet } of old) this.#add(wallet, -1)
  }

  #add(wallet: string, by: number): void {
    const count = (this.#ofWallet.get(wallet) ?? 0) + by
    if (count > 0) this.#ofWallet.set(wallet, count)
    else this.#ofWallet.delete(wallet)
  }
}
