import {
  type Address,
  getTransactionDecoder,
  type Instruction,
  lamports,
  type TransactionSigner,
} from '@solana/kit'
import {
  getCreateAccountInstruction,
  getTransferSolInstruction,
  getTransferSolWithSeedInstruction,
  SYSTEM_PROGRAM_ADDRESS,
} from '@solana-program/system'
import {
  findAssociatedTokenPda,
  getApproveCheckedInstruction,
  getApproveInstruction,
  getBurnCheckedInstruction,
  getCloseAccountInstruction,
  getCreateAssociatedTokenIdempotentInstruction,
  getInitializeMint2Instruction,
  getMintToInstruction,
  getRevokeInstruction,
  getSetAuthorityInstruction,
  getTokenDecoder,
  getTransferCheckedInstruction,
  getTransferInstruction,
  AuthorityType,
} from '@solana-program/token'
import { FailedTransactionMetadata, LiteSVM } from 'litesvm'
import { beforeEach, describe, expect, it } from 'vitest'
import { decodeBase58, encodeBase58 } from '../../src/domain/base58.ts'
import { examineEd25519 } from '../../src/payload/examine-ed25519.ts'
import type { SigningFacts } from '../../src/payload/facts.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import {
  COMPUTE_BUDGET_PROGRAM,
  SOLANA_CHAIN,
  TOKEN_2022_PROGRAM,
  TOKEN_PROGRAM,
} from '../../src/payload/solana-programs.ts'
import { attachSolanaSignature } from '../../src/payload/solana-transaction.ts'
import { addressOf, buildMessage, createSigner, instruction, signerOf, u32, u64 } from './solana-cases.ts'

type Signer = ReturnType<typeof createSigner>

const wallet = createSigner()
const cosigner = createSigner()
const owner = createSigner()
const mint = createSigner()
const asSigner = (signer: Signer): TransactionSigner => signerOf(signer.address)

let svm: LiteSVM
const balance = (of: Address): bigint => svm.getBalance(of) ?? 0n
const spent = (facts: SigningFacts, what: string): bigint =>
  facts.spends.find(({ token }) => token === `${SOLANA_CHAIN}/${what}`)?.amount ?? 0n

type Executed = { readonly facts: SigningFacts; readonly succeeded: boolean; readonly logs: string }

/** Each signer's signature is attached by itself, then the slots are put together as a client would. */
const execute = (
  signers: readonly Signer[],
  instructions: readonly Instruction[],
  version: 'legacy' | 0 = 0,
): Executed => {
  const payer = signers[0] as Signer
  const message = buildMessage({ payer: payer.address, instructions, version, blockhash: svm.latestBlockhash() })
  const { facts } = examineEd25519({ kind: 'solana-message', message }, payer.publicKey)
  const solana = decodeSolanaMessage(message)
  const transactions = signers.map((signer) =>
    attachSolanaSignature(solana, signer.sign(message), signer.publicKey),
  )
  const whole = new Uint8Array((transactions[0] as { signed: Uint8Array }).signed.length)
  for (const { signed } of transactions)
    for (const [at, byte] of signed.entries()) whole[at] = (whole[at] ?? 0) | byte
  const result = svm.sendTransaction(getTransactionDecoder().decode(whole))
  const succeeded = !(result instanceof FailedTransactionMetadata)
  if (succeeded) {
    expect(encodeBase58(result.signature())).toBe(transactions[0]?.transactionId)
    expect(transactions[0]?.missing.toSorted()).toEqual(
      signers
        .slice(1)
        .map(({ address }) => address)
        .toSorted(),
    )
  }
  svm.expireBlockhash()
  return { facts, succeeded, logs: succeeded ? '' : result.toString() }
}

const succeed = (...args: Parameters<typeof execute>): SigningFacts => {
  const { facts, succeeded, logs } = execute(...args)
  expect(logs).toBe('')
  expect(succeeded).toBe(true)
  return facts
}

const ataOf = async (holder: Address, tokenProgram = TOKEN_PROGRAM as Address): Promise<Address> =>
  (await findAssociatedTokenPda({ owner: holder, mint: mint.address, tokenProgram }))[0]

const tokenAt = (account: Address) => {
  const found = svm.getAccount(account)
  if (!found.exists) throw new Error('no such token account')
  return getTokenDecoder().decode(found.data)
}

