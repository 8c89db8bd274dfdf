import { afterEach, describe, expect, it } from 'vitest'
import { SolanaChain } from '../../src/chain/solana-chain.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import { type Answering, type Provider, startProvider } from './answering.ts'

const send = createHttpEgress({ allow: ['127.0.0.1'] })
const clock = { nowMs: () => 0, monotonicNs: () => 0n }
const open: Provider[] = []
const GENESIS = encodeBase58(new Uint8Array(32).fill(1))
const key = (seed: number): string => encodeBase58(new Uint8Array(32).fill(seed))
const SIGNATURE = new Uint8Array(64).fill(3)

afterEach(async () => {
  await Promise.all(open.splice(0).map((provider) => provider[Symbol.asyncDispose]()))
})

type Says = Readonly<Record<string, unknown>>
const saying = (answers: Says): Answering => ({ method }) => {
  const said = method === 'getGenesisHash' ? (answers[method] ?? GENESIS) : answers[method]
  return said instanceof Error ? { error: { code: Number(said.name), message: said.message } } : { result: said }
}
const refusing = (code: number, message: string): Error => Object.assign(new Error(message), { name: String(code) })
const at = (slot: number, value: unknown) => ({ context: { slot }, value })

const chainOver = async (...answers: readonly Says[]) => {
  const providers = await Promise.all(answers.map((one) => startProvider(saying(one))))
  open.push(...providers)
  const rpcUrls = providers.map(({ url }) => new Secret(url))
  return { providers, chain: new SolanaChain({ network: 'solana', genesisHash: GENESIS, commitment: 'confirmed', rpcUrls }, send, clock) }
}
const refusalOf = async (asked: Promise<unknown>): Promise<string> => {
  const error = await asked.then(() => undefined, (reason: unknown) => reason)
  if (isFailure(error)) return error.reason
  throw error ?? new Error('was not refused')
}

const account = (data: string, owner = key(8)) => ({ owner, lamports: 5, data: [Buffer.from(data).toString('base64'), 'base64'], executable: false })
const accountsOf = (slot: number, data: string) => ({ getMultipleAccounts: at(slot, [account(data), null]) })

describe('accounts', () => {
  it('are those that two nodes agree on, at the lower of their slots', async () => {
    const { chain, providers } = await chainOver(accountsOf(12, 'a'), accountsOf(10, 'a'))
    expect(await chain.accounts([new Uint8Array(32).fill(5), new Uint8Array(32).fill(6)])).toEqual({
      slot: 10, value: [{ owner: key(8), data: new Uint8Array(Buffer.from('a')) }, undefined],
    })
    expect(providers[0]?.asked.map(({ method }) => method)).toEqual(['getGenesisHash', 'getMultipleAccounts'])
    expect(providers[0]?.asked[1]?.params).toEqual([[key(5), key(6)], { encoding: 'base64', commitment: 'confirmed', dataSlice: { offset: 0, length: 8_192 } }])
  })

  it('that a node has only a moment later are waited for; for ever they are not', async () => {
    const { chain, providers } = await chainOver(accountsOf(12, 'b'), accountsOf(10, 'a'))
    const late = providers[1] as Provider
    late.answer = ({ method }) => {
      const isFirst = late.asked.filter((one) => one.method === method).length === 1
      return method === 'getGenesisHash' ? { result: GENESIS } : { result: accountsOf(13, isFirst ? 'a' : 'b').getMultipleAccounts }
    }
    expect((await chain.accounts([new Uint8Array(32), new Uint8Array(32)])).slot).toBe(12)
    late.answer = saying(accountsOf(10, 'a'))
    expect(await refusalOf(chain.accounts([new Uint8Array(32), new Uint8Array(32)]))).toBe('CHAIN_DISAGREEMENT')
  })

  const bad: readonly (readonly [string, unknown])[] = [
    ['no context', { value: [null, null] }],
    ['a slot that is none', at(-1, [null, null])],
    ['a slot beyond what a number holds', at(2 ** 60, [null, null])],
    ['fewer accounts', at(1, [null])],
    ['more accounts', at(1, [null, null, null])],
    ['another encoding', at(1, [{ ...account('a'), data: ['a', 'base58'] }, null])],
    ['base64 that is none', at(1, [{ ...account('a'), data: ['?', 'base64'] }, null])],
    ['an owner that is none', at(1, [account('a', 'abc'), null])],
    ['an account that is longer than was asked for', at(1, [account('x'.repeat(20_000)), null])],
    ['null', null],
  ]
  it.each(bad)('with %s are no answer', async (_name, said) => {
    const { chain } = await chainOver({ getMultipleAccounts: said })
    expect(await refusalOf(chain.accounts([new Uint8Array(32), new Uint8Array(32)]))).toBe('CHAIN_UNAVAILABLE')
  })

  it('of another cluster are never asked for', async () => {
    const { chain, providers } = await chainOver({ ...accountsOf(1, 'a'), getGenesisHash: key(9) })
    expect(await refusalOf(chain.accounts([new Uint8Array(32)]))).toBe('CHAIN_UNAVAILABLE')
    expect(providers[0]?.asked.map(({ method }) => method)).toEqual(['getGenesisHash'])
  })
})

