/** Spending on Solana: a `TransferChecked` by the delegate of a token account. */
import { randomUUID } from 'node:crypto'
import { MAX_ACCOUNTS, type SolanaChain } from '../chain/solana-chain.ts'
import type { SolanaAccount } from '../chain/solana-answers.ts'
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { findAssociatedTokenAccount } from '../payload/associated-token.ts'
import { equalBytes } from '../payload/bytes.ts'
import { decodeTokenAccount } from '../payload/solana-accounts.ts'
import { createAssociatedTokenAccount, transferChecked } from '../payload/solana-build.ts'
import { compileSolanaMessage } from '../payload/solana-compile.ts'
import { LAMPORTS_PER_SIGNATURE } from '../payload/solana-facts.ts'
import { TOKEN_ACCOUNT_RENT } from '../payload/solana-instructions.ts'
import { unsignedSolanaTransaction } from '../payload/solana-transaction.ts'
import type { Cursor } from '../vault/followed.ts'
import type { SentTransaction } from '../vault/sent-transactions.ts'
import type { Standing } from './external-wallet-view.ts'
import { readSolanaStanding, requireTokenProgram, TOKEN_PROGRAMS } from './solana-standing.ts'
import type { Delegated, News, SpendingChain, Transfer, Watched } from './spending-chain.ts'

const STATUSES_MAX = 256
/** Filled in where it is signed. */
const NO_BLOCKHASH = new Uint8Array(32)
const SIGNATURE_BYTES = 64

const keyOf = (address: string): Uint8Array => {
  const key = decodeBase58(address)
  if (key?.length !== 32) throw new Error('assertion: a stored address is one')
  return key
}

const questionOf = ({ network, currency, decimals, tokenAddress, address, spender }: Delegated) => ({
  network, currency, decimals, mint: keyOf(tokenAddress), owner: keyOf(address), spender: keyOf(spender),
})

const readStanding = async (chain: SolanaChain, wallet: Delegated, signal?: AbortSignal): Promise<Standing> => {
  const { allowance, balance, slot } = await readSolanaStanding(chain, questionOf(wallet), signal)
  return { allowance, balance, block: slot }
}

/** What was seen last of the accounts of each wallet, to tell what is news; forgotten with the process. */
type Memory = {
  readonly seen: Map<string, string>
  /** The cursor that was answered last, and what was told with it: told again until somebody goes on from there. */
  turn: string
  told: ReadonlySet<string>
}
const MEMORIES = new WeakMap<SolanaChain, Memory>()

const memoryOf = (chain: SolanaChain): Memory => {
  const memory = MEMORIES.get(chain) ?? { seen: new Map(), turn: '', told: new Set() }
  MEMORIES.set(chain, memory)
  return memory
}

const textOf = (account: SolanaAccount | undefined): string => {
  const held = account === undefined ? undefined : decodeTokenAccount(account.data)
  if (held === undefined) return ''
  const { owner, delegate, delegatedAmount, isFrozen } = held
  return [encodeBase58(owner), delegate === undefined ? '' : encodeBase58(delegate), delegatedAmount, isFrozen].join(' ')
}

/**
 * Accounts are polled, many at once: whose approval is another than it was, at either of two nodes; each of those is then
 * read for sure. Where nothing was seen yet, it is news.
 */
const readNews = async (chain: SolanaChain, watched: readonly Watched[], since: Cursor | undefined, signal?: AbortSignal): Promise<News> => {
  const memory = memoryOf(chain)
  const { seen } = memory
  const changed = new Set(since?.hash === memory.turn ? [] : memory.told)
  const block = await chain.slot(signal)
  const step = MAX_ACCOUNTS / TOKEN_PROGRAMS.length
  for (let at = 0; at < watched.length; at += step) {
    const some = watched.slice(at, at + step)
    const keys = some.flatMap(({ address, tokenAddress }) =>
      TOKEN_PROGRAMS.map((tokenProgram) => findAssociatedTokenAccount(keyOf(address), { mint: keyOf(tokenAddress), tokenProgram })),
    )
    const texts = (await chain.glance(keys, signal)).map((accounts) => accounts.map(textOf))
    for (const [index, { externalWalletId: id }] of some.entries()) {
      const from = index * TOKEN_PROGRAMS.length
      const text = texts.map((all) => all.slice(from, from + TOKEN_PROGRAMS.length).join('|')).join(' or ')
      if (seen.get(id) !== text) changed.add(id)
      seen.set(id, text)
    }
  }
  const ids = new Set(watched.map(({ externalWalletId }) => externalWalletId))
  for (const id of seen.keys()) if (!ids.has(id)) seen.delete(id)
  memory.turn = randomUUID()
  memory.told = changed
  return { cursor: { block, hash: memory.turn }, changed, hasMore: false }
}

type Place = { readonly tokenProgram: Uint8Array; readonly account: Uint8Array; readonly isOpen: boolean; readonly owner: Uint8Array | undefined }

