/** How many decimals a token counts in is asked once; what cannot be read, or is told twice differently, is no token. */
import { afterEach, expect, it } from 'vitest'
import { EvmChain } from '../../src/chain/evm-chain.ts'
import { readDecimals } from '../../src/chain/token-decimals.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import { type Answering, type Provider, startProvider } from './answering.ts'

const TOKEN = new Uint8Array(20).fill(7)
const word = (value: bigint): string => `0x${value.toString(16).padStart(64, '0')}`
const open: Provider[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((provider) => provider[Symbol.asyncDispose]()))
})

type Call = ReturnType<Answering>
const chainOver = async (...calls: readonly Call[]) => {
  const providers = await Promise.all(calls.map((call) => startProvider(({ method }) => (method === 'eth_call' ? call : { result: '0x1' }))))
  open.push(...providers)
  const clock = { nowMs: () => 0, monotonicNs: () => 0n }
  const rpcUrls = providers.map(({ url }) => new Secret(url))
  return { chain: new EvmChain({ network: 'ethereum', chainId: 1n, rpcUrls }, createHttpEgress({ allow: ['127.0.0.1'] }), clock), providers }
}

it('is asked of a chain once', async () => {
  const { chain, providers } = await chainOver({ result: word(18n) }, { result: word(18n) })
  expect(await readDecimals(chain, TOKEN, 18)).toBe(18)
  const asked = providers[0]?.asked.length
  expect(await readDecimals(chain, TOKEN, 18)).toBe(18)
  expect(providers[0]?.asked.length).toBe(asked)
})

it('is asked again after a provider said something else', async () => {
  const { chain, providers } = await chainOver({ result: word(18n) })
  expect(await readDecimals(chain, TOKEN, 6)).toBe(18)
  if (providers[0] !== undefined) providers[0].answer = ({ method }) => ({ result: method === 'eth_call' ? word(6n) : '0x1' })
  expect(await readDecimals(chain, TOKEN, 6)).toBe(6)
})

it.each([
  ['nothing', { result: '0x' }],
  ['a revert', { error: { code: 3, message: 'execution reverted' } }],
  ['more than there are', { result: word(256n) }],
  ['two words', { result: `${word(6n)}${word(6n).slice(2)}` }],
])('is unknown of a token that answers %s, and asked again the next time', async (_name, said) => {
  const { chain, providers } = await chainOver(said)
  expect(await readDecimals(chain, TOKEN, 6)).toBeUndefined()
  if (providers[0] !== undefined) providers[0].answer = ({ method }) => ({ result: method === 'eth_call' ? word(6n) : '0x1' })
  expect(await readDecimals(chain, TOKEN, 6)).toBe(6)
})

it('is nothing that two providers tell differently', async () => {
  const { chain } = await chainOver({ result: word(6n) }, { result: word(18n) })
  await expect(readDecimals(chain, TOKEN, 6)).rejects.toMatchObject({ reason: 'CHAIN_DISAGREEMENT' })
})