const blockhash = (seed: number, last: number) => ({ getLatestBlockhash: at(1, { blockhash: key(seed), lastValidBlockHeight: last }) })
const status = (slot: number, confirmationStatus: string, err: unknown = null) => ({ slot, confirmations: null, err, confirmationStatus })
const statuses = (...list: readonly unknown[]) => ({ getSignatureStatuses: at(9, list) })

describe('what transactions hang on', () => {
  it('is the older blockhash of two, over only when both have passed the later end', async () => {
    const { chain } = await chainOver(blockhash(1, 210), blockhash(2, 200))
    expect(await chain.latestBlockhash()).toEqual({ blockhash: new Uint8Array(32).fill(2), lastValidBlockHeight: 242n })
  })

  it('is not believed where nodes are further apart than a blockhash lives', async () => {
    const { chain } = await chainOver(blockhash(1, 400), blockhash(2, 200))
    expect(await refusalOf(chain.latestBlockhash())).toBe('CHAIN_DISAGREEMENT')
  })

  it('is the height and the slot of the node that is behind', async () => {
    const { chain } = await chainOver({ getBlockHeight: 90, getSlot: 110 }, { getBlockHeight: 80, getSlot: 120 })
    expect([await chain.finalizedHeight(), await chain.slot()]).toEqual([80n, 110n])
  })

  it('is what the node says of them that knows least, and whether anybody knows them', async () => {
    const { chain } = await chainOver(
      statuses(status(5, 'finalized'), status(6, 'confirmed'), null, null),
      statuses(status(5, 'confirmed'), null, status(7, 'processed', { InstructionError: [0, 'x'] }), null),
    )
    expect(await chain.statuses([SIGNATURE, SIGNATURE, SIGNATURE, SIGNATURE])).toEqual([
      { state: 'confirmed', succeeded: true, slot: 5n, isSeen: true },
      { state: 'unknown', isSeen: true },
      { state: 'unknown', isSeen: true },
      { state: 'unknown', isSeen: false },
    ])
    expect([chain.counts({ state: 'processed', succeeded: true, slot: 1n }), chain.counts({ state: 'confirmed', succeeded: true, slot: 1n })]).toEqual([false, true])
  })

  it('is nothing where one says that it failed and the other that it did not', async () => {
    const { chain } = await chainOver(statuses(status(5, 'confirmed')), statuses(status(5, 'confirmed', 'no')))
    expect(await refusalOf(chain.status(SIGNATURE))).toBe('CHAIN_DISAGREEMENT')
  })

  it.each([['no commitment', { slot: 1, err: null }], ['no outcome', { slot: 1, confirmationStatus: 'confirmed' }], ['no slot', { err: null, confirmationStatus: 'confirmed' }]])(
    'is no status with %s',
    async (_name, said) => {
      const { chain } = await chainOver(statuses(said))
      expect(await refusalOf(chain.status(SIGNATURE))).toBe('CHAIN_UNAVAILABLE')
    },
  )

  it('of a transaction in a version that is not known is unreadable, and no outage', async () => {
    const { chain } = await chainOver({ getTransaction: refusing(-32_015, 'Transaction version (1) is not supported by the requesting client') })
    expect(await chain.transaction(SIGNATURE)).toBe('unreadable')
    expect(await chain.transaction(SIGNATURE)).toBe('unreadable')
  })

  it('is a fee that three of four did not pay, and none where nobody says', async () => {
    const fees = [4, 1, 3, 2].map((prioritizationFee, slot) => ({ slot, prioritizationFee }))
    expect(await (await chainOver({ getRecentPrioritizationFees: fees })).chain.priorityFee([])).toBe(4n)
    expect(await (await chainOver({ getRecentPrioritizationFees: [] })).chain.priorityFee([])).toBe(0n)
  })

  it('is what a run without signatures used, or why it failed', async () => {
    const { chain } = await chainOver({ simulateTransaction: at(1, { err: null, unitsConsumed: 4_500, logs: [] }) })
    expect(await chain.simulate(new Uint8Array(3))).toEqual({ units: 4_500 })
    const failing = await chainOver({ simulateTransaction: at(1, { err: { InstructionError: [1, { Custom: 1 }] }, logs: [] }) })
    expect(await failing.chain.simulate(new Uint8Array(3))).toBe('fails')
  })
})
