/** Every signing RPC, each answer checked by viem and, as a second opinion, by ethers. */
import { create } from '@bufbuild/protobuf'
import { getBytes, hashMessage as ethersHashMessage, recoverAddress as ethersRecover, Signature, Transaction, TypedDataEncoder } from 'ethers'
import { hashAuthorization as ethersHashAuthorization } from 'ethers'
import { hashMessage, hashTypedData, keccak256, parseTransaction, recoverAddress, recoverTransactionAddress } from 'viem'
import type { TypedDataDefinition } from 'viem'
import { hashAuthorization, recoverAuthorizationAddress } from 'viem/utils'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Signature as Answered } from '../../gen/countersign/v1/common_pb.ts'
import { EvmTransactionSchema, SignerKind, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, hex, newWallet, reasonOf, refusalOf } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'
import { TO, TOKEN, transactions, unsignedBytes } from './transactions.ts'

const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n

let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  wallet = await newWallet(client, 'signer')
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
})

/** The signature is well-formed in all its forms, low-s, and both libraries recover the wallet from it. */
const expectSigned = async (signature: Answered | undefined, digest: `0x${string}`): Promise<void> => {
  expect(signature).toBeDefined()
  const { r, s, v, yParity, raw, hex: text, base58 } = signature as Answered
  expect([r.length, s.length, raw.length]).toEqual([32, 32, 65])
  expect(BigInt(hex(s))).toBeLessThanOrEqual(HALF_ORDER)
  expect(v).toBe(27 + Number(yParity))
  expect(hex(raw)).toBe(text)
  expect(text).toBe(`${hex(r)}${hex(s).slice(2)}${Number(v).toString(16)}`)
  expect(base58).toBe('')
  expect(await recoverAddress({ hash: digest, signature: text as `0x${string}` })).toBe(wallet.address)
  expect(ethersRecover(digest, text)).toBe(wallet.address)
}

describe('SignMessage', () => {
  const texts = ['hello', '', 'Grüße 👋', '\u0000', '0x1234', 'a'.repeat(100_000), '\u0019Ethereum Signed Message:\n5hello']
  it.each(texts.map((text) => [text.length > 40 ? `${text.length} letters` : JSON.stringify(text), text]))(
    'signs the text %s under EIP-191',
    async (_name, text) => {
      const signed = await client.wallets.signMessage({ wallet: 'signer', content: { case: 'text', value: text } })
      expect(hex(signed.digest)).toBe(hashMessage(text))
      expect(hex(signed.digest)).toBe(ethersHashMessage(text))
      await expectSigned(signed.signature, hex(signed.digest))
    },
  )

  it.each([0, 1, 32, 65, 1_000])('signs %i bytes under EIP-191', async (length) => {
    const data = new Uint8Array(length).map((_, i) => i * 7)
    const signed = await client.wallets.signMessage({ wallet: 'signer', content: { case: 'data', value: data } })
    expect(hex(signed.digest)).toBe(hashMessage({ raw: data }))
    expect(hex(signed.digest)).toBe(ethersHashMessage(data))
    await expectSigned(signed.signature, hex(signed.digest))
  })

  it('takes a digest when it is_formatted, as bytes or as text with or without 0x', async () => {
    const digest = keccak256('0x0102')
    const forms = [
      { case: 'data', value: getBytes(digest) },
      { case: 'text', value: digest },
      { case: 'text', value: digest.slice(2) },
      { case: 'text', value: digest.slice(2).toUpperCase() },
    ] as const
    for (const content of forms) {
      const signed = await client.wallets.signMessage({ wallet: 'signer', content, isFormatted: true })
      expect(hex(signed.digest)).toBe(digest)
      await expectSigned(signed.signature, digest)
    }
  })

  it('refuses anything else that is_formatted', async () => {
    const refused = [
      { case: 'data', value: new Uint8Array(31) },
      { case: 'data', value: new Uint8Array(33) },
      { case: 'data', value: new Uint8Array(0) },
      { case: 'text', value: 'hello' },
      { case: 'text', value: '' },
      { case: 'text', value: `0x${'a'.repeat(63)}` },
      { case: 'text', value: `0x${'g'.repeat(64)}` },
      { case: 'text', value: ` 0x${'a'.repeat(64)}` },
      { case: 'text', value: `0x0x${'a'.repeat(62)}` },
    ] as const
    for (const content of refused) {
      const call = client.wallets.signMessage({ wallet: 'signer', content, isFormatted: true })
      expect(await refusalOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'MESSAGE_NOT_DIGEST' })
    }
    const zero = { case: 'data', value: new Uint8Array(32) } as const
    const call = client.wallets.signMessage({ wallet: 'signer', content: zero, isFormatted: true })
    expect(await reasonOf(call)).toBe('DIGEST_REFUSED')
    expect(await reasonOf(client.wallets.signMessage({ wallet: 'signer' }))).toBe('INVALID_REQUEST')
  })
})

