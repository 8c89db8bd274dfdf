import { encodeFunctionData, parseAbi, toFunctionSelector } from 'viem'
import { describe, expect, it } from 'vitest'
import { parseAuthorization } from '../../src/payload/authorization.ts'
import { concatBytes, fromHex, toHex } from '../../src/payload/bytes.ts'
import { examine } from '../../src/payload/examine.ts'
import type { SigningFacts } from '../../src/payload/facts.ts'
import { formatFacts } from '../../src/payload/facts.ts'
import { TOKEN_CALLS, UNLIMITED } from '../../src/payload/token-calls.ts'
import type { EvmTransactionFields } from '../../src/payload/transaction-fields.ts'
import { parseTransactionFields } from '../../src/payload/transaction-fields.ts'
import { encodeUnsignedTransaction } from '../../src/payload/transaction.ts'
import { refusalOf } from './refusal.ts'

const TOKEN = '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48'
const ALICE = `0x${'a1'.repeat(20)}` as const
const BOB = `0x${'b0'.repeat(20)}` as const
const PERMIT2 = '0x000000000022d473030f116ddee9f6b43ac78ba3'

const transactionFacts = (fields: Partial<EvmTransactionFields>): SigningFacts => {
  const base = { chainId: 1n, nonce: 0n, gasLimit: 21_000n, to: TOKEN }
  const fees = { type: 'dynamic-fee', maxFeePerGas: '10', maxPriorityFeePerGas: '1' } as const
  const made =
    fields.type === 'legacy' || fields.type === 'access-list'
      ? { ...base, ...fields }
      : { ...base, ...fees, ...fields }
  const unsigned = encodeUnsignedTransaction(parseTransactionFields(made as EvmTransactionFields))
  return examine({ kind: 'transaction', unsigned }).facts
}

const typedDataFacts = (data: unknown): SigningFacts =>
  examine({ kind: 'typed-data', json: Buffer.from(JSON.stringify(data)) }).facts

const FEE = { token: 'eip155:1/fee', amount: 210_000n }
const dataOf = (hex: string) => fromHex(hex) as Uint8Array

const abi = parseAbi([
  'function transfer(address,uint256)',
  'function transferFrom(address,address,uint256)',
  'function approve(address,uint256)',
  'function increaseAllowance(address,uint256)',
  'function decreaseAllowance(address,uint256)',
  'function increaseApproval(address,uint256)',
  'function decreaseApproval(address,uint256)',
  'function permit(address,address,uint256,uint256,uint8,bytes32,bytes32)',
  'function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)',
  'function safeTransferFrom(address,address,uint256)',
  'function safeTransferFrom(address,address,uint256,bytes)',
  'function safeTransferFrom(address,address,uint256,uint256,bytes)',
  'function safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)',
  'function setApprovalForAll(address,bool)',
  'function transferAndCall(address,uint256)',
  'function transferAndCall(address,uint256,bytes)',
  'function transferFromAndCall(address,address,uint256)',
  'function transferFromAndCall(address,address,uint256,bytes)',
  'function approveAndCall(address,uint256)',
  'function approveAndCall(address,uint256,bytes)',
  'function send(address,uint256,bytes)',
  'function operatorSend(address,address,uint256,bytes,bytes)',
  'function authorizeOperator(address)',
])

const WORD = `0x${'11'.repeat(32)}`
/** The calls of the abi above, in its order: arguments, who is reached, and the amount. */
const CALLS: [unknown[], 'recipient' | 'spender', bigint][] = [
  [[BOB, 5n], 'recipient', 5n],
  [[ALICE, BOB, 6n], 'recipient', 6n],
  [[BOB, UNLIMITED], 'spender', UNLIMITED],
  [[BOB, 7n], 'spender', 7n],
  [[BOB, 8n], 'spender', 0n],
  [[BOB, 9n], 'spender', 9n],
  [[BOB, 10n], 'spender', 0n],
  [[ALICE, BOB, 11n, 1n, 27, WORD, WORD], 'spender', 11n],
  [[ALICE, BOB, 12n, 0n, 1n, WORD, 27, WORD, WORD], 'recipient', 12n],
  [[ALICE, BOB, 13n], 'recipient', 1n],
  [[ALICE, BOB, 14n, '0x1234'], 'recipient', 1n],
  [[ALICE, BOB, 15n, 16n, '0x'], 'recipient', 16n],
  [[ALICE, BOB, [1n, 2n], [3n, 4n], '0x'], 'recipient', UNLIMITED],
  [[BOB, true], 'spender', UNLIMITED],
  [[BOB, 17n], 'recipient', 17n],
  [[BOB, 18n, '0x99'], 'recipient', 18n],
  [[ALICE, BOB, 19n], 'recipient', 19n],
  [[ALICE, BOB, 20n, '0x'], 'recipient', 20n],
  [[BOB, 21n], 'spender', 21n],
  [[BOB, 22n, '0x'], 'spender', 22n],
  [[BOB, 23n, '0x'], 'recipient', 23n],
  [[ALICE, BOB, 24n, '0x', '0x'], 'recipient', 24n],
  [[BOB], 'spender', UNLIMITED],
]

