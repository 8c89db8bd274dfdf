/** The completion of a spending delegation on an EVM chain: who owns the wallet, and what the chain says they approved. */
import type { EvmChain } from '../chain/evm-chain.ts'
import { verifyContractSignature } from '../chain/contract-signature.ts'
import { type ApprovalQuestion, readApproval } from '../chain/token-approval.ts'
import type { Call } from '../domain/call.ts'
import { failure, isFailure } from '../domain/failure.ts'
import { formatEvmAddress } from '../payload/address.ts'
import { examine } from '../payload/examine.ts'
import { requireSiwe } from '../payload/judge-siwe.ts'
import { parseMessage } from '../payload/message.ts'
import { recoverSigner } from '../payload/recover.ts'
import { parseSignature } from '../payload/signature.ts'
import { type CompleteRequest, missingTransaction, register, requireEnough, requireOwnToken } from './completion.ts'
import { requireDecimals } from './evm-token.ts'
import type { ExternalWalletView, Standing } from './external-wallet-view.ts'
import { authorizeCaller, bytesOf, requireAddress, type SpendingNeeds } from './external-wallets.ts'
import { networkOf, requireCurrency, requireEvmNetwork, requireUnits } from './spenders.ts'

/** Whether the owner's key, or their contract account on the chain, signed the message. */
const requireOwner = async (chain: EvmChain, address: Uint8Array, message: string, signature: Uint8Array, signal: AbortSignal): Promise<void> => {
  const { digest } = examine(parseMessage({ text: message }))
  const key = signature.length === 65 ? await recoverOr(digest, signature) : undefined
  if (key !== undefined && Buffer.from(key).equals(address)) return
  const { valid } = await verifyContractSignature(chain, address, digest, signature, signal)
  if (!valid) throw failure('SIGNATURE_MISMATCH', {})
}

const recoverOr = async (digest: Uint8Array, signature: Uint8Array): Promise<Uint8Array | undefined> => {
  try {
    return await recoverSigner(digest, parseSignature(signature))
  } catch (error) {
    // Malformed as a key's signature; a contract account may still take it.
    if (isFailure(error) && error.reason === 'SIGNATURE_MALFORMED') return undefined
    throw error
  }
}

type Asked = Omit<ApprovalQuestion, 'confirmations'> & { readonly chain: EvmChain; readonly units: bigint }

/** What the chain says now, once it says that so much was approved. */
const requireApproval = async (needs: SpendingNeeds, { chain, units, ...question }: Asked, signal: AbortSignal): Promise<Standing> => {
  const { txHash } = question
  const required = BigInt(needs.confirmations)
  const found = await readApproval(chain, { ...question, confirmations: required }, signal)
  switch (found.found) {
    case 'nothing':
      throw await missingTransaction(needs, 'evm', async (network) => {
        const other = needs.chains.evm(network)
        return other.chainId !== chain.chainId && (await other.receipt(txHash, signal)) !== undefined
      })
    case 'young':
      throw failure('TRANSACTION_NOT_CONFIRMED', { confirmations: String(found.confirmations), required: String(required), retryAfterMs: 5_000 })
    case 'reverted':
      throw failure('TRANSACTION_REVERTED', {})
    case 'no_approval':
      throw failure('APPROVAL_MISSING', {})
    case 'approval': {
      const { amount, allowance, balance, headBlock } = found
      requireEnough(amount, found, units)
      return { allowance, balance, block: headBlock }
    }
  }
}

/**
 * Registers a wallet that approved the project's spender, once all of this holds: the token is good, the message is the
 * one asked for, its signature is the owner's, the transaction is confirmed and approves enough, and the chain still says
 * so. Only then is the token used up. Refuses as the parts do.
 */
export const completeEvm = async (needs: SpendingNeeds, call: Call, request: CompleteRequest): Promise<ExternalWalletView> => {
  const { signal } = call
  const { read } = needs.vault
  authorizeCaller(needs, call)
  const owner = requireAddress(request.address)
  const address = formatEvmAddress(owner)
  const network = networkOf(request.network, request.region)
  const { chain, spender } = requireEvmNetwork(needs, read, call.caller.projectId, network)
  const currency = requireCurrency(needs, network, request.currency)
  const units = requireUnits(request.amount, currency.decimals)
  const terms = requireOwnToken(needs, call, request.token, { network, address })
  requireSiwe(request.sigMessage, { ...terms, address: owner, chainId: chain.chainId })
  await requireOwner(chain, owner, request.sigMessage, bytesOf('sig_hash', request.sigHash), signal)
  await requireDecimals(chain, currency, signal)
  const asked = {
    chain, units, owner, txHash: bytesOf('tx_hash', request.txHash), token: bytesOf('currency', currency.tokenAddress),
    spender: bytesOf('network', spender.address),
  }
  const standing = await requireApproval(needs, asked, signal)
  signal.throwIfAborted()
  return register(needs, call, request, { network, address, currency, units, spender, standing, transactionHash: request.txHash.toLowerCase() })
}
