/** Input that no client library would send, on both ports: refused by name, alike, with nothing done. */
import { create, type DescMessage, type MessageShape, toBinary, toJsonString } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  CreateWalletRequestSchema,
  GetWalletRequestSchema,
  SignDigestRequestSchema,
  SignMessageRequestSchema,
  SignTransactionRequestSchema,
  SignTypedDataRequestSchema,
} from '../../gen/countersign/v1/wallet_pb.ts'
import { FreezeRequestSchema } from '../../gen/countersign/v1/admin_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newWallet, outcomeOf } from './callers.ts'
import { signAs } from './signing-calls.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'
import { bytesOf, transferFields } from './transactions.ts'
import { callConnect, callGrpc, type WireAnswer } from './wire.ts'

let daemon: TestDaemon
let client: CountersignClient

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  await newWallet(client, 'target')
})
afterAll(async () => {
  expect(daemon.output()).not.toMatch(/"level":"(error|fatal)"|internal_error|node:internal/)
  client.close()
  await daemon[Symbol.asyncDispose]()
})

const WALLETS = 'WalletService'
const INVALID = 3

/** The same message over gRPC, Connect with protobuf and Connect with JSON; the three answers have to be equal. */
const onBothPorts = async <Desc extends DescMessage>(
  method: string,
  desc: Desc,
  message: MessageShape<Desc>,
): Promise<WireAnswer> => {
  const bytes = toBinary(desc, message)
  const answers = await Promise.all([
    callGrpc(daemon, method, bytes),
    callConnect(daemon, method, bytes, 'application/proto'),
    callConnect(daemon, method, toJsonString(desc, message)),
  ])
  const [grpc] = answers
  for (const answer of answers) expect(answer).toEqual(grpc)
  return grpc
}

/** Rows of intents and wallets: what bad input must not add to. */
const effects = async (): Promise<string> => {
  const rows = await Promise.all(
    ['sign.intent', 'wallet.created', 'freeze.added'].map(async (kind) => (await client.audit.listEvents({ kind, pageSize: 500 })).events.length),
  )
  return rows.join()
}

const transaction = (hex: string) =>
  create(SignTransactionRequestSchema, { wallet: 'target', transaction: { case: 'evmUnsigned', value: bytesOf(hex) } })
const typed = (json: string) => create(SignTypedDataRequestSchema, { wallet: 'target', typedDataJson: json })
const fields = (rest: Parameters<typeof transferFields>[0]) =>
  create(SignTransactionRequestSchema, { wallet: 'target', transaction: { case: 'evm', value: transferFields(rest) } })

const deep = (levels: number): string => {
  const types: Record<string, unknown> = {}
  for (let i = 0; i < levels; i++) types[`T${i}`] = [i + 1 < levels ? { name: 'v', type: `T${i + 1}` } : { name: 'v', type: 'uint8' }]
  let message: unknown = { v: 1 }
  for (let i = 1; i < levels; i++) message = { v: message }
  return JSON.stringify({ types, primaryType: 'T0', domain: { name: 'd', chainId: 1 }, message })
}
const arrays = (levels: number): string => {
  const value = `${'['.repeat(levels)}1${']'.repeat(levels)}`
  const type = `uint8${'[]'.repeat(levels)}`
  return `{"types":{"T":[{"name":"v","type":"${type}"}]},"primaryType":"T","domain":{"name":"d"},"message":{"v":${value}}}`
}
const T = '"types":{"T":[{"name":"v","type":"uint256"}]},"primaryType":"T","domain":{"name":"d","chainId":1}'

