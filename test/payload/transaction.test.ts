import { Transaction } from 'ethers'
import * as fc from 'fast-check'
import { serializeTransaction } from 'viem'
import { describe, expect, it } from 'vitest'
import { MAX_CHAIN_ID, MAX_NONCE } from '../../src/payload/authorization.ts'
import { concatBytes, toHex } from '../../src/payload/bytes.ts'
import { decodeUnsignedTransaction } from '../../src/payload/decode-transaction.ts'
import { examine } from '../../src/payload/examine.ts'
import { keccak256 } from '../../src/payload/keccak.ts'
import type { RlpItem } from '../../src/payload/rlp.ts'
import { decodeRlp, encodeRlp } from '../../src/payload/rlp.ts'
import type { EvmTransactionFields } from '../../src/payload/transaction-fields.ts'
import { parseTransactionFields } from '../../src/payload/transaction-fields.ts'
import type { EvmTransaction } from '../../src/payload/transaction.ts'
import { attachSignature, encodeUnsignedTransaction } from '../../src/payload/transaction.ts'
import { refusalOf } from './refusal.ts'

const TO = '0x11E9CA82A3a762b4B5bd264d4173a242e7a77064'
const HASH = new Uint8Array(32).fill(1)
const AUTHORIZATION = { chainId: 1n, address: TO, nonce: 1n, yParity: 1, r: HASH, s: HASH }

const FIELDS = {
  legacy: { type: 'legacy', chainId: 1n, nonce: 0n, gasLimit: 21_000n, gasPrice: '1', to: TO, value: '1' },
  'access-list': { type: 'access-list', chainId: 1n, nonce: 0n, gasLimit: 21_000n, gasPrice: '1', to: TO },
  'dynamic-fee': {
    type: 'dynamic-fee',
    chainId: 1n,
    nonce: 0n,
    gasLimit: 21_000n,
    maxFeePerGas: '2',
    maxPriorityFeePerGas: '1',
    to: TO,
    value: '1000000000000000000',
  },
  blob: {
    type: 'blob',
    chainId: 1n,
    nonce: 0n,
    gasLimit: 21_000n,
    maxFeePerGas: '2',
    maxPriorityFeePerGas: '1',
    to: TO,
    maxFeePerBlobGas: '3',
    blobVersionedHashes: [HASH],
  },
  'set-code': {
    type: 'set-code',
    chainId: 1n,
    nonce: 0n,
    gasLimit: 21_000n,
    maxFeePerGas: '2',
    maxPriorityFeePerGas: '1',
    to: TO,
    authorizationList: [AUTHORIZATION],
  },
} as const satisfies Record<string, EvmTransactionFields>

type Type = keyof typeof FIELDS
const TYPES = Object.keys(FIELDS) as Type[]

const hex32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const hex20 = fc.uint8Array({ minLength: 20, maxLength: 20 })
const amount = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 256n) - 1n }), fc.bigInt({ min: 0n, max: 1000n }))
const u64 = fc.bigInt({ min: 0n, max: MAX_NONCE })

/** Any transaction of a type, as fields. Chain ids stay in JavaScript's safe range because viem takes numbers. */
const anyFields = (type: Type): fc.Arbitrary<EvmTransactionFields> =>
  fc
    .record({
      chainId: fc.bigInt({ min: 1n, max: 1n << 50n }),
      nonce: fc.bigInt({ min: 0n, max: BigInt(Number.MAX_SAFE_INTEGER) }),
      gasLimit: u64,
      fees: fc.tuple(amount, amount),
      value: amount,
      to: fc.option(hex20, { nil: undefined, freq: 8 }),
      data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
      accessList: fc.array(fc.record({ address: hex20, storageKeys: fc.array(hex32, { maxLength: 3 }) }), {
        maxLength: 3,
      }),
      blobs: fc.array(hex32, { minLength: 1, maxLength: 6 }),
      authorizations: fc.array(
        fc.record({
          chainId: fc.nat().map(BigInt),
          address: hex20,
          nonce: fc.nat().map(BigInt),
          yParity: fc.nat(1),
          r: hex32,
          s: hex32,
        }),
        { minLength: 1, maxLength: 3 },
      ),
    })
    .map((made): EvmTransactionFields => {
      const [low, high] = made.fees[0] < made.fees[1] ? made.fees : ([made.fees[1], made.fees[0]] as const)
      const required = type === 'blob' || type === 'set-code'
      const to = made.to ?? (required ? new Uint8Array(20) : undefined)
      const { chainId, nonce, gasLimit, data } = made
      const common = {
        type,
        chainId,
        nonce,
        gasLimit,
        data,
        value: made.value.toString(),
        ...(to && { to: toHex(to) }),
      }
      if (type === 'legacy') return { ...common, gasPrice: high.toString() }
      const accessList = made.accessList.map((entry) => ({ ...entry, address: toHex(entry.address) }))
      if (type === 'access-list') return { ...common, gasPrice: high.toString(), accessList }
      const shared = { ...common, accessList, maxFeePerGas: high.toString(), maxPriorityFeePerGas: low.toString() }
      if (type === 'dynamic-fee') return shared
      if (type === 'blob') {
        const blobVersionedHashes = made.blobs.map((blob) => concatBytes(Uint8Array.of(1), blob.subarray(1)))
        return { ...shared, maxFeePerBlobGas: low.toString(), blobVersionedHashes }
      }
      const halved = (scalar: Uint8Array) =>
        concatBytes(Uint8Array.of((scalar[0] ?? 0) >> 2), scalar.subarray(1, 31), Uint8Array.of(1))
      const authorizationList = made.authorizations.map((each) => ({
        ...each,
        address: toHex(each.address),
        r: halved(each.r),
        s: halved(each.s),
      }))
      return { ...shared, authorizationList }
    })

