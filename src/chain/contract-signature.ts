/** Signatures of contract accounts: ERC-1271, and ERC-6492 for accounts that are not deployed yet. Reads only. */
import { CallReverted } from './call-reverted.ts'
import type { EvmChain } from './evm-chain.ts'

export type ContractVerdict = {
  readonly valid: boolean
  /** Which check decided: the account's own code, the code it would be deployed with, or none: there is no code. */
  readonly kind: 'erc1271' | 'erc6492' | 'none'
  readonly block: bigint
}

/** `isValidSignature(bytes32,bytes)`, and what it answers for yes (ERC-1271). */
const IS_VALID_SIGNATURE = '1626ba7e'
/** The last 32 bytes of a wrapped signature (ERC-6492). */
const WRAPPED_TAIL = Buffer.from('6492'.repeat(16), 'hex')
/** More than any known account needs; a loop ends here. */
const GAS = 10_000_000n
const WORD = 32

const word = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(WORD * 2, '0'), 'hex')

const abiBytes = (bytes: Uint8Array): Buffer =>
  Buffer.concat([word(BigInt(bytes.length)), bytes, Buffer.alloc((WORD - (bytes.length % WORD)) % WORD)])

const isWrappedSignature = (signature: Uint8Array): boolean =>
  signature.length > WORD && Buffer.from(signature.subarray(-WORD)).equals(WRAPPED_TAIL)

/** `(address, bytes32, bytes)`, the arguments of the validator's constructor. */
const validatorArguments = (account: Uint8Array, digest: Uint8Array, signature: Uint8Array): Buffer =>
  Buffer.concat([Buffer.alloc(12), account, digest, word(96n), abiBytes(signature)])

const callOf = (digest: Uint8Array, signature: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(IS_VALID_SIGNATURE, 'hex'), digest, word(64n), abiBytes(signature)])

const MAGIC = Buffer.concat([Buffer.from(IS_VALID_SIGNATURE, 'hex'), Buffer.alloc(WORD - 4)])

/** What a revert says about a signature: it is not valid. */
const orReverted = async (asked: Promise<Uint8Array>): Promise<Uint8Array> =>
  asked.catch((error: unknown) => {
    if (error instanceof CallReverted) return new Uint8Array(0)
    throw error
  })

/**
 * Whether the contract account takes the signature over the digest, at the newest block that two providers know,
 * asked of both where there are two. A wrapped signature is judged by ERC-6492's reference validator inside one
 * `eth_call`: the account is deployed in there and nowhere else. Throws CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT.
 */
export const verifyContractSignature = async (
  chain: EvmChain,
  account: Uint8Array,
  digest: Uint8Array,
  signature: Uint8Array,
  signal?: AbortSignal,
): Promise<ContractVerdict> => {
  const block = await chain.blockNumber(signal)
  if (isWrappedSignature(signature)) {
    // Only when somebody asks: it is most of what viem weighs.
    const { erc6492SignatureValidatorByteCode: code } = await import('viem')
    const data = Buffer.concat([Buffer.from(code.slice(2), 'hex'), validatorArguments(account, digest, signature)])
    const said = await orReverted(chain.call({ data, gas: GAS }, block, signal))
    return { valid: said.length === 1 && said[0] === 1, kind: 'erc6492', block }
  }
  const code = await chain.code(account, block, signal)
  if (code.length === 0) return { valid: false, kind: 'none', block }
  const said = await orReverted(chain.call({ to: account, data: callOf(digest, signature), gas: GAS }, block, signal))
  return { valid: Buffer.from(said).equals(MAGIC), kind: 'erc1271', block }
}
