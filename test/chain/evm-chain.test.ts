import { afterEach, describe, expect, it } from 'vitest'
import { CallReverted } from '../../src/chain/call-reverted.ts'
import { EvmChain } from '../../src/chain/evm-chain.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import { type Answering, type Provider, startProvider } from './answering.ts'

const send = createHttpEgress({ allow: ['127.0.0.1'] })
let nowNs = 0n
const clock = { nowMs: () => 0, monotonicNs: () => nowNs }
const open: Provider[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((provider) => provider[Symbol.asyncDispose]()))
})

const ANSWERS: Readonly<Record<string, unknown>> = {
  eth_chainId: '0x1', eth_blockNumber: '0x10', eth_getCode: '0x6001', eth_call: '0x2a',
}
const usual: Answering = ({ method }) => ({ result: ANSWERS[method] })
const saying =
  (method: string, said: ReturnType<Answering>): Answering =>
  (question) => (question.method === method ? said : usual(question))

const chainOver = async (...answers: readonly Answering[]) => {
  const providers = await Promise.all(answers.map(startProvider))
  open.push(...providers)
  const rpcUrls = providers.map(({ url }) => new Secret(url))
  return { providers, chain: new EvmChain({ network: 'ethereum', chainId: 1n, rpcUrls }, send, clock) }
}

const refusalOf = async (asked: Promise<unknown>): Promise<string> => {
  const error = await asked.then(() => undefined, (reason: unknown) => reason)
  if (isFailure(error)) return error.reason
  throw error ?? new Error('was not refused')
}

const ACCOUNT = new Uint8Array(20).fill(7)
const call = { to: ACCOUNT, data: Uint8Array.of(1), gas: 1_000n }

describe('one provider', () => {
  it('answers once it has shown its chain, which it is asked once', async () => {
    const { chain, providers } = await chainOver(usual)
    expect(await chain.blockNumber()).toBe(16n)
    expect(await chain.code(ACCOUNT, 16n)).toEqual(Uint8Array.of(0x60, 1))
    expect(await chain.call(call, 16n)).toEqual(Uint8Array.of(42))
    expect(providers[0]?.asked.map(({ method }) => method)).toEqual(['eth_chainId', 'eth_blockNumber', 'eth_getCode', 'eth_call'])
    expect(providers[0]?.asked.at(-1)?.params).toEqual([{ to: `0x${'07'.repeat(20)}`, data: '0x01', gas: '0x3e8' }, '0x10'])
  })

  it('shows its chain again after a minute: what stands behind an address may change', async () => {
    const { chain, providers } = await chainOver(usual)
    expect(await chain.blockNumber()).toBe(16n)
    if (providers[0] !== undefined) providers[0].answer = saying('eth_chainId', { result: '0x2' })
    expect(await chain.blockNumber()).toBe(16n)
    nowNs += 60_000_000_000n
    expect(await refusalOf(chain.blockNumber())).toBe('CHAIN_UNAVAILABLE')
    expect(providers[0]?.asked.at(-1)?.method).toBe('eth_chainId')
  })

  it('is not believed on another chain, and never asked anything of it', async () => {
    const { chain, providers } = await chainOver(saying('eth_chainId', { result: '0x2' }))
    expect(await refusalOf(chain.code(ACCOUNT, 1n))).toBe('CHAIN_UNAVAILABLE')
    expect(providers[0]?.asked.map(({ method }) => method)).toEqual(['eth_chainId'])
  })

  const bad: readonly (readonly [string, ReturnType<Answering>])[] = [
    ['no JSON', 'pong'],
    ['no UTF-8', Buffer.from([0x7b, 0xff]).toString('latin1')],
    ['an array', '[]'],
    ['null', 'null'],
    ['the answer to another question', JSON.stringify({ jsonrpc: '2.0', id: 99, result: '0x' })],
    ['no result', {} as { result: unknown }],
    ['null as result', { result: null }],
    ['a number as result', { result: 5 }],
    ['odd hexadecimal', { result: '0x123' }],
    ['no hexadecimal', { result: '0xzz' }],
    ['an object', { result: { code: '0x' } }],
    ['an error of its own', { error: { code: -32_603, message: 'internal' } }],
    ['a rate limit with a code of reverts', { error: { code: -32_000, message: 'rate limit exceeded' } }],
    ['a head that it does not have', { error: { code: -32_000, message: 'header not found' } }],
    ['two megabytes', { result: `0x${'00'.repeat(2_000_000)}` }],
  ]
  it.each(bad)('that answers with %s is no provider', async (_name, said) => {
    const { chain } = await chainOver(saying('eth_getCode', said))
    expect(await refusalOf(chain.code(ACCOUNT, 1n))).toBe('CHAIN_UNAVAILABLE')
  })

  it.each([['code', (chain: EvmChain) => chain.code(ACCOUNT, 1n)], ['receipt', (chain: EvmChain) => chain.receipt(new Uint8Array(32))], ['counts', (chain: EvmChain) => chain.transactionCounts(ACCOUNT)]] as const)(
    'that refuses %s in the words of a revert is no provider',
    async (_name, ask) => {
      const { chain } = await chainOver((question) => (question.method === 'eth_chainId' ? usual(question) : { error: { code: -32_000, message: 'transaction indexing is in progress' } }))
      expect(await refusalOf(ask(chain))).toBe('CHAIN_UNAVAILABLE')
    },
  )

  it('that counts more than there can be is no provider', async () => {
    const { chain } = await chainOver((question) => (question.method === 'eth_chainId' ? usual(question) : { result: `0x${'f'.repeat(64)}` }))
    expect(await refusalOf(chain.blockNumber())).toBe('CHAIN_UNAVAILABLE')
    expect(await refusalOf(chain.minedCount(ACCOUNT))).toBe('CHAIN_UNAVAILABLE')
  })

  it('that is not there is no provider', async () => {
    const { chain, providers } = await chainOver(usual)
    await providers[0]?.[Symbol.asyncDispose]()
    open.splice(0)
    expect(await refusalOf(chain.blockNumber())).toBe('CHAIN_UNAVAILABLE')
  })

  it('that says in words that the code ran out has answered', async () => {
    const { chain } = await chainOver(saying('eth_call', { error: { code: -32_603, message: 'EVM error OutOfGas' } }))
    await expect(chain.call(call, 1n)).rejects.toBeInstanceOf(CallReverted)
  })

  it.each([3, -32_000, -32_015])('that says with code %i that the call reverts has answered', async (code) => {
    const { chain } = await chainOver(saying('eth_call', { error: { code, message: 'execution reverted', data: '0x' } }))
    await expect(chain.call(call, 1n)).rejects.toBeInstanceOf(CallReverted)
  })
})