/** The destination is an owner, whose associated account it goes to, or a token account of the mint itself. */
const findPlace = async (chain: SolanaChain, { wallet, destination }: Transfer, signal?: AbortSignal): Promise<Place> => {
  const [question, to] = [questionOf(wallet), keyOf(destination)]
  const { mint } = question
  const places = TOKEN_PROGRAMS.map((tokenProgram) => findAssociatedTokenAccount(to, { mint, tokenProgram }))
  const { value } = await chain.accounts([mint, to, ...places], signal)
  const [mintAccount, itself, ...found] = value
  const program = requireTokenProgram(mintAccount, question)
  const tokenProgram = TOKEN_PROGRAMS[program] as Uint8Array
  const held = itself !== undefined && equalBytes(keyOf(itself.owner), tokenProgram) ? decodeTokenAccount(itself.data) : undefined
  if (held !== undefined && equalBytes(held.mint, mint)) return { tokenProgram, account: to, isOpen: true, owner: undefined }
  return { tokenProgram, account: places[program] as Uint8Array, isOpen: found[program] !== undefined, owner: to }
}

const messageOf = (transfer: Transfer, { tokenProgram, account, isOpen, owner: receiver }: Place): Uint8Array => {
  const { mint, owner, spender, decimals } = questionOf(transfer.wallet)
  const opens = !isOpen && receiver !== undefined && transfer.opensAccount === true
  const source = findAssociatedTokenAccount(owner, { mint, tokenProgram })
  return compileSolanaMessage({
    payer: spender,
    blockhash: NO_BLOCKHASH,
    instructions: [
      ...(opens ? [createAssociatedTokenAccount(spender, receiver, { mint, tokenProgram })] : []),
      transferChecked({ tokenProgram, mint, source, destination: account, authority: spender, amount: transfer.units, decimals }),
    ],
  })
}

const objectionOf = async (chain: SolanaChain, transfer: Transfer, signal?: AbortSignal): Promise<string | undefined> => {
  const place = await findPlace(chain, transfer, signal)
  const { isOpen } = place
  if (!isOpen && transfer.opensAccount !== true) return 'the destination has no account for it'
  const result = await chain.simulate(unsignedSolanaTransaction(messageOf(transfer, place)), signal)
  if (result !== 'fails') return undefined
  await requireLamports(chain, transfer, isOpen, signal)
  return 'it fails on the cluster'
}

/** A spender that cannot pay is no fault of the token's. */
const requireLamports = async (chain: SolanaChain, { wallet }: Transfer, isOpen: boolean, signal?: AbortSignal): Promise<void> => {
  const needed = LAMPORTS_PER_SIGNATURE + (isOpen ? 0n : TOKEN_ACCOUNT_RENT)
  const lamports = await chain.balance(keyOf(wallet.spender), signal)
  if (lamports < needed) throw failure('INSUFFICIENT_FUNDS', { needed: String(needed), balance: String(lamports) })
}

const hashesOf = ({ versions }: SentTransaction): readonly Uint8Array[] =>
  versions.flatMap(({ hash }) => (hash === '' ? [] : [decodeBase58(hash) ?? new Uint8Array(SIGNATURE_BYTES)]))

/** In a block that the standing has seen; or in none, and too late for any. */
const readReflected = async (chain: SolanaChain, { block }: Standing, sends: readonly SentTransaction[], signal?: AbortSignal) => {
  // Before the statuses: what is in no block then, and could not be in a later one, is in none for good.
  const height = await chain.finalizedHeight(signal)
  const reflected = new Set<string>()
  for (let at = 0; at < sends.length; at += STATUSES_MAX / 2) {
    const some = sends.slice(at, at + STATUSES_MAX / 2)
    const hashes = some.map(hashesOf)
    const statuses = await chain.statuses(hashes.flat(), signal)
    let from = 0
    for (const [index, sent] of some.entries()) {
      const own = statuses.slice(from, (from += hashes[index]?.length ?? 0))
      const isIn = own.some((one) => one.state !== 'unknown' && chain.counts(one) && one.slot <= block)
      const isLapsed = own.every(({ isSeen }) => !isSeen) && sent.versions.every(({ lastValid }) => lastValid !== undefined && lastValid < height)
      if (isIn || isLapsed) reflected.add(sent.sendId)
    }
  }
  return reflected
}

export const solanaSpendingChain = (chain: SolanaChain): SpendingChain => ({
  chain: chain.chainId,
  standing: (wallet, signal) => readStanding(chain, wallet, signal),
  hasTransaction: async (hash, signal) => (await chain.status(decodeBase58(hash) ?? new Uint8Array(SIGNATURE_BYTES), signal)).isSeen,
  news: (watched, since, signal) => readNews(chain, watched, since, signal),
  parseDestination: (text) => {
    const key = decodeBase58(text)
    if (key?.length !== 32) throw invalidField('destination', 'is not a Solana address')
    if (key.every((byte) => byte === 0)) throw invalidField('destination', 'is the system program')
    return encodeBase58(key)
  },
  transferOf: async (transfer) => ({ kind: 'solana', message: messageOf(transfer, await findPlace(chain, transfer)) }),
  objection: (transfer, _standing, signal) => objectionOf(chain, transfer, signal),
  reflected: (standing, sends, signal) => readReflected(chain, standing, sends, signal),
  // A mint that takes a fee is not spent: what is sent arrives.
  delivered: async ({ units }, { succeeded }) => (succeeded === true ? units : 0n),
})