const TYPED_DATA: Readonly<Record<string, string>> = {
  'no JSON': 'x{',
  'a JSON array': '[]',
  'a duplicate key': `{${T},"message":{"v":"1","v":"2"}}`,
  'a duplicate type': `{"types":{"T":[],"T":[{"name":"v","type":"uint256"}]},"primaryType":"T","domain":{},"message":{"v":1}}`,
  'a prototype': `{${T},"message":{"v":"1","__proto__":{"v":"2"}}}`,
  'a number beyond the safe integers': `{${T},"message":{"v":9007199254740993}}`,
  'a fraction': `{${T},"message":{"v":1.5}}`,
  'an exponent': `{${T},"message":{"v":1e3}}`,
  'a number with a leading zero': `{${T},"message":{"v":"01"}}`,
  'a number with a sign': `{${T},"message":{"v":"+1"}}`,
  'a number beyond its type': `{${T},"message":{"v":"${2n ** 256n}"}}`,
  'null': `{${T},"message":{"v":null}}`,
  'a type like a built-in': `{"types":{"uint256":[{"name":"v","type":"uint8"}]},"primaryType":"uint256","domain":{},"message":{"v":1}}`,
  'a struct that holds itself': `{"types":{"T":[{"name":"v","type":"T"}]},"primaryType":"T","domain":{},"message":{"v":{"v":null}}}`,
  'a lone surrogate': `{"types":{"T":[{"name":"v","type":"string"}]},"primaryType":"T","domain":{},"message":{"v":"\\ud800"}}`,
  'nested 200 structs deep': deep(200),
  'nested 5000 arrays deep': arrays(5_000),
  'an array of 200,000': `{"types":{"T":[{"name":"v","type":"uint8[]"}]},"primaryType":"T","domain":{},"message":{"v":[${Array(100_000).fill(1).join()}]}}`,
}

const TRANSACTIONS: Readonly<Record<string, string>> = {
  'one byte': '02',
  'no RLP': 'ffffff',
  'bytes left over': 'ec098504a817c80082520894353535353535353535353535353535353535353588 0de0b6b3a76400008001808000'.replace(' ', ''),
  'without a chain id': 'e9098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080',
  'a leading zero': 'ed098504a817c80083005208943535353535353535353535353535353535353535880de0b6b3a764000080018080',
  'a long form that could be short': 'f82c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080',
  'an address of 19 bytes': 'eb098504a817c8008252089335353535353535353535353535353535353535880de0b6b3a764000080018080',
  'an unknown type': `05ec${'00'.repeat(43)}`,
  'a signed one':
    'f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83',
  'lists 10,000 deep': 'f9'.repeat(3) + 'c1'.repeat(10_000),
}

describe.each(Object.entries(TYPED_DATA))('typed data with %s', (_name, json) => {
  it('is refused alike on both ports', async () => {
    const answer = await onBothPorts(`${WALLETS}/SignTypedData`, SignTypedDataRequestSchema, typed(json))
    expect(answer).toMatchObject({ code: INVALID, reason: 'TYPED_DATA_INVALID', domain: 'countersign' })
    expect(answer.metadata?.['retryable']).toBe('no')
    expect(answer.message.length).toBeLessThan(900)
  })
})

describe.each(Object.entries(TRANSACTIONS))('a transaction: %s', (_name, hex) => {
  it('is refused alike on both ports', async () => {
    const answer = await onBothPorts(`${WALLETS}/SignTransaction`, SignTransactionRequestSchema, transaction(hex))
    expect(answer).toMatchObject({ code: INVALID, reason: 'TRANSACTION_INVALID', domain: 'countersign' })
  })
})