describe('two providers', () => {
  it('that say the same are believed', async () => {
    const { chain, providers } = await chainOver(usual, usual)
    expect(await chain.call(call, 1n)).toEqual(Uint8Array.of(42))
    expect(providers.map(({ asked }) => asked.length)).toEqual([2, 2])
  })

  it('that say different things are both not believed', async () => {
    const { chain } = await chainOver(usual, saying('eth_call', { result: '0x2b' }))
    expect(await refusalOf(chain.call(call, 1n))).toBe('CHAIN_DISAGREEMENT')
  })

  it('disagree also where one says that the call reverts', async () => {
    const { chain } = await chainOver(saying('eth_call', { error: { code: 3, message: 'execution reverted' } }), usual)
    expect(await refusalOf(chain.call(call, 1n))).toBe('CHAIN_DISAGREEMENT')
  })

  it('that know different heads are asked about the older, which both know', async () => {
    for (const heads of [['0x10', '0xffffff'], ['0xffffff', '0x10']]) {
      const { chain } = await chainOver(...heads.map((head) => saying('eth_blockNumber', { result: head })))
      expect(await chain.blockNumber()).toBe(16n)
    }
  })

  it('the second answers where the first does not', async () => {
    const { chain } = await chainOver(() => 'pong', usual)
    expect(await chain.blockNumber()).toBe(16n)
    expect(await chain.call(call, 1n)).toEqual(Uint8Array.of(42))
  })

  it('and a third makes up for one of them, so that two are heard', async () => {
    const { chain } = await chainOver(usual, () => 'pong', saying('eth_call', { result: '0x2b' }))
    expect(await refusalOf(chain.call(call, 1n))).toBe('CHAIN_DISAGREEMENT')
  })
})

describe('a provider that fails again and again', () => {
  it('is left alone for half a minute', async () => {
    const { chain, providers } = await chainOver(() => 'pong', usual)
    for (let i = 0; i < 5; i++) await chain.blockNumber()
    expect(providers[0]?.asked.length).toBe(3)
    nowNs += 31_000_000_000n
    await chain.blockNumber()
    expect(providers[0]?.asked.length).toBe(4)
  })

  it('shows its chain again before it is believed again', async () => {
    const { chain, providers } = await chainOver(usual)
    const [provider] = providers as [Provider]
    await chain.blockNumber()
    provider.answer = () => 'pong'
    await refusalOf(chain.blockNumber())
    provider.answer = saying('eth_chainId', { result: '0x5' })
    expect(await refusalOf(chain.blockNumber())).toBe('CHAIN_UNAVAILABLE')
  })

  it('is tried all the same where there is no other', async () => {
    const { chain, providers } = await chainOver(() => 'pong')
    for (let i = 0; i < 4; i++) await refusalOf(chain.blockNumber())
    ;(providers[0] as Provider).answer = usual
    expect(await chain.blockNumber()).toBe(16n)
  })
})
