/** What the daemon's wallets sign executes on Solana's own virtual machine; narrowed keys sign no more than they may. */
import { type Address, address, getTransactionDecoder, type Instruction, lamports } from '@solana/kit'
import { getCreateAccountInstruction, getTransferSolInstruction } from '@solana-program/system'
import {
  findAssociatedTokenPda,
  getCreateAssociatedTokenIdempotentInstruction,
  getInitializeMint2Instruction,
  getMintToInstruction,
  getTokenDecoder,
  getTransferCheckedInstruction,
  getTransferInstruction,
} from '@solana-program/token'
import { FailedTransactionMetadata, LiteSVM } from 'litesvm'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { SignTransactionResponse, Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { SOLANA_CHAIN, SYSTEM_PROGRAM, TOKEN_PROGRAM } from '../../src/payload/solana-programs.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import { attachSolanaSignature } from '../../src/payload/solana-transaction.ts'
import { addressOf, buildMessage, createSigner, instruction, signerOf } from '../payload/solana-cases.ts'
import { connect, type Narrowed, newKey, newWallet, outcomeOf } from './callers.ts'
import { RECIPIENT, transferOf } from './solana.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

const FEE = 5_000n
const owner = createSigner()
const mint = createSigner()
const bank = createSigner()

let daemon: TestDaemon
let admin: CountersignClient
let wallet: Wallet
let self: Address
let svm: LiteSVM

beforeAll(async () => {
  daemon = await startDaemon()
  admin = connect(daemon, daemon.adminKey)
  wallet = await newWallet(admin, 'solana', '', KeyType.ED25519)
  self = address(wallet.address)
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})
beforeEach(() => {
  svm = new LiteSVM()
  svm.airdrop(self, lamports(10_000_000_000n))
  svm.airdrop(bank.address, lamports(10_000_000_000n))
})

const sign = (message: Uint8Array, client = admin): Promise<SignTransactionResponse> =>
  client.wallets.signTransaction({ wallet: wallet.walletId, transaction: { case: 'solanaMessage', value: message } })
const balance = (of: Address): bigint => svm.getBalance(of) ?? 0n
const messageOf = (instructions: readonly Instruction[], payer = self): Uint8Array =>
  buildMessage({ payer, instructions, blockhash: svm.latestBlockhash() })

/** Executes it and answers its id on the network. */
const execute = (signed: Uint8Array): string => {
  const result = svm.sendTransaction(getTransactionDecoder().decode(signed))
  if (result instanceof FailedTransactionMetadata) throw new Error(result.toString())
  svm.expireBlockhash()
  return encodeBase58(result.signature())
}

const merged = (left: Uint8Array, right: Uint8Array): Uint8Array => left.map((byte, at) => byte | (right[at] ?? 0))
const ataOf = async (holder: Address): Promise<Address> =>
  (await findAssociatedTokenPda({ owner: holder, mint: mint.address, tokenProgram: TOKEN_PROGRAM as Address }))[0]
const tokensAt = (account: Address): bigint => {
  const found = svm.getAccount(account)
  return found.exists ? getTokenDecoder().decode(found.data).amount : 0n
}

/** A mint of the bank's, with 1000 units in the wallet's associated account. */
const giveTokens = async (): Promise<Address> => {
  const [space, account] = [82n, await ataOf(self)]
  const message = messageOf(
    [
      getCreateAccountInstruction({
        payer: signerOf(bank.address),
        newAccount: signerOf(mint.address),
        lamports: svm.minimumBalanceForRentExemption(space),
        space,
        programAddress: TOKEN_PROGRAM as Address,
      }),
      getInitializeMint2Instruction({ mint: mint.address, decimals: 2, mintAuthority: bank.address }),
      getCreateAssociatedTokenIdempotentInstruction({
        payer: signerOf(bank.address),
        ata: account,
        owner: self,
        mint: mint.address,
      }),
      getMintToInstruction({ mint: mint.address, token: account, mintAuthority: signerOf(bank.address), amount: 1_000n }),
    ],
    bank.address,
  )
  const solana = decodeSolanaMessage(message)
  const [first, second] = [bank, mint].map(
    (signer) => attachSolanaSignature(solana, signer.sign(message), signer.publicKey).signed,
  ) as [Uint8Array, Uint8Array]
  execute(merged(first, second))
  return account
}

const lamportTransfer = (amount: bigint): Instruction =>
  getTransferSolInstruction({ source: signerOf(self), destination: RECIPIENT, amount })

const tokenTransfer = async (amount: bigint, to = owner.address): Promise<readonly Instruction[]> => [
  getCreateAssociatedTokenIdempotentInstruction({
    payer: signerOf(self),
    ata: await ataOf(to),
    owner: to,
    mint: mint.address,
  }),
  getTransferCheckedInstruction({
    source: await ataOf(self),
    mint: mint.address,
    destination: await ataOf(to),
    authority: signerOf(self),
    amount,
    decimals: 2,
  }),
]

describe('on chain', () => {
  it.each(['legacy', 0] as const)('a transfer of lamports executes (%s)', async (version) => {
    const before = balance(self)
    const message = transferOf(wallet, 5_000_000n, { version, blockhash: svm.latestBlockhash() })
    const { signedTransaction, transactionHash, signature } = await sign(message)
    expect(execute(signedTransaction)).toBe(transactionHash)
    expect(transactionHash).toBe(signature?.base58)
    expect(balance(RECIPIENT)).toBe(5_000_000n)
    expect(before - balance(self)).toBe(5_000_000n + FEE)
  })

  it('a transfer of tokens executes, into an account that it opens', async () => {
    const source = await giveTokens()
    const { signedTransaction, transactionHash } = await sign(messageOf(await tokenTransfer(250n)))
    expect(execute(signedTransaction)).toBe(transactionHash)
    expect([tokensAt(source), tokensAt(await ataOf(owner.address))]).toEqual([750n, 250n])
  })

  it('a transfer that another wallet pays for executes once both have signed', async () => {
    const payer = await newWallet(admin, 'payer', '', KeyType.ED25519)
    svm.airdrop(address(payer.address), lamports(1_000_000_000n))
    const message = messageOf([lamportTransfer(7_000_000n)], address(payer.address))
    const value = { case: 'solanaMessage', value: message } as const
    const [ours, theirs] = [await sign(message), await admin.wallets.signTransaction({ wallet: payer.walletId, transaction: value })]
    expect(ours.transactionHash).toBe('')
    expect(() => execute(ours.signedTransaction)).toThrow()
    expect(execute(merged(ours.signedTransaction, theirs.signedTransaction))).toBe(theirs.transactionHash)
    expect(balance(RECIPIENT)).toBe(7_000_000n)
  })

  it('no bit of a signed transaction can be changed', async () => {
    const { signedTransaction } = await sign(transferOf(wallet, 5_000_000n, { blockhash: svm.latestBlockhash() }))
    for (const at of [1, 33, 64, signedTransaction.length - 2]) {
      const bent = signedTransaction.slice()
      bent[at] = (bent[at] ?? 0) ^ 1
      expect(() => execute(bent), String(at)).toThrow()
    }
    expect(balance(RECIPIENT)).toBe(0n)
  })
})

type Narrowing = Omit<Narrowed, 'name' | '$typeName'>
/** A key that may sign with this much; ends with the test. */
const botWith = async (narrowing: Narrowing): Promise<CountersignClient> => {
  const { secret } = await newKey(admin, [{ name: 'wallet:sign', ...narrowing }])
  return connect(daemon, secret)
}
const limit = (token: string, amount: string) => ({ chain: SOLANA_CHAIN, token, amount }) as never
const lookup = addressOf(0x77)

/** What each narrowing is asked to sign. */
const MESSAGES = {
  transfer: async () => transferOf(wallet, 1_000n),
  'transfer elsewhere': async () => transferOf(wallet, 1_000n, { to: addressOf(6) }),
  'large transfer': async () => transferOf(wallet, 1_001n),
  'token transfer': async () => messageOf((await tokenTransfer(10n)).slice(1)),
  'token transfer elsewhere': async () => messageOf((await tokenTransfer(10n, addressOf(6))).slice(1)),
  'token transfer without its mint': async () =>
    messageOf([
      getTransferInstruction({
        source: await ataOf(self),
        destination: await ataOf(owner.address),
        authority: signerOf(self),
        amount: 10n,
      }),
    ]),
  'account handed over': async () =>
    messageOf([instruction(SYSTEM_PROGRAM as Address, [1, 0, 0, 0, ...new Uint8Array(32).fill(6)], [[self, 'ws']])]),
  'unknown program': async () => messageOf([instruction(addressOf(8), [1], [[self, 's']])]),
  'looked-up recipient': async () =>
    buildMessage({
      payer: self,
      instructions: [lamportTransfer(1_000n)],
      tables: { [lookup]: [RECIPIENT] },
    }),
} as const satisfies Record<string, () => Promise<Uint8Array>>
type MessageName = keyof typeof MESSAGES

const NARROWINGS: Record<string, { narrowing: () => Narrowing; signs: readonly MessageName[]; otherwise?: string }> = {
  'the wallet alone': { narrowing: () => ({ wallets: [wallet.walletId] }), signs: Object.keys(MESSAGES) as MessageName[] },
  'Solana mainnet': { narrowing: () => ({ chains: [SOLANA_CHAIN] }), signs: Object.keys(MESSAGES) as MessageName[] },
  'an EVM chain': { narrowing: () => ({ chains: ['eip155:1'] }), signs: [] },
  'another Solana cluster': { narrowing: () => ({ chains: ['solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'] }), signs: [] },
  'a recipient and an owner of tokens': {
    narrowing: () => ({ destinations: [RECIPIENT, owner.address] }),
    signs: ['transfer', 'large transfer', 'token transfer'],
  },
  'an amount of each': {
    narrowing: () => ({ maxPerTransaction: [limit('native', '1000'), limit(mint.address, '10')] }),
    signs: ['transfer', 'transfer elsewhere', 'token transfer', 'token transfer elsewhere'],
    otherwise: 'LIMIT_EXCEEDED',
  },
  'lamports alone, and a fee that is less than it costs': {
    narrowing: () => ({ maxPerTransaction: [limit('native', '1000'), limit('fee', '4999')] }),
    signs: [],
    otherwise: 'LIMIT_EXCEEDED',
  },
}

describe('a narrowed key', () => {
  it.each(Object.entries(NARROWINGS))('to %s', async (_name, { narrowing, signs, otherwise = 'PERMISSION_MISSING' }) => {
    const bot = await botWith(narrowing())
    for (const name of Object.keys(MESSAGES) as MessageName[]) {
      const outcome = await outcomeOf(sign(await MESSAGES[name](), bot))
      expect(outcome, name).toBe(signs.includes(name) ? 'signed' : otherwise)
    }
    const message = bot.wallets.signMessage({ wallet: wallet.walletId, content: { case: 'text', value: 'x' } })
    expect(await outcomeOf(message)).toBe(narrowing().wallets === undefined ? otherwise : 'signed')
    bot.close()
  })

  it('spends no more in a day than it may, however many ask at once', async () => {
    const bot = await botWith({ maxPerDay: [limit('native', '10'), limit('fee', '50000')] })
    const outcomes = await Promise.all(Array.from({ length: 12 }, () => outcomeOf(sign(transferOf(wallet, 3n), bot))))
    expect(outcomes.filter((outcome) => outcome === 'signed')).toHaveLength(3)
    expect(outcomes.filter((outcome) => outcome === 'LIMIT_EXCEEDED')).toHaveLength(9)
    expect(await outcomeOf(sign(transferOf(wallet, 1n), bot))).toBe('signed')
    expect(await outcomeOf(sign(transferOf(wallet, 1n), bot))).toBe('LIMIT_EXCEEDED')
    bot.close()
  })

  it('leaves what it was refused in the audit log', async () => {
    const bot = await botWith({ chains: ['eip155:1'] })
    await outcomeOf(sign(transferOf(wallet, 4_321n), bot))
    bot.close()
    const { events } = await admin.audit.listEvents({ kind: 'sign.denied', pageSize: 500 })
    expect(events.at(-1)?.detailsJson).toContain('4321 lamports')
  })
})