const calldata = (index: number): Uint8Array => {
  const item = abi[index]
  const args = CALLS[index]?.[0]
  return dataOf(encodeFunctionData({ abi: [item], args } as never))
}

describe('token calls', () => {
  it('have the selectors of their names', () => {
    expect(TOKEN_CALLS.size).toBe(abi.length)
    for (const [selector, { name }] of TOKEN_CALLS) expect(toFunctionSelector(`function ${name}`)).toBe(selector)
  })

  it.each(CALLS.map(([, role, amount], index) => [index, role, amount] as const))(
    'call %i reaches its %s with %s',
    (index, role, amount) => {
      const facts = transactionFacts({ data: calldata(index) })
      expect(facts).toMatchObject({
        effect: 'transfer',
        chainIds: [1n],
        selector: toHex(calldata(index).subarray(0, 4)),
      })
      expect(facts.call).toBeDefined()
      expect(facts.destinations).toEqual([
        { role: 'to', address: TOKEN },
        { role, address: BOB },
      ])
      expect(facts.spends).toEqual([FEE, { token: `eip155:1/${TOKEN}`, amount }])
    },
  )

  it.each(CALLS.map((_call, index) => index))('call %i that is cut short is malformed, not unknown', (index) => {
    const data = calldata(index)
    const words = TOKEN_CALLS.get(toHex(data.subarray(0, 4)))?.words ?? 0
    expect(transactionFacts({ data: data.subarray(0, 4 + 32 * words - 1) }).effect).toBe('malformed-call')
    expect(transactionFacts({ data: data.subarray(0, 4) }).effect).toBe('malformed-call')
  })

  it('are malformed with anything after them, or with dirty bits over an address', () => {
    const transfer = calldata(0)
    expect(transactionFacts({ data: concatBytes(transfer, Uint8Array.of(0)) })).toMatchObject({
      effect: 'malformed-call',
      destinations: [{ role: 'to', address: TOKEN }],
      spends: [FEE],
    })
    const dirty = Uint8Array.from(transfer, (byte, at) => (at === 4 ? 1 : byte))
    expect(transactionFacts({ data: dirty }).effect).toBe('malformed-call')
    const approvalForAll = calldata(13)
    expect(
      transactionFacts({ data: Uint8Array.from(approvalForAll, (byte, at) => (at === 67 ? 2 : byte)) }).effect,
    ).toBe('malformed-call')
  })

  it('take back an operator for nothing', () => {
    const data = dataOf(encodeFunctionData({ abi, functionName: 'setApprovalForAll', args: [BOB, false] }))
    expect(transactionFacts({ data }).spends).toEqual([FEE, { token: `eip155:1/${TOKEN}`, amount: 0n }])
  })
})

describe('transactions', () => {
  it('that carry value', () => {
    expect(transactionFacts({ value: '7' })).toMatchObject({
      operation: 'transaction',
      effect: 'transfer',
      transactionType: 'dynamic-fee',
      destinations: [{ role: 'to', address: TOKEN }],
      spends: [FEE, { token: 'eip155:1/native', amount: 7n }],
      summary: `dynamic-fee transaction on chain 1: 7 wei to ${TOKEN}`,
    })
  })

  it('that call what is not known', () => {
    const facts = transactionFacts({ value: '7', data: dataOf('0xdeadbeef00') })
    expect(facts).toMatchObject({
      effect: 'call',
      selector: '0xdeadbeef',
      destinations: [{ role: 'to', address: TOKEN }],
    })
    expect(facts.call).toBeUndefined()
    expect(transactionFacts({ data: dataOf('0xa905') }).effect).toBe('call')
  })

  it('that create a contract, whatever the code begins with', () => {
    const facts = transactionFacts({ to: '', data: calldata(0) })
    expect(facts).toMatchObject({ effect: 'creation', destinations: [], spends: [FEE] })
    expect(facts.selector).toBeUndefined()
  })

  it('that count the largest fee', () => {
    expect(transactionFacts({ type: 'legacy', gasPrice: '3' }).spends).toEqual([
      { token: 'eip155:1/fee', amount: 63_000n },
    ])
    const blob = {
      type: 'blob',
      maxFeePerBlobGas: '2',
      blobVersionedHashes: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(1)],
    } as const
    const facts = transactionFacts(blob)
    expect(facts.blobCount).toBe(2)
    expect(facts.spends).toEqual([{ token: 'eip155:1/fee', amount: 210_000n + 2n * 131_072n * 2n }])
  })

  const half = new Uint8Array(32).fill(1)
  const authorization = { chainId: 0n, address: BOB, nonce: 1n, yParity: 0, r: half, s: half }

  it('that delegate, on every chain their authorizations name', () => {
    const list = [authorization, { ...authorization, chainId: 1n, address: ALICE }]
    const facts = transactionFacts({ type: 'set-code', authorizationList: list, data: calldata(0) })
    expect(facts).toMatchObject({ effect: 'delegation', chainIds: [1n, 0n] })
    expect(facts.delegations).toEqual([
      { chainId: 0n, delegate: BOB },
      { chainId: 1n, delegate: ALICE },
    ])
    expect(facts.destinations.map(({ role }) => role)).toEqual(['to', 'recipient', 'delegate', 'delegate'])
  })

  it('that delegate and hide a token call', () => {
    const data = concatBytes(calldata(0), Uint8Array.of(0))
    expect(transactionFacts({ type: 'set-code', authorizationList: [authorization], data }).effect).toBe(
      'malformed-call',
    )
  })
})

