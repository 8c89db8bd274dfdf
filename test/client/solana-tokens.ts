/** People with tokens on a cluster of litesvm: what they send is built by the kit and signed by node's own Ed25519. */
import { type Address, address, type Instruction } from '@solana/kit'
import { getCreateAccountInstruction } from '@solana-program/system'
import {
  findAssociatedTokenPda,
  getApproveCheckedInstruction,
  getApproveInstruction,
  getCreateAssociatedTokenIdempotentInstruction,
  getInitializeMint2Instruction,
  getMintToInstruction,
  getRevokeInstruction,
  getTokenDecoder,
} from '@solana-program/token'
import { TOKEN_PROGRAM } from '../../src/payload/solana-programs.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import { buildMessage, createSigner, signerOf } from '../payload/solana-cases.ts'
import type { SolanaCluster } from './start-litesvm.ts'

export type Person = ReturnType<typeof createSigner>

/** The wire of a transaction that all of these sign, the first of them paying. */
export const signedBy = (signers: readonly Person[], instructions: readonly Instruction[], blockhash: string): Uint8Array => {
  const [payer] = signers as [Person]
  const message = buildMessage({ payer: payer.address, instructions, blockhash: blockhash as never })
  const { staticKeys, requiredSignatures } = decodeSolanaMessage(message)
  const signatures = staticKeys.slice(0, requiredSignatures).map((key) => {
    const signer = signers.find(({ publicKey }) => Buffer.from(publicKey).equals(key))
    return signer?.sign(message) ?? new Uint8Array(64)
  })
  return Uint8Array.from([requiredSignatures, ...signatures.flatMap((signature) => [...signature]), ...message])
}

export type Tokens = {
  readonly mint: Address
  readonly program: Address
  readonly bank: Person
  /** With lamports for fees. */
  readonly person: () => Person
  readonly accountOf: (owner: Address) => Promise<Address>
  /** Into the associated account, which is opened. */
  readonly give: (owner: Address, units: bigint) => Promise<void>
  readonly balanceOf: (owner: Address) => Promise<bigint>
  readonly allowanceOf: (owner: Address) => Promise<bigint>
  /** Answer the transaction's signature. */
  readonly approve: (owner: Person, spender: Address, units: bigint, checked?: boolean) => Promise<string>
  readonly revoke: (owner: Person) => Promise<string>
  readonly run: (signers: readonly Person[], instructions: readonly Instruction[]) => string
}

/** A mint of 6 decimals on the cluster, of either token program. */
export const createTokens = (cluster: SolanaCluster, program: Address = address(TOKEN_PROGRAM), decimals = 6): Tokens => {
  const [bank, mint] = [createSigner(), createSigner()]
  const within = { programAddress: program }
  const run = (signers: readonly Person[], instructions: readonly Instruction[]): string =>
    cluster.execute(signedBy(signers, instructions, cluster.blockhash()))
  const accountOf = async (owner: Address): Promise<Address> =>
    (await findAssociatedTokenPda({ owner, mint: mint.address, tokenProgram: program }))[0]
  const read = async (owner: Address) => {
    const found = cluster.svm.getAccount(await accountOf(owner))
    return found.exists ? getTokenDecoder().decode(found.data.slice(0, 165)) : undefined
  }
  cluster.airdrop(bank.address, 100_000_000_000n)
  run([bank, mint], [
    getCreateAccountInstruction({
      payer: signerOf(bank.address), newAccount: signerOf(mint.address), space: 82n,
      lamports: cluster.svm.minimumBalanceForRentExemption(82n), programAddress: program,
    }),
    getInitializeMint2Instruction({ mint: mint.address, decimals, mintAuthority: bank.address }, within),
  ])
  return {
    mint: mint.address,
    program,
    bank,
    run,
    accountOf,
    person: () => {
      const person = createSigner()
      cluster.airdrop(person.address, 1_000_000_000n)
      return person
    },
    give: async (owner, units) => {
      const account = await accountOf(owner)
      run([bank], [
        getCreateAssociatedTokenIdempotentInstruction({ payer: signerOf(bank.address), ata: account, owner, mint: mint.address, tokenProgram: program }),
        getMintToInstruction({ mint: mint.address, token: account, mintAuthority: signerOf(bank.address), amount: units }, within),
      ])
    },
    balanceOf: async (owner) => (await read(owner))?.amount ?? 0n,
    allowanceOf: async (owner) => {
      const account = await read(owner)
      return account?.delegate.__option === 'Some' ? account.delegatedAmount : 0n
    },
    approve: async (owner, spender, units, checked = true) => {
      const common = { source: await accountOf(owner.address), delegate: spender, owner: signerOf(owner.address), amount: units }
      const approve = checked ? getApproveCheckedInstruction({ ...common, mint: mint.address, decimals }, within) : getApproveInstruction(common, within)
      return run([owner], [approve])
    },
    revoke: async (owner) => run([owner], [getRevokeInstruction({ source: await accountOf(owner.address), owner: signerOf(owner.address) }, within)]),
  }
}
