import { generateKeyPairSync, sign as signEd25519 } from 'node:crypto'
import {
  AccountRole,
  address,
  appendTransactionMessageInstructions,
  type Address,
  type Blockhash,
  compileTransactionMessage,
  compressTransactionMessageUsingAddressLookupTables,
  createTransactionMessage,
  getCompiledTransactionMessageEncoder,
  type Instruction,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
} from '@solana/kit'
import { encodeBase58 } from '../../src/domain/base58.ts'

/** An Ed25519 key of node's, as the oracle for the wallet's. */
export const createSigner = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const bytes = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12))
  return {
    publicKey: bytes,
    address: address(encodeBase58(bytes)),
    sign: (message: Uint8Array) => new Uint8Array(signEd25519(null, message, privateKey)),
  }
}

/** A fixed address for each letter. */
export const addressOf = (seed: number): Address => address(encodeBase58(new Uint8Array(32).fill(seed)))

export const BLOCKHASH = encodeBase58(new Uint8Array(32).fill(0xbb)) as Blockhash

/** The kit builds signers into its instructions; a message needs their addresses alone. */
export const signerOf = (signer: Address) => ({
  address: signer,
  signTransactions: () => Promise.reject(new Error('nothing signs here')),
})

type Build = {
  readonly payer: Address
  readonly instructions: readonly Instruction[]
  readonly version?: 'legacy' | 0
  readonly blockhash?: Blockhash
  readonly tables?: Record<Address, Address[]>
}

/** A message as the kit compiles and encodes it. */
export const buildMessage = ({
  payer,
  instructions,
  version = 0,
  blockhash = BLOCKHASH,
  tables,
}: Build): Uint8Array => {
  const lifetime = { blockhash, lastValidBlockHeight: 1n }
  const compiled =
    version === 'legacy'
      ? pipe(
          createTransactionMessage({ version: 'legacy' }),
          (message) => setTransactionMessageFeePayer(payer, message),
          (message) => setTransactionMessageLifetimeUsingBlockhash(lifetime, message),
          (message) => appendTransactionMessageInstructions(instructions, message),
          (message) => compileTransactionMessage(message),
        )
      : pipe(
          createTransactionMessage({ version: 0 }),
          (message) => setTransactionMessageFeePayer(payer, message),
          (message) => setTransactionMessageLifetimeUsingBlockhash(lifetime, message),
          (message) => appendTransactionMessageInstructions(instructions, message),
          (message) => (tables ? compressTransactionMessageUsingAddressLookupTables(message, tables) : message),
          (message) => compileTransactionMessage(message),
        )
  return new Uint8Array(getCompiledTransactionMessageEncoder().encode(compiled))
}

/** An instruction from its parts; `w` accounts are written, `s` accounts sign. */
export const instruction = (
  program: Address,
  data: readonly number[] | Uint8Array,
  accounts: readonly (readonly [Address, ('w' | 's' | 'ws' | '')?])[],
): Instruction => ({
  programAddress: program,
  data: Uint8Array.from(data),
  accounts: accounts.map(([address, flags = '']) => ({
    address,
    role: {
      '': AccountRole.READONLY,
      w: AccountRole.WRITABLE,
      s: AccountRole.READONLY_SIGNER,
      ws: AccountRole.WRITABLE_SIGNER,
    }[flags],
  })),
})

export const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)]
export const u64 = (value: bigint): number[] => [...new Uint8Array(BigUint64Array.of(value).buffer)]