/** A mint of the wallet's, with 1000 units in the wallet's account. */
const createMint = async (): Promise<Address> => {
  const source = await ataOf(wallet.address)
  const space = 82n
  succeed(
    [wallet, mint],
    [
      getCreateAccountInstruction({
        payer: asSigner(wallet),
        newAccount: asSigner(mint),
        lamports: svm.minimumBalanceForRentExemption(space),
        space,
        programAddress: TOKEN_PROGRAM as Address,
      }),
      getInitializeMint2Instruction({ mint: mint.address, decimals: 2, mintAuthority: wallet.address }),
      getCreateAssociatedTokenIdempotentInstruction({
        payer: asSigner(wallet),
        ata: source,
        owner: wallet.address,
        mint: mint.address,
      }),
      getMintToInstruction({ mint: mint.address, token: source, mintAuthority: asSigner(wallet), amount: 1000n }),
    ],
  )
  return source
}

beforeEach(() => {
  svm = new LiteSVM()
  svm.airdrop(wallet.address, lamports(10_000_000_000n))
  svm.airdrop(cosigner.address, lamports(10_000_000_000n))
})

describe('what a signed Solana message says is what it does', () => {
  it.each(['legacy', 0] as const)('a transfer of lamports (%s)', (version) => {
    const before = balance(wallet.address)
    const facts = succeed(
      [wallet],
      [getTransferSolInstruction({ source: asSigner(wallet), destination: owner.address, amount: 5_000_000n })],
      version,
    )
    expect(facts).toMatchObject({
      effect: 'transfer',
      destinations: [{ role: 'recipient', address: owner.address }],
      solana: { feePayer: wallet.address, signers: [wallet.address], instructions: ['system.transfer'] },
    })
    expect(balance(owner.address)).toBe(5_000_000n)
    expect(spent(facts, 'native')).toBe(5_000_000n)
    expect(before - balance(wallet.address)).toBe(spent(facts, 'native') + spent(facts, 'fee'))
  })

  it('a transfer with a priority fee', () => {
    const before = balance(wallet.address)
    const facts = succeed(
      [wallet],
      [
        instruction(COMPUTE_BUDGET_PROGRAM as Address, [2, ...u32(100_000)], []),
        instruction(COMPUTE_BUDGET_PROGRAM as Address, [3, ...u64(1_234_567n)], []),
        getTransferSolInstruction({ source: asSigner(wallet), destination: owner.address, amount: 5_000_000n }),
      ],
    )
    expect(spent(facts, 'fee')).toBe(5000n + 123_457n)
    expect(before - balance(wallet.address)).toBe(5_000_000n + spent(facts, 'fee'))
  })

  it('a transfer with a priority fee for units that are not named costs no more than counted', () => {
    const before = balance(wallet.address)
    const facts = succeed(
      [wallet],
      [
        instruction(COMPUTE_BUDGET_PROGRAM as Address, [3, ...u64(1_000_000n)], []),
        getTransferSolInstruction({ source: asSigner(wallet), destination: owner.address, amount: 5_000_000n }),
      ],
    )
    expect(before - balance(wallet.address) - 5_000_000n).toBeLessThanOrEqual(spent(facts, 'fee'))
    expect(spent(facts, 'fee')).toBe(5000n + 400_000n)
  })

  it('a transfer that another signer pays for', () => {
    const before = balance(wallet.address)
    const message = buildMessage({
      payer: cosigner.address,
      instructions: [
        getTransferSolInstruction({ source: asSigner(wallet), destination: owner.address, amount: 5_000_000n }),
      ],
    })
    const examined = examineEd25519({ kind: 'solana-message', message }, wallet.publicKey)
    const signed = attachSolanaSignature(decodeSolanaMessage(message), wallet.sign(message), wallet.publicKey)
    expect(signed.transactionId).toBeUndefined()
    expect(signed.missing).toEqual([cosigner.address])
    expect(signed.signed.subarray(1, 65)).toEqual(new Uint8Array(64))
    expect(examined.facts.solana?.feePayer).toBe(cosigner.address)
    succeed(
      [cosigner, wallet],
      [getTransferSolInstruction({ source: asSigner(wallet), destination: owner.address, amount: 5_000_000n })],
    )
    expect(before - balance(wallet.address)).toBe(5_000_000n)
  })

  it('a transfer is refused by the network when its signature stands in no slot or is another message’s', () => {
    const message = buildMessage({
      payer: wallet.address,
      blockhash: svm.latestBlockhash(),
      instructions: [
        getTransferSolInstruction({ source: asSigner(wallet), destination: owner.address, amount: 5_000_000n }),
      ],
    })
    const { signed } = attachSolanaSignature(
      decodeSolanaMessage(message),
      wallet.sign(message.slice(1)),
      wallet.publicKey,
    )
    expect(svm.sendTransaction(getTransactionDecoder().decode(signed))).toBeInstanceOf(FailedTransactionMetadata)
  })

  it('a checked transfer of tokens, and the account it opens for the owner', async () => {
    const source = await createMint()
    const destination = await ataOf(owner.address)
    const before = balance(wallet.address)
    const facts = succeed(
      [wallet],
      [
        getCreateAssociatedTokenIdempotentInstruction({
          payer: asSigner(wallet),
          ata: destination,
          owner: owner.address,
          mint: mint.address,
        }),
        getTransferCheckedInstruction({
          source,
          mint: mint.address,
          destination,
          authority: asSigner(wallet),
          amount: 250n,
          decimals: 2,
        }),
      ],
    )
    expect(facts).toMatchObject({
      effect: 'transfer',
      destinations: [
        { role: 'recipient', address: owner.address },
        {
          role: 'recipient',
          address: destination,
          tokenAccount: { mint: mint.address, tokenProgram: TOKEN_PROGRAM },
        },
      ],
      solana: { instructions: ['associatedToken.createIdempotent', 'token.transferChecked'] },
    })
    expect(tokenAt(destination)).toMatchObject({ owner: owner.address, amount: 250n, mint: mint.address })
    expect(spent(facts, mint.address)).toBe(1000n - tokenAt(source).amount)
    expect(before - balance(wallet.address)).toBe(spent(facts, 'native') + spent(facts, 'fee'))
  })

  it('a plain transfer of tokens does not name the mint', async () => {
    const source = await createMint()
    const destination = await ataOf(owner.address)
    const facts = succeed(
      [wallet],
      [
        getCreateAssociatedTokenIdempotentInstruction({
          payer: asSigner(wallet),
          ata: destination,
          owner: owner.address,
          mint: mint.address,
        }),
        getTransferInstruction({ source, destination, authority: asSigner(wallet), amount: 7n }),
      ],
    )
    expect(tokenAt(destination).amount).toBe(7n)
    expect(spent(facts, 'unknown')).toBe(7n)
    expect(facts.destinations[1]).toEqual({ role: 'recipient', address: destination })
  })

  it.each(['approve', 'approveChecked'] as const)(
    '%s lets the delegate spend what is counted, revoke ends it',
    async (how) => {
      const source = await createMint()
      const common = { source, delegate: cosigner.address, owner: asSigner(wallet), amount: 100n }
      const approve =
        how === 'approve'
          ? getApproveInstruction(common)
          : getApproveCheckedInstruction({ ...common, mint: mint.address, decimals: 2 })
      const facts = succeed([wallet], [approve])
      expect(facts).toMatchObject({
        effect: 'transfer',
        destinations: [{ role: 'spender', address: cosigner.address }],
        solana: { instructions: [`token.${how}`] },
      })
      expect(spent(facts, how === 'approve' ? 'unknown' : mint.address)).toBe(100n)
      expect(tokenAt(source)).toMatchObject({ delegatedAmount: 100n })
      const take = getTransferInstruction({
        source,
        destination: await ataOf(cosigner.address),
        authority: asSigner(cosigner),
        amount: 60n,
      })
      const open = getCreateAssociatedTokenIdempotentInstruction({
        payer: asSigner(cosigner),
        ata: await ataOf(cosigner.address),
        owner: cosigner.address,
        mint: mint.address,
      })
      succeed([cosigner], [open, take])
      expect(execute([cosigner], [take]).succeeded).toBe(false)
      expect(succeed([wallet], [getRevokeInstruction({ source, owner: asSigner(wallet) })])).toMatchObject({
        effect: 'transfer',
        destinations: [],
      })
      expect(execute([cosigner], [take]).succeeded).toBe(false)
      expect(tokenAt(source).amount).toBe(940n)
    },
  )

  it('a burn, an account handed over and a closed account', async () => {
    const source = await createMint()
    const burn = getBurnCheckedInstruction({
      account: source,
      mint: mint.address,
      authority: asSigner(wallet),
      amount: 1000n,
      decimals: 2,
    })
    expect(succeed([wallet], [burn])).toMatchObject({
      effect: 'transfer',
      destinations: [{ role: 'token', address: mint.address }],
      spends: [{}, { token: `${SOLANA_CHAIN}/${mint.address}`, amount: 1000n }],
    })
    expect(tokenAt(source).amount).toBe(0n)
    const give = getSetAuthorityInstruction({
      owned: source,
      owner: asSigner(wallet),
      authorityType: AuthorityType.AccountOwner,
      newAuthority: cosigner.address,
    })
    expect(succeed([wallet], [give])).toMatchObject({
      effect: 'delegation',
      destinations: [{ role: 'delegate', address: cosigner.address }],
    })
    const close = getCloseAccountInstruction({
      account: source,
      destination: owner.address,
      owner: asSigner(cosigner),
    })
    expect(succeed([cosigner], [close])).toMatchObject({
      effect: 'call',
      destinations: [{ role: 'recipient', address: owner.address }],
    })
    expect(balance(owner.address)).toBe(2_039_280n)
  })

  it('a checked transfer of a Token-2022 mint', async () => {
    const mint2022 = createSigner()
    const tokenProgram = TOKEN_2022_PROGRAM as Address
    const [[source], [destination]] = await Promise.all(
      [wallet, owner].map((holder) =>
        findAssociatedTokenPda({ owner: holder.address, mint: mint2022.address, tokenProgram }),
      ) as [ReturnType<typeof findAssociatedTokenPda>, ReturnType<typeof findAssociatedTokenPda>],
    )
    const open = (ata: Address, holder: Signer) =>
      getCreateAssociatedTokenIdempotentInstruction({
        payer: asSigner(wallet),
        ata,
        owner: holder.address,
        mint: mint2022.address,
        tokenProgram,
      })
    const within = { programAddress: tokenProgram }
    const before = balance(wallet.address)
    const rent = svm.minimumBalanceForRentExemption(82n)
    const facts = succeed(
      [wallet, mint2022],
      [
        getCreateAccountInstruction({
          payer: asSigner(wallet),
          newAccount: asSigner(mint2022),
          lamports: rent,
          space: 82n,
          programAddress: tokenProgram,
        }),
        getInitializeMint2Instruction(
          { mint: mint2022.address, decimals: 2, mintAuthority: wallet.address },
          within,
        ),
        open(source, wallet),
        getMintToInstruction(
          { mint: mint2022.address, token: source, mintAuthority: asSigner(wallet), amount: 1000n },
          within,
        ),
      ],
    )
    // To create a mint is not something that is read.
    expect(facts.effect).toBe('malformed-call')
    expect(before - balance(wallet.address)).toBeLessThanOrEqual(spent(facts, 'native') + spent(facts, 'fee'))
    const moved = succeed(
      [wallet],
      [
        open(destination, owner),
        getTransferCheckedInstruction(
          {
            source,
            mint: mint2022.address,
            destination,
            authority: asSigner(wallet),
            amount: 250n,
            decimals: 2,
          },
          within,
        ),
      ],
    )
    expect(moved.solana?.instructions).toEqual(['associatedToken.createIdempotent', 'token2022.transferChecked'])
    expect(spent(moved, mint2022.address)).toBe(250n)
    expect(tokenAt(destination).amount).toBe(250n)
  })

  it('a transfer from a seeded account of the wallet', async () => {
    const { createAddressWithSeed } = await import('@solana/kit')
    const source = await createAddressWithSeed({
      baseAddress: wallet.address,
      seed: 'savings',
      programAddress: SYSTEM_PROGRAM_ADDRESS,
    })
    svm.airdrop(source, lamports(1_000_000_000n))
    const facts = succeed(
      [wallet],
      [
        getTransferSolWithSeedInstruction({
          source,
          baseAccount: asSigner(wallet),
          destination: owner.address,
          amount: 1_000_000_000n,
          fromSeed: 'savings',
          fromOwner: SYSTEM_PROGRAM_ADDRESS,
        }),
      ],
    )
    expect(facts).toMatchObject({
      effect: 'transfer',
      destinations: [{ role: 'recipient', address: owner.address }],
      solana: { instructions: ['system.transferWithSeed'] },
    })
    expect(spent(facts, 'native')).toBe(balance(owner.address))
  })
})

describe('attaching a signature', () => {
  const message = buildMessage({
    payer: wallet.address,
    instructions: [getTransferSolInstruction({ source: asSigner(wallet), destination: addressOf(2), amount: 1n })],
  })
  const solana = decodeSolanaMessage(message)

  it('refuses a key that the message does not ask for, and signatures of other lengths', () => {
    const signature = wallet.sign(message)
    expect(() => attachSolanaSignature(solana, signature, cosigner.publicKey)).toThrow(/this wallet/)
    expect(() => attachSolanaSignature(solana, signature, decodeBase58(addressOf(2)) as Uint8Array)).toThrow(
      /this wallet/,
    )
    expect(() => attachSolanaSignature(solana, signature.slice(1), wallet.publicKey)).toThrow(/64 bytes/)
  })

  it('names the transaction by its first signature', () => {
    const signature = wallet.sign(message)
    const { signed, transactionId, missing } = attachSolanaSignature(solana, signature, wallet.publicKey)
    expect(signed).toEqual(Uint8Array.from([1, ...signature, ...message]))
    expect(decodeBase58(transactionId ?? '')).toEqual(signature)
    expect(missing).toEqual([])
  })
})