describe('fields', () => {
  it('out of their range or form are named', async () => {
    const cases: readonly (readonly [Parameters<typeof transferFields>[0], string])[] = [
      [{ value: '01' }, 'evm.value'],
      [{ value: '-1' }, 'evm.value'],
      [{ value: '1.0' }, 'evm.value'],
      [{ value: '0x10' }, 'evm.value'],
      [{ to: '0x1234' }, 'evm.to'],
      [{ chainId: 0n }, 'evm.chain_id'],
      [{ gasLimit: 0n }, 'evm.gas_limit'],
      [{ type: 99 as never }, 'evm.type'],
      [{ blobVersionedHashes: [new Uint8Array(31)] }, 'evm.blob_versioned_hashes[0]'],
    ]
    for (const [rest, field] of cases) {
      const answer = await onBothPorts(`${WALLETS}/SignTransaction`, SignTransactionRequestSchema, fields(rest))
      expect(answer, field).toMatchObject({ code: INVALID, reason: 'INVALID_REQUEST', fields: [field] })
    }
    const judged: readonly Parameters<typeof transferFields>[0][] = [
      { value: String(2n ** 256n) },
      { gasPrice: '1' },
      { maxFeePerGas: '1', maxPriorityFeePerGas: '2' },
      { to: '0x11e9CA82A3a762b4B5bd264d4173a242e7a77064' },
    ]
    for (const rest of judged) {
      const answer = await onBothPorts(`${WALLETS}/SignTransaction`, SignTransactionRequestSchema, fields(rest))
      expect(answer).toMatchObject({ code: INVALID, reason: 'TRANSACTION_INVALID' })
    }
  })

  it('of the wrong length are named', async () => {
    for (const length of [0, 31, 33]) {
      const message = create(SignDigestRequestSchema, { wallet: 'target', digest: new Uint8Array(length).fill(1) })
      const answer = await onBothPorts(`${WALLETS}/SignDigest`, SignDigestRequestSchema, message)
      expect(answer).toMatchObject({ code: INVALID, reason: 'INVALID_REQUEST', fields: ['digest'] })
    }
    const long = create(GetWalletRequestSchema, { wallet: 'x'.repeat(129) })
    expect(await onBothPorts(`${WALLETS}/GetWallet`, GetWalletRequestSchema, long)).toMatchObject({ fields: ['wallet'] })
    const none = create(SignMessageRequestSchema, { wallet: 'target' })
    expect(await onBothPorts(`${WALLETS}/SignMessage`, SignMessageRequestSchema, none)).toMatchObject({ fields: ['content'] })
    const scope = create(FreezeRequestSchema, { scope: 9 as never, id: 'x' })
    expect(await onBothPorts('AdminService/Freeze', FreezeRequestSchema, scope)).toMatchObject({ fields: ['scope'] })
  })
})

describe('refusals', () => {
  it('are the same on both ports, whatever the reason', async () => {
    const unknown = create(GetWalletRequestSchema, { wallet: 'nobody' })
    expect(await onBothPorts(`${WALLETS}/GetWallet`, GetWalletRequestSchema, unknown)).toEqual({
      code: 5,
      message: 'no such wallet',
      reason: 'WALLET_NOT_FOUND',
      domain: 'countersign',
      metadata: { retryable: 'no' },
    })
    const taken = create(CreateWalletRequestSchema, { userId: 'target', keyType: 1 })
    expect(await onBothPorts(`${WALLETS}/CreateWallet`, CreateWalletRequestSchema, taken)).toMatchObject({
      code: 6,
      reason: 'WALLET_ALREADY_EXISTS',
    })
    const stranger = { ...daemon, adminKey: `csk_${'0'.repeat(16)}_${'A'.repeat(43)}` }
    const bytes = toBinary(GetWalletRequestSchema, unknown)
    const [grpc, json] = [
      await callGrpc(stranger, `${WALLETS}/GetWallet`, bytes),
      await callConnect(stranger, `${WALLETS}/GetWallet`, '{"wallet":"nobody"}'),
    ]
    expect(grpc).toEqual(json)
    expect(grpc).toMatchObject({ code: 16, reason: 'API_KEY_INVALID', metadata: { retryable: 'no' } })
  })
})