const VIEM_TYPES = {
  legacy: 'legacy',
  'access-list': 'eip2930',
  'dynamic-fee': 'eip1559',
  blob: 'eip4844',
  'set-code': 'eip7702',
}

const viemUnsigned = (fields: EvmTransactionFields): string =>
  serializeTransaction({
    type: VIEM_TYPES[fields.type],
    chainId: Number(fields.chainId),
    nonce: Number(fields.nonce),
    gas: fields.gasLimit,
    ...(fields.to !== undefined && { to: fields.to }),
    value: BigInt(fields.value ?? 0),
    data: toHex(fields.data ?? new Uint8Array()),
    ...(fields.gasPrice !== undefined && { gasPrice: BigInt(fields.gasPrice) }),
    ...(fields.maxFeePerGas !== undefined && { maxFeePerGas: BigInt(fields.maxFeePerGas) }),
    ...(fields.maxPriorityFeePerGas !== undefined && {
      maxPriorityFeePerGas: BigInt(fields.maxPriorityFeePerGas),
    }),
    ...(fields.maxFeePerBlobGas !== undefined && { maxFeePerBlobGas: BigInt(fields.maxFeePerBlobGas) }),
    ...(fields.accessList !== undefined && {
      accessList: fields.accessList.map(({ address, storageKeys }) => ({
        address,
        storageKeys: storageKeys.map(toHex),
      })),
    }),
    ...(fields.blobVersionedHashes !== undefined && {
      blobVersionedHashes: fields.blobVersionedHashes.map(toHex),
    }),
    ...(fields.authorizationList !== undefined && {
      authorizationList: fields.authorizationList.map((each) => ({
        ...each,
        chainId: Number(each.chainId),
        nonce: Number(each.nonce),
        r: toHex(each.r),
        s: toHex(each.s),
      })),
    }),
  } as never)

const MAX_FEE = (1n << 256n) - 1n