const permit = {
  types: {
    EIP712Domain: [
      { name: 'name', type: 'string' },
      { name: 'version', type: 'string' },
      { name: 'chainId', type: 'uint256' },
      { name: 'verifyingContract', type: 'address' },
    ],
    Permit: [
      { name: 'owner', type: 'address' },
      { name: 'spender', type: 'address' },
      { name: 'value', type: 'uint256' },
      { name: 'nonce', type: 'uint256' },
      { name: 'deadline', type: 'uint256' },
    ],
  },
  primaryType: 'Permit',
  domain: { name: 'USD Coin', version: '2', chainId: 1, verifyingContract: TOKEN },
  message: { owner: TO, spender: TO, value: '1000000', nonce: '0', deadline: '1999999999' },
} as const

const nested = {
  types: {
    Leg: [
      { name: 'side', type: 'bool' },
      { name: 'amounts', type: 'int256[2]' },
      { name: 'memo', type: 'bytes' },
    ],
    Order: [
      { name: 'legs', type: 'Leg[]' },
      { name: 'tag', type: 'bytes32' },
      { name: 'note', type: 'string' },
    ],
  },
  primaryType: 'Order',
  domain: { name: 'Venue', chainId: '137', salt: `0x${'5a'.repeat(32)}` },
  message: {
    legs: [
      { side: true, amounts: ['-1', '2'], memo: '0x' },
      { side: false, amounts: ['3', '-4'], memo: '0xdeadbeef' },
    ],
    tag: `0x${'11'.repeat(32)}`,
    note: 'ünïcode',
  },
} as const

describe('SignTypedData', () => {
  it.each([
    ['a permit', permit],
    ['nested structs and arrays', nested],
  ] as const)('signs %s', async (_name, typed) => {
    const signed = await client.wallets.signTypedData({ wallet: 'signer', typedDataJson: JSON.stringify(typed) })
    const { EIP712Domain: _domain, ...types } = { EIP712Domain: [], ...typed.types }
    // viem leaves a domain's chainId out when it is text.
    const viems: unknown = { ...typed, domain: { ...typed.domain, chainId: BigInt(typed.domain.chainId) } }
    expect(hex(signed.digest)).toBe(hashTypedData(viems as TypedDataDefinition))
    expect(hex(signed.digest)).toBe(TypedDataEncoder.hash(typed.domain, types as never, typed.message))
    await expectSigned(signed.signature, hex(signed.digest))
  })

  it.each([
    ['an unknown field', { ...permit, message: { ...permit.message, extra: '1' } }],
    ['a missing field', { ...permit, message: { owner: TO } }],
    ['a number out of range', { ...permit, message: { ...permit.message, value: '-1' } }],
    ['a checksum that is wrong', { ...permit, message: { ...permit.message, spender: TO.replace('E9', 'e9') } }],
    ['an unknown primary type', { ...permit, primaryType: 'Nothing' }],
    ['the domain as primary type', { ...permit, primaryType: 'EIP712Domain' }],
    ['an unknown member', { ...permit, more: 1 }],
  ])('refuses %s', async (_name, typed) => {
    const call = client.wallets.signTypedData({ wallet: 'signer', typedDataJson: JSON.stringify(typed) })
    expect(await refusalOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'TYPED_DATA_INVALID' })
  })
})

const signAuthorization = () =>
  client.wallets.signAuthorization({ wallet: 'signer', chainId: 11155111n, address: TO, nonce: 3n })