describe('bytes that are no request', () => {
  it('are refused by name on both ports', async () => {
    const garbage = [bytesOf('ff'), bytesOf('0a05616263'), bytesOf('0affffffff0f'), Buffer.alloc(100, 0xff), bytesOf('0a02c328')]
    for (const bytes of garbage) {
      const grpc = await callGrpc(daemon, `${WALLETS}/GetWallet`, bytes)
      const proto = await callConnect(daemon, `${WALLETS}/GetWallet`, bytes, 'application/proto')
      expect(grpc).toEqual(proto)
      expect(grpc).toMatchObject({ code: INVALID, reason: 'INVALID_REQUEST', domain: 'countersign' })
    }
    for (const json of ['', '{', '[]', 'null', '{"wallet":1}', '{"wallet":"a","wallet":"b"', '{"wallet":"target","more":1}', '{"keyType":"NOPE"}']) {
      const answer = await callConnect(daemon, `${WALLETS}/GetWallet`, json)
      expect(answer, json).toMatchObject({ code: INVALID, reason: 'INVALID_REQUEST' })
    }
  })

  it('too many of them are refused before they are read', async () => {
    const large = create(SignMessageRequestSchema, { wallet: 'target', content: { case: 'data', value: new Uint8Array(300_000) } })
    const answer = await onBothPorts(`${WALLETS}/SignMessage`, SignMessageRequestSchema, large)
    expect(answer).toMatchObject({ code: 8, reason: 'REQUEST_TOO_LARGE', metadata: { retryable: 'no' } })
    const fits = create(SignMessageRequestSchema, { wallet: 'target', content: { case: 'data', value: new Uint8Array(250_000) } })
    expect(await callGrpc(daemon, `${WALLETS}/SignMessage`, toBinary(SignMessageRequestSchema, fits))).toMatchObject({ code: 0 })
    const data = new Uint8Array(1_000_000).fill(1)
    const big = fields({ data, gasLimit: 30_000_000n })
    expect(await callGrpc(daemon, `${WALLETS}/SignTransaction`, toBinary(SignTransactionRequestSchema, big))).toMatchObject({ code: 0 })
    const bigger = fields({ data: new Uint8Array(1_600_000), gasLimit: 30_000_000n })
    const bytes = toBinary(SignTransactionRequestSchema, bigger)
    // Beyond the largest message of any method gRPC's own reader answers, with the code alone.
    expect(await callGrpc(daemon, `${WALLETS}/SignTransaction`, bytes)).toMatchObject({ code: 8 })
    const overConnect = await callConnect(daemon, `${WALLETS}/SignTransaction`, bytes, 'application/proto')
    expect(overConnect).toMatchObject({ code: 8, reason: 'REQUEST_TOO_LARGE' })
    const length = Buffer.from('00fffffffe', 'hex')
    expect((await callGrpc(daemon, `${WALLETS}/GetWallet`, length, true)).code).not.toBe(0)
  })

  it('on paths that are not there reach nothing', async () => {
    const paths = [`${WALLETS}/Nothing`, `${WALLETS}/getWallet`, 'Nothing/GetWallet', `${WALLETS}//GetWallet`, `${WALLETS}/GetWallet/`]
    for (const path of paths) {
      const grpc = await callGrpc(daemon, path, new Uint8Array())
      expect(grpc.code, path).toBe(12)
    }
  })
})

describe('after all of it', () => {
  it('the daemon has done nothing of it and goes on', async () => {
    const before = await effects()
    for (const json of Object.values(TYPED_DATA)) await callGrpc(daemon, `${WALLETS}/SignTypedData`, toBinary(SignTypedDataRequestSchema, typed(json)))
    for (const hex of Object.values(TRANSACTIONS)) await callGrpc(daemon, `${WALLETS}/SignTransaction`, toBinary(SignTransactionRequestSchema, transaction(hex)))
    expect(await effects()).toBe(before)
    expect(await outcomeOf(signAs('SignMessage text', client, { wallet: 'target' }))).toBe('signed')
    expect((await client.audit.verifyChain({})).valid).toBe(true)
  })
})