describe.each(TYPES)('%s transactions', (type) => {
  it('are written as viem and ethers write them, and read back', () => {
    fc.assert(
      fc.property(anyFields(type), (fields) => {
        // viem takes the largest fee for a mistake
        fc.pre(
          [fields.gasPrice, fields.maxFeePerGas, fields.maxFeePerBlobGas].every(
            (fee) => fee !== MAX_FEE.toString(),
          ),
        )
        const transaction = parseTransactionFields(fields)
        const unsigned = encodeUnsignedTransaction(transaction)
        const ethers = Transaction.from(toHex(unsigned))
        expect(ethers.unsignedSerialized).toBe(toHex(unsigned))
        expect(ethers.unsignedHash).toBe(toHex(keccak256(unsigned)))
        expect(toHex(unsigned)).toBe(viemUnsigned(fields))
        expect(decodeUnsignedTransaction(unsigned)).toEqual(transaction)
      }),
      { numRuns: 60, seed: 44 },
    )
  })

  it('are accepted in one encoding only', () => {
    const mutated = fc.tuple(anyFields(type), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(3))
    fc.assert(
      fc.property(mutated, ([fields, at, byte, what]) => {
        const unsigned = encodeUnsignedTransaction(parseTransactionFields(fields))
        const place = at % unsigned.length
        const changed =
          what === 0
            ? concatBytes(unsigned, Uint8Array.of(byte))
            : what === 1
              ? unsigned.slice(0, place)
              : concatBytes(
                  unsigned.subarray(0, place),
                  Uint8Array.of(byte),
                  unsigned.subarray(place + (what === 2 ? 1 : 0)),
                )
        let read: EvmTransaction | undefined
        const refusal = refusalOf(() => {
          read = decodeUnsignedTransaction(changed)
        })
        if (read === undefined) expect(refusal?.reason).toBe('TRANSACTION_INVALID')
        else expect(toHex(encodeUnsignedTransaction(read))).toBe(toHex(changed))
      }),
      { numRuns: 250, seed: 45 },
    )
  })

  it.each<[string, Partial<EvmTransactionFields>, string]>([
    ['chain id 0', { chainId: 0n }, 'chain_id'],
    ['a chain id over EIP-2294', { chainId: MAX_CHAIN_ID + 1n }, 'chain_id'],
    ['the last nonce', { nonce: MAX_NONCE + 1n }, 'nonce'],
    ['a negative nonce', { nonce: -1n }, 'nonce'],
    ['gas over 64 bits', { gasLimit: 1n << 64n }, 'gas_limit'],
    ['a value over 256 bits', { value: (1n << 256n).toString() }, 'value'],
    ['a value with a sign', { value: '+1' }, 'value'],
    ['a negative value', { value: '-1' }, 'value'],
    ['a value with a fraction', { value: '1.0' }, 'value'],
    ['a value with an exponent', { value: '1e18' }, 'value'],
    ['a hex value', { value: '0x1' }, 'value'],
    ['a value with a leading zero', { value: '01' }, 'value'],
    ['a value with a space', { value: '1 ' }, 'value'],
    ['a value of very many digits', { value: '9'.repeat(100_000) }, 'value'],
    ['an address with a wrong checksum', { to: TO.replace('11E9', '11e9') }, 'to'],
    ['an address without 0x', { to: TO.slice(2) }, 'to'],
    ['a short address', { to: '0x1234' }, 'to'],
    ['a name as address', { to: 'vitalik.eth' }, 'to'],
  ])('refuse %s', (_what, change, field) => {
    const refusal = refusalOf(() => parseTransactionFields({ ...FIELDS[type], ...change }))
    expect(refusal).toMatchObject({ reason: 'TRANSACTION_INVALID', facts: { field } })
  })

  it('refuse the fields of other types', () => {
    for (const other of TYPES) {
      for (const [name, value] of Object.entries(FIELDS[other])) {
        if (name in FIELDS[type] || name === 'value') continue
        const refusal = refusalOf(() => parseTransactionFields({ ...FIELDS[type], [name]: value }))
        expect(refusal, `${name} in ${type}`).toMatchObject({ reason: 'TRANSACTION_INVALID' })
      }
    }
  })

  it('create a contract only where the type can, and with code', () => {
    const { to: _to, ...creation } = FIELDS[type]
    const withCode = { ...creation, data: Uint8Array.of(0x60) }
    const creates = type !== 'blob' && type !== 'set-code'
    expect(refusalOf(() => parseTransactionFields(withCode))?.facts['field']).toBe(creates ? undefined : 'to')
    expect(refusalOf(() => parseTransactionFields(creation))?.facts['field']).toBe(creates ? 'data' : 'to')
  })

  it('take only signatures in range and with low s', () => {
    const transaction = parseTransactionFields(FIELDS[type])
    const high = new Uint8Array(32).fill(0xaa)
    expect(refusalOf(() => attachSignature(transaction, { r: HASH, s: high, yParity: 0 }))?.reason).toBe(
      'SIGNATURE_MALFORMED',
    )
    expect(
      refusalOf(() => attachSignature(transaction, { r: new Uint8Array(32), s: HASH, yParity: 0 }))?.reason,
    ).toBe('SIGNATURE_MALFORMED')
  })
})