describe('SignAuthorization', () => {
  it('signs an EIP-7702 authorization', async () => {
    const { authorization, signature, digest } = await signAuthorization()
    const fields = { chainId: 11155111, address: TO, nonce: 3 } as const
    expect(hex(digest)).toBe(hashAuthorization(fields))
    expect(hex(digest)).toBe(ethersHashAuthorization({ ...fields, nonce: 3n, chainId: 11155111n }))
    await expectSigned(signature, hex(digest))
    expect(authorization).toMatchObject({ chainId: 11155111n, address: TO, nonce: 3n, yParity: signature?.yParity })
    const { r, s, yParity } = authorization ?? { r: digest, s: digest, yParity: 0 }
    const recovered = await recoverAuthorizationAddress({ authorization: { ...fields, r: hex(r), s: hex(s), yParity } })
    expect(recovered).toBe(wallet.address)
  })

  it('refuses chain 0 to a key that does not name it, and nonces at the end', async () => {
    const ask = (chainId: bigint, nonce: bigint) =>
      client.wallets.signAuthorization({ wallet: 'signer', chainId, address: TO, nonce })
    expect(await reasonOf(ask(0n, 0n))).toBe('AUTHORIZATION_CHAIN_ZERO')
    expect(await reasonOf(ask(1n, 2n ** 64n - 1n))).toBe('AUTHORIZATION_INVALID')
  })
})

describe('SignTransaction', () => {
  const types = ['legacy', 'EIP-2930', 'EIP-1559', 'EIP-4844', 'EIP-7702']
  it.each(types)('signs a transaction: %s, from fields and from its bytes', async (name) => {
    const { authorization } = await signAuthorization()
    if (authorization === undefined) throw new Error('no authorization')
    const transaction = transactions(authorization)[name]
    if (transaction === undefined) throw new Error(name)
    const unsigned = unsignedBytes(transaction.viem)
    const fields = create(EvmTransactionSchema, transaction.fields)
    const answers = [
      await client.wallets.signTransaction({ wallet: 'signer', transaction: { case: 'evm', value: fields } }),
      await client.wallets.signTransaction({ wallet: 'signer', transaction: { case: 'evmUnsigned', value: unsigned } }),
    ]
    for (const { signedTransaction, transactionHash, signature } of answers) {
      const serialized = hex(signedTransaction) as `0x02${string}`
      await expectSigned(signature, keccak256(unsigned))
      expect(keccak256(signedTransaction)).toBe(transactionHash)
      expect(await recoverTransactionAddress({ serializedTransaction: serialized })).toBe(wallet.address)
      expect(parseTransaction(serialized).value).toBe(10n ** 18n)
      const second = Transaction.from(serialized)
      expect(second.from).toBe(wallet.address)
      expect(second.hash).toBe(transactionHash)
      expect(second.unsignedSerialized).toBe(hex(unsigned))
    }
  })

  it('refuses a Solana message, and nothing at all', async () => {
    const solana = { case: 'solanaMessage', value: new Uint8Array(100) } as const
    const refusal = await refusalOf(client.wallets.signTransaction({ wallet: 'signer', transaction: solana }))
    expect(refusal.reason).toBe('KEY_TYPE_UNSUPPORTED')
    expect(await reasonOf(client.wallets.signTransaction({ wallet: 'signer' }))).toBe('INVALID_REQUEST')
  })
})

describe('SignDigest', () => {
  it('signs 32 bytes, and never the zero digest', async () => {
    const digest = keccak256('0xabcd')
    const signed = await client.wallets.signDigest({ wallet: 'signer', digest: getBytes(digest) })
    await expectSigned(signed.signature, digest)
    const zero = client.wallets.signDigest({ wallet: 'signer', digest: new Uint8Array(32) })
    expect(await refusalOf(zero)).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'DIGEST_REFUSED' })
  })

  it.each([0, 31, 33, 64])('refuses %i bytes', async (length) => {
    const call = client.wallets.signDigest({ wallet: 'signer', digest: new Uint8Array(length).fill(1) })
    expect(await reasonOf(call)).toBe('INVALID_REQUEST')
  })

  it('signs differently each time, and well', async () => {
    const digest = getBytes(keccak256('0x99'))
    const signed = await Promise.all(Array.from({ length: 40 }, () => client.wallets.signDigest({ wallet: 'signer', digest })))
    for (const { signature } of signed) await expectSigned(signature, hex(digest))
    expect(new Set(signed.map(({ signature }) => hex(signature?.r ?? digest))).size).toBe(40)
    expect(new Set(signed.map(({ signature }) => signature?.yParity))).toEqual(new Set([0, 1]))
  })
})

