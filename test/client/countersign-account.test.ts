import type { ServiceImpl } from '@connectrpc/connect'
import {
  getAddress,
  hexToBytes,
  keccak256,
  numberToHex,
  serializeTransaction,
  type Hex,
  type TransactionSerializable,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { SignMessageResponse, WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { type CountersignAccount, toCountersignAccount } from '../../src/client/countersign-account.ts'
import { createCountersignClient } from '../../src/client/countersign-client.ts'
import { AnswerMismatchError } from '../../src/client/verify-signature.ts'
import { createHonestWallet, signatureOf, startLyingDaemon } from './lying-daemon.ts'

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const TO = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8'
const honest = createHonestWallet()
const local = privateKeyToAccount(honest.privateKey)

const fees = { maxFeePerGas: 20n, maxPriorityFeePerGas: 1n }
const base = { chainId: 31337, nonce: 3, gas: 21_000n, to: TO, value: 5n } as const
const accessList = [{ address: TO, storageKeys: [`0x${'11'.repeat(32)}`] }] as const
const blobs = { maxFeePerBlobGas: 1n, blobVersionedHashes: [`0x01${'22'.repeat(31)}`] as Hex[] }
const authorization = await local.signAuthorization({ address: TO, chainId: 31337, nonce: 0 })

const TRANSACTIONS: Readonly<Record<string, TransactionSerializable>> = {
  legacy: { type: 'legacy', ...base, gasPrice: 20n },
  'legacy without a stated type': { ...base, gasPrice: 20n },
  eip2930: { type: 'eip2930', ...base, gasPrice: 20n, accessList },
  eip1559: { type: 'eip1559', ...base, ...fees },
  'eip1559 creating a contract': { type: 'eip1559', ...base, ...fees, to: null, data: '0x6000' },
  eip4844: { type: 'eip4844', ...base, ...fees, ...blobs },
  eip7702: { type: 'eip7702', ...base, ...fees, authorizationList: [authorization] },
}

const TYPED_DATA = {
  domain: { name: 'Exchange', version: '1', chainId: 31337n, verifyingContract: TO },
  types: {
    Order: [
      { name: 'owner', type: 'address' },
      { name: 'amount', type: 'uint256' },
    ],
  },
  primaryType: 'Order',
  message: { owner: TO, amount: 2n ** 255n },
} as const

/** Runs `use` with an account whose daemon answers honestly except where `lies` says otherwise. */
const withAccount = async <T>(
  lies: Partial<ServiceImpl<typeof WalletService>>,
  use: (account: CountersignAccount) => Promise<T>,
): Promise<T> => {
  await using daemon = await startLyingDaemon({ wallets: { ...honest.answers, ...lies } })
  using client = createCountersignClient({ endpoint: daemon.endpoint, apiKey: 'csk_x' })
  return await use(toCountersignAccount(client, honest.wallet))
}

describe('the viem account', () => {
  it('has the wallet\'s address and public key', () =>
    withAccount({}, async (account) => {
      expect(account).toMatchObject({ address: local.address, publicKey: local.publicKey, type: 'local' })
      expect(account).toMatchObject({ source: 'countersign', walletId: honest.wallet.walletId })
    }))

  it('signs what a local account signs', () =>
    withAccount({}, async (account) => {
      const hash = keccak256('0x01')
      expect(await account.sign({ hash })).toBe(await local.sign({ hash }))
      for (const message of ['', 'h\u00e9llo', { raw: '0xdeadbeef' }, { raw: new Uint8Array([1, 2]) }] as const) {
        expect(await account.signMessage({ message })).toBe(await local.signMessage({ message }))
      }
      expect(await account.signTypedData(TYPED_DATA)).toBe(await local.signTypedData(TYPED_DATA))
      const asked = { chainId: 1, nonce: 7 }
      const expected = await local.signAuthorization({ ...asked, address: TO })
      expect(await account.signAuthorization({ ...asked, address: TO })).toEqual(expected)
      expect(await account.signAuthorization({ ...asked, contractAddress: TO })).toEqual(expected)
    }))

  it.each(Object.keys(TRANSACTIONS))('signs a transaction: %s', (name) =>
    withAccount({}, async (account) => {
      const transaction = TRANSACTIONS[name] as TransactionSerializable
      expect(await account.signTransaction(transaction)).toBe(await local.signTransaction(transaction))
    }),
  )

  it('puts the blobs back around a signed blob transaction', () =>
    withAccount({}, async (account) => {
      const bytes = `0x${'33'.repeat(48)}` as const
      const transaction = {
        type: 'eip4844',
        ...base,
        ...fees,
        ...blobs,
        sidecars: [{ blob: '0x44', commitment: bytes, proof: bytes }],
      } as const
      expect(await account.signTransaction(transaction)).toBe(await local.signTransaction(transaction))
    }))

  it('uses the serializer it is given', () =>
    withAccount({}, async (account) => {
      let calls = 0
      const serializer: typeof serializeTransaction = (...args) => {
        calls += 1
        return serializeTransaction(...args)
      }
      const transaction = TRANSACTIONS['eip1559'] as TransactionSerializable
      expect(await account.signTransaction(transaction, { serializer })).toBe(await local.signTransaction(transaction))
      expect(calls).toBe(2)
    }))
})

type Answer = Pick<SignMessageResponse, 'digest'> & { signature: Awaited<ReturnType<typeof signatureOf>> }
type Lie = (honestAnswer: Answer) => Promise<object> | object

const highS = ({ signature }: Answer): object => {
  const s = numberToHex(ORDER - BigInt(`0x${Buffer.from(signature.s).toString('hex')}`), { size: 32 })
  const yParity = 1 - signature.yParity
  const hex = `0x${Buffer.from(signature.r).toString('hex')}${s.slice(2)}${(27 + yParity).toString(16)}` as const
  return { signature: { ...signature, s: hexToBytes(s), yParity, v: 27 + yParity, hex, raw: hexToBytes(hex) } }
}

const LIES: Readonly<Record<string, Lie>> = {
  'no signature': () => ({}),
  'the signature of another key': async ({ digest }) => ({
    signature: await signatureOf(`0x${Buffer.from(digest).toString('hex')}`, generatePrivateKey()),
  }),
  'the wallet\'s signature over something else': async () => ({
    signature: await signatureOf(keccak256('0x02'), honest.privateKey),
  }),
  'a high s': highS,
  'the wrong recovery id': ({ signature }) => ({ signature: { ...signature, yParity: 1 - signature.yParity } }),
  'a recovery id beyond 1': ({ signature }) => ({ signature: { ...signature, yParity: 2 } }),
  'no recovery id': ({ signature }) => ({ signature: { ...signature, yParity: undefined } }),
  'a short r': ({ signature }) => ({ signature: { ...signature, r: signature.r.slice(1) } }),
  'another signature as hex': ({ signature }) => ({ signature: { ...signature, hex: `0x${'11'.repeat(65)}` } }),
  'another signature as raw': ({ signature }) => ({ signature: { ...signature, raw: new Uint8Array(65) } }),
  'another v': ({ signature }) => ({ signature: { ...signature, v: 29 } }),
  'zeros': ({ signature }) => ({ signature: { ...signature, r: new Uint8Array(32), s: new Uint8Array(32) } }),
}

describe('an answer that is not what was asked for', () => {
  it.each(Object.entries(LIES))('is refused: %s', (_, lie) => {
    const lies: Partial<ServiceImpl<typeof WalletService>> = {
      signMessage: async (request) => lie(await honest.answers.signMessage(request)),
      signTypedData: async (request) => lie(await honest.answers.signTypedData(request)),
      signDigest: async (request) => lie(await honest.answers.signDigest(request)),
    }
    return withAccount(lies, async (account) => {
      await expect(account.signMessage({ message: 'x' })).rejects.toThrow(AnswerMismatchError)
      await expect(account.signTypedData(TYPED_DATA)).rejects.toThrow(AnswerMismatchError)
      await expect(account.sign({ hash: keccak256('0x01') })).rejects.toThrow(AnswerMismatchError)
    })
  })

  it('is refused: another transaction, though the wallet signed it', () => {
    const transaction = TRANSACTIONS['eip1559'] as TransactionSerializable
    const signTransaction = async () => {
      const value = hexToBytes(serializeTransaction({ ...transaction, value: 6n }))
      return await honest.answers.signTransaction({ transaction: { case: 'evmUnsigned', value } } as never)
    }
    return withAccount({ signTransaction }, async (account) => {
      await expect(account.signTransaction(transaction)).rejects.toThrow(AnswerMismatchError)
    })
  })

  it.each(['signedTransaction', 'transactionHash'] as const)('is refused: another %s beside a good signature', (field) => {
    const other = { signedTransaction: hexToBytes('0x02c0'), transactionHash: keccak256('0x03') }
    const lies: Partial<ServiceImpl<typeof WalletService>> = {
      signTransaction: async (request) => ({
        ...(await honest.answers.signTransaction(request)),
        [field]: other[field],
      }),
    }
    return withAccount(lies, async (account) => {
      const signed = account.signTransaction(TRANSACTIONS['eip1559'] as TransactionSerializable)
      await expect(signed).rejects.toThrow(AnswerMismatchError)
    })
  })

  it.each([
    ['chain', { chainId: 2n }],
    ['nonce', { nonce: 8n }],
    ['address', { address: getAddress(`0x${'99'.repeat(20)}`) }],
  ] as const)(
    'is refused: an authorization of another %s',
    (_, change) => {
      const lies: Partial<ServiceImpl<typeof WalletService>> = {
        signAuthorization: async (request) => {
          const answer = await honest.answers.signAuthorization(request)
          return { ...answer, authorization: { ...answer.authorization, ...change } }
        },
      }
      return withAccount(lies, async (account) => {
        const signed = account.signAuthorization({ chainId: 1, nonce: 7, address: TO })
        await expect(signed).rejects.toThrow(AnswerMismatchError)
      })
    },
  )
})

describe('a wallet that cannot be a viem account', () => {
  using client = createCountersignClient({ endpoint: '127.0.0.1:1' })

  it('has another key type', () => {
    const wallet = { ...honest.wallet, keyType: KeyType.ED25519 }
    expect(() => toCountersignAccount(client, wallet)).toThrow(TypeError)
  })

  it('has an address that is not its public key\'s', () => {
    expect(() => toCountersignAccount(client, { ...honest.wallet, address: TO })).toThrow(AnswerMismatchError)
    expect(() => toCountersignAccount(client, { ...honest.wallet, publicKey: 'ff' })).toThrow(AnswerMismatchError)
  })
})