const domain = { name: 'USD Coin', version: '2', chainId: 1, verifyingContract: TOKEN }
const fieldsOf = (text: string) =>
  text.split(',').map((each) => ({ type: each.split(' ')[0], name: each.split(' ')[1] }))
const permit = (change: Record<string, unknown> = {}) => ({
  types: { Permit: fieldsOf('address owner,address spender,uint256 value,uint256 nonce,uint256 deadline') },
  primaryType: 'Permit',
  domain,
  message: { owner: ALICE, spender: BOB, value: '1000000', nonce: 0, deadline: 1 },
  ...change,
})

describe('typed data', () => {
  it('that is a permit allows its spender the amount', () => {
    expect(typedDataFacts(permit())).toMatchObject({
      operation: 'typed-data',
      effect: 'transfer',
      chainIds: [1n],
      destinations: [
        { role: 'verifying-contract', address: TOKEN },
        { role: 'spender', address: BOB },
      ],
      spends: [{ token: `eip155:1/${TOKEN}`, amount: 1_000_000n }],
      typedData: { primaryType: 'Permit', domainName: 'USD Coin', chainId: 1n, verifyingContract: TOKEN },
      summary: `typed data Permit of USD Coin on chain 1 for ${TOKEN}`,
    })
  })

  it("that is DAI's permit allows everything or nothing", () => {
    const types = { Permit: fieldsOf('address holder,address spender,uint256 nonce,uint256 expiry,bool allowed') }
    const of = (allowed: boolean) => ({ holder: ALICE, spender: BOB, nonce: 0, expiry: 0, allowed })
    expect(typedDataFacts(permit({ types, message: of(true) })).spends[0]?.amount).toBe(UNLIMITED)
    expect(typedDataFacts(permit({ types, message: of(false) })).spends[0]?.amount).toBe(0n)
  })

  it.each(['TransferWithAuthorization', 'ReceiveWithAuthorization'])(
    'that is %s reaches its recipient',
    (primaryType) => {
      const fields = fieldsOf(
        'address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce',
      )
      const message = { from: ALICE, to: BOB, value: 9, validAfter: 0, validBefore: 1, nonce: WORD }
      const facts = typedDataFacts(permit({ types: { [primaryType]: fields }, primaryType, message }))
      expect(facts).toMatchObject({ effect: 'transfer', spends: [{ token: `eip155:1/${TOKEN}`, amount: 9n }] })
      expect(facts.destinations).toContainEqual({ role: 'recipient', address: BOB })
    },
  )

  const permit2Domain = { name: 'Permit2', chainId: 1, verifyingContract: PERMIT2 }
  const details = fieldsOf('address token,uint160 amount,uint48 expiration,uint48 nonce')
  const permissions = fieldsOf('address token,uint256 amount')
  const detail = (amount: number) => ({ token: TOKEN, amount, expiration: 0, nonce: 0 })

  it.each<[string, unknown, unknown, bigint]>([
    [
      'PermitSingle',
      {
        PermitSingle: fieldsOf('PermitDetails details,address spender,uint256 sigDeadline'),
        PermitDetails: details,
      },
      { details: detail(5), spender: BOB, sigDeadline: 1 },
      5n,
    ],
    [
      'PermitBatch',
      {
        PermitBatch: fieldsOf('PermitDetails[] details,address spender,uint256 sigDeadline'),
        PermitDetails: details,
      },
      { details: [detail(5), detail(6)], spender: BOB, sigDeadline: 1 },
      11n,
    ],
    [
      'PermitTransferFrom',
      {
        PermitTransferFrom: fieldsOf('TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline'),
        TokenPermissions: permissions,
      },
      { permitted: { token: TOKEN, amount: 7 }, spender: BOB, nonce: 0, deadline: 1 },
      7n,
    ],
    [
      'PermitBatchTransferFrom',
      {
        PermitBatchTransferFrom: fieldsOf(
          'TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline',
        ),
        TokenPermissions: permissions,
      },
      { permitted: [{ token: TOKEN, amount: 8 }], spender: BOB, nonce: 0, deadline: 1 },
      8n,
    ],
  ])("that is Permit2's %s", (primaryType, types, message, amount) => {
    const facts = typedDataFacts({ types, primaryType, domain: permit2Domain, message })
    expect(facts).toMatchObject({ effect: 'transfer', spends: [{ token: `eip155:1/${TOKEN}`, amount }] })
    expect(facts.destinations).toContainEqual({ role: 'spender', address: BOB })
    expect(facts.destinations).toContainEqual({ role: 'token', address: TOKEN })
    const elsewhere = typedDataFacts({
      types,
      primaryType,
      domain: { ...permit2Domain, verifyingContract: BOB },
      message,
    })
    expect(elsewhere).toMatchObject({ effect: 'opaque', spends: [] })
  })

  it.each<[string, unknown]>([
    [
      'of another type with the same name',
      permit({
        types: { Permit: fieldsOf('address owner,address spender,uint256 value,uint256 nonce,uint64 deadline') },
      }),
    ],
    ['without a chain', permit({ domain: { name: 'x', verifyingContract: TOKEN } })],
    ['without a contract', permit({ domain: { name: 'x', chainId: 1 } })],
  ])('permit-like %s is opaque', (_what, data) => {
    expect(typedDataFacts(data)).toMatchObject({ effect: 'opaque', spends: [] })
  })

  it('has a summary without control characters and of bounded length', () => {
    const name = `\u001b[31m\n${'x'.repeat(10_000)}`
    const { summary } = typedDataFacts(permit({ domain: { ...domain, name } }))
    expect(summary).toMatch(/^[\x20-\x7e]{1,400}$/)
  })
})