describe('VerifySignature', () => {
  const text = { case: 'text', value: 'verify me' } as const

  it('knows the wallet by every reference, and any address', async () => {
    const { signature, digest } = await client.wallets.signMessage({ wallet: 'signer', content: text })
    const raw = signature?.raw ?? digest
    const signers = [
      { case: 'wallet', value: 'signer' },
      { case: 'wallet', value: wallet.walletId },
      { case: 'address', value: wallet.address.toLowerCase() },
    ] as const
    for (const signer of signers) {
      const answer = await client.wallets.verifySignature({ signer, content: text, signature: raw })
      expect(answer).toMatchObject({ valid: true, signerKind: SignerKind.EOA, recoveredAddress: wallet.address, digest })
    }
    const other = { case: 'address', value: TO } as const
    const answer = await client.wallets.verifySignature({ signer: other, content: text, signature: raw })
    expect(answer).toMatchObject({ valid: false, recoveredAddress: wallet.address })
    const elsewhere = { case: 'text', value: 'verify mE' } as const
    const signer = { case: 'wallet', value: 'signer' } as const
    expect(await client.wallets.verifySignature({ signer, content: elsewhere, signature: raw })).toMatchObject({ valid: false })
  })

  it('verifies typed data and digests', async () => {
    const signer = { case: 'wallet', value: 'signer' } as const
    const typedDataJson = JSON.stringify(permit)
    const { signature, digest } = await client.wallets.signTypedData({ wallet: 'signer', typedDataJson })
    for (const content of [{ case: 'typedDataJson', value: typedDataJson }, { case: 'digest', value: digest }] as const) {
      const answer = await client.wallets.verifySignature({ signer, content, signature: signature?.raw ?? digest })
      expect(answer).toMatchObject({ valid: true, digest })
    }
  })

  it('takes every usual form of one signature', async () => {
    const signer = { case: 'wallet', value: 'signer' } as const
    for (let i = 0; i < 4; i++) {
      const { signature, digest } = await client.wallets.signMessage({ wallet: 'signer', content: text })
      const { r, s, yParity } = signature ?? { r: digest, s: digest, yParity: 0 }
      const bare = getBytes(`${hex(r)}${hex(s).slice(2)}0${Number(yParity)}`)
      const compact = getBytes(Signature.from(signature?.hex ?? '').compactSerialized)
      for (const bytes of [signature?.raw ?? digest, bare, compact]) {
        const answer = await client.wallets.verifySignature({ signer, content: text, signature: bytes })
        expect(answer).toMatchObject({ valid: true, recoveredAddress: wallet.address })
      }
    }
  })

  it('does not call a high-s twin valid, and refuses what is no signature', async () => {
    const { signature, digest } = await client.wallets.signMessage({ wallet: 'signer', content: text })
    const { r, s, yParity } = signature ?? { r: digest, s: digest, yParity: 0 }
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
    const twin = (order - BigInt(hex(s))).toString(16).padStart(64, '0')
    const signer = { case: 'wallet', value: 'signer' } as const
    const verify = (bytes: Uint8Array) => client.wallets.verifySignature({ signer, content: text, signature: bytes })
    const high = await verify(getBytes(`${hex(r)}${twin}${(28 - Number(yParity)).toString(16)}`))
    expect(high).toMatchObject({ valid: false, recoveredAddress: '' })
    const [malformed, v30] = [new Uint8Array(66).fill(1), getBytes(`${hex(r)}${hex(s).slice(2)}1e`)]
    for (const bytes of [new Uint8Array(65).fill(255), new Uint8Array(65), malformed, v30, getBytes('0x01')]) {
      expect(await reasonOf(verify(bytes))).toBe('SIGNATURE_MALFORMED')
    }
  })
})