describe('refusals of single types', () => {
  it.each<[string, Type, Partial<EvmTransactionFields>, string]>([
    ['a priority fee over the fee', 'dynamic-fee', { maxPriorityFeePerGas: '3' }, 'max_priority_fee_per_gas'],
    ['no blobs', 'blob', { blobVersionedHashes: [] }, 'blob_versioned_hashes'],
    [
      'a blob hash of another version',
      'blob',
      { blobVersionedHashes: [new Uint8Array(32)] },
      'blob_versioned_hashes',
    ],
    ['a short blob hash', 'blob', { blobVersionedHashes: [new Uint8Array(31).fill(1)] }, 'blob_versioned_hashes'],
    [
      'too many blobs',
      'blob',
      { blobVersionedHashes: Array.from({ length: 65 }, () => HASH) },
      'blob_versioned_hashes',
    ],
    ['no authorizations', 'set-code', { authorizationList: [] }, 'authorization_list'],
    [
      'an authorization with parity 2',
      'set-code',
      { authorizationList: [{ ...AUTHORIZATION, yParity: 2 }] },
      'authorization_list[0].y_parity',
    ],
    [
      'an authorization with r = 0',
      'set-code',
      { authorizationList: [{ ...AUTHORIZATION, r: new Uint8Array(32) }] },
      'authorization_list[0].r',
    ],
    [
      'an authorization with high s',
      'set-code',
      { authorizationList: [{ ...AUTHORIZATION, s: new Uint8Array(32).fill(0x80) }] },
      'authorization_list[0].s',
    ],
    [
      'an authorization with the last nonce',
      'set-code',
      { authorizationList: [{ ...AUTHORIZATION, nonce: MAX_NONCE + 1n }] },
      'authorization_list[0].nonce',
    ],
    [
      'an authorization with a short r',
      'set-code',
      { authorizationList: [{ ...AUTHORIZATION, r: HASH.subarray(1) }] },
      'authorization_list[0]',
    ],
    [
      'a short storage key',
      'access-list',
      { accessList: [{ address: TO, storageKeys: [HASH.subarray(1)] }] },
      'access_list[0].storage_keys',
    ],
    [
      'an access list address with a wrong checksum',
      'access-list',
      { accessList: [{ address: TO.replace('E9', 'e9'), storageKeys: [] }] },
      'access_list[0].address',
    ],
  ])('refuses %s', (_what, type, change, field) => {
    expect(refusalOf(() => parseTransactionFields({ ...FIELDS[type], ...change }))).toMatchObject({
      reason: 'TRANSACTION_INVALID',
      facts: { field },
    })
  })

  const legacy = (change: (items: RlpItem[]) => void): Uint8Array => {
    const items = [
      ...(decodeRlp(encodeUnsignedTransaction(parseTransactionFields(FIELDS.legacy))) as readonly RlpItem[]),
    ]
    change(items)
    return encodeRlp(items)
  }

  it.each<[string, Uint8Array, string]>([
    ['pre-EIP-155', legacy((items) => items.splice(6)), 'chain_id'],
    ['EIP-155 with a signature', legacy((items) => items.splice(7, 2, HASH, HASH)), 'evm_unsigned'],
    ['zeros written as a zero byte', legacy((items) => items.splice(7, 1, Uint8Array.of(0))), 'evm_unsigned'],
    ['a nonce with a leading zero', legacy((items) => items.splice(0, 1, Uint8Array.of(0, 1))), 'nonce'],
    ['a nonce of zero as a byte', legacy((items) => items.splice(0, 1, Uint8Array.of(0))), 'nonce'],
    ['a value over 32 bytes', legacy((items) => items.splice(4, 1, new Uint8Array(33).fill(1))), 'value'],
    ['a list for an integer', legacy((items) => items.splice(0, 1, [])), 'nonce'],
    ['a list for the data', legacy((items) => items.splice(5, 1, [])), 'data'],
    ['an address of 19 bytes', legacy((items) => items.splice(3, 1, new Uint8Array(19))), 'to'],
    ['a field too many', legacy((items) => items.push(new Uint8Array())), 'evm_unsigned'],
    ['no bytes', new Uint8Array(), 'evm_unsigned'],
    ['type 0', Uint8Array.of(0, 0xc0), 'evm_unsigned'],
    ['type 5', Uint8Array.of(5, 0xc0), 'evm_unsigned'],
    ['a string for a list', Uint8Array.of(2, 0x80), 'evm_unsigned'],
    ['the sidecar form of a blob transaction', Uint8Array.of(3, 0xc4, 0xc0, 0xc0, 0xc0, 0xc0), 'evm_unsigned'],
  ])('refuses %s', (_what, unsigned, field) => {
    expect(refusalOf(() => decodeUnsignedTransaction(unsigned))).toMatchObject({
      reason: 'TRANSACTION_INVALID',
      facts: { field },
    })
  })

  it('bounds the size, and reads the largest quickly', () => {
    const data = new Uint8Array(1536 * 1024 - 100).fill(0x5b)
    const unsigned = encodeUnsignedTransaction(parseTransactionFields({ ...FIELDS['dynamic-fee'], data }))
    const started = performance.now()
    expect(examine({ kind: 'transaction', unsigned }).digest.length).toBe(32)
    expect(performance.now() - started).toBeLessThan(200)
    const larger = encodeUnsignedTransaction(
      parseTransactionFields({ ...FIELDS['dynamic-fee'], data: new Uint8Array(1536 * 1024) }),
    )
    expect(refusalOf(() => decodeUnsignedTransaction(larger))?.reason).toBe('REQUEST_TOO_LARGE')
  })
})