describe('everything else', () => {
  it('names nobody and no chain', () => {
    const nothing = { effect: 'opaque', chainIds: [], destinations: [], spends: [], delegations: [] }
    const message = examine({ kind: 'message', message: Buffer.from('hello') })
    expect(message.facts).toMatchObject({ operation: 'message', ...nothing, summary: 'message of 5 bytes' })
    const digest = new Uint8Array(32).fill(7)
    const examined = examine({ kind: 'digest', digest })
    expect(examined).toMatchObject({ digest, facts: { operation: 'digest', ...nothing } })
  })

  it('is an authorization', () => {
    const authorization = parseAuthorization({ chainId: 0n, address: BOB, nonce: 4n })
    expect(examine({ kind: 'authorization', ...authorization }).facts).toMatchObject({
      operation: 'authorization',
      effect: 'delegation',
      chainIds: [0n],
      destinations: [{ role: 'delegate', address: BOB }],
      delegations: [{ chainId: 0n, delegate: BOB }],
      nonce: 4n,
      summary: `authorization of ${BOB} on every chain`,
    })
  })

  it('is refused where it is malformed', () => {
    expect(refusalOf(() => examine({ kind: 'digest', digest: new Uint8Array(32) }))?.reason).toBe('DIGEST_REFUSED')
    expect(refusalOf(() => examine({ kind: 'digest', digest: new Uint8Array(31) }))?.reason).toBe('DIGEST_REFUSED')
    expect(refusalOf(() => examine({ kind: 'typed-data', json: Buffer.from('{}') }))?.reason).toBe(
      'TYPED_DATA_INVALID',
    )
    expect(refusalOf(() => examine({ kind: 'transaction', unsigned: Uint8Array.of(2) }))?.reason).toBe(
      'TRANSACTION_INVALID',
    )
    const authorization = {
      kind: 'authorization',
      chainId: 1n << 63n,
      address: new Uint8Array(20),
      nonce: 0n,
    } as const
    expect(refusalOf(() => examine(authorization))?.reason).toBe('AUTHORIZATION_INVALID')
  })

  it('is written as JSON with integers as text', () => {
    const facts: unknown = JSON.parse(formatFacts(transactionFacts({ value: '7' })))
    expect(facts).toMatchObject({ chainIds: ['1'], nonce: '0', spends: [{ amount: '210000' }, { amount: '7' }] })
  })
})
