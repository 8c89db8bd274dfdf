/** The completion of a spending delegation on Solana: who owns the wallet, and what the chain says they approved. */
import type { SolanaChain } from '../chain/solana-chain.ts'
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import type { Call } from '../domain/call.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { isEd25519Signature } from '../payload/ed25519-signature.ts'
import { requireSiws } from '../payload/siws.ts'
import { type CompleteRequest, missingTransaction, register, requireEnough, requireOwnToken } from './completion.ts'
import type { ExternalWalletView, Standing } from './external-wallet-view.ts'
import { authorizeCaller, requireSolanaAddress, type SpendingNeeds } from './external-wallets.ts'
import { readSolanaApproval } from './solana-approval.ts'
import { readSolanaStanding, type SolanaTokenQuestion } from './solana-standing.ts'
import { requireCurrency, requireSolanaNetwork, requireUnits } from './spenders.ts'

export type CompleteSolanaRequest = Omit<CompleteRequest, 'region'>

const SIGNATURE_BYTES = 64

const requireSignature = (field: string, text: string): Uint8Array => {
  const bytes = decodeBase58(text)
  if (bytes?.length !== SIGNATURE_BYTES) throw invalidField(field, 'is not base58 of 64 bytes')
  return bytes
}

type Asked = SolanaTokenQuestion & { readonly chain: SolanaChain; readonly units: bigint; readonly signature: Uint8Array }

/** What the chain says now, once it says that so much was approved. */
const requireApproval = async (needs: SpendingNeeds, asked: Asked, signal: AbortSignal): Promise<Standing> => {
  const { chain, units, signature, owner, spender, mint } = asked
  const { allowance, balance, slot, account, tokenProgram } = await readSolanaStanding(chain, asked, signal)
  const found = await readSolanaApproval(chain, { signature, account, owner, spender, mint, tokenProgram }, signal)
  switch (found.found) {
    case 'nothing':
      throw await missingTransaction(needs, 'solana', async (network) => {
        const other = needs.chains.solana(network)
        return other.genesisHash !== chain.genesisHash && (await other.status(signature, signal)).isSeen
      })
    case 'young':
      throw failure('TRANSACTION_NOT_CONFIRMED', { confirmations: found.state, required: chain.commitment, retryAfterMs: 1_000 })
    case 'reverted':
      throw failure('TRANSACTION_REVERTED', {})
    case 'no_approval':
      throw failure('APPROVAL_MISSING', {})
    case 'approval':
      requireEnough(found.amount, { allowance }, units)
      return { allowance, balance, block: slot }
  }
}

/** `completeEvm` of Solana: the same rules, of an SPL approval and an Ed25519 signature. */
export const completeSolana = async (needs: SpendingNeeds, call: Call, request: CompleteSolanaRequest): Promise<ExternalWalletView> => {
  const { signal } = call
  authorizeCaller(needs, call)
  const owner = requireSolanaAddress(request.address)
  const address = encodeBase58(owner)
  const { network } = request
  const { chain, spender } = requireSolanaNetwork(needs, needs.vault.read, call.caller.projectId, network)
  const currency = requireCurrency(needs, network, request.currency)
  const { tokenAddress, decimals } = currency
  const units = requireUnits(request.amount, decimals)
  const signature = requireSignature('tx_hash', request.txHash)
  const proof = requireSignature('sig_hash', request.sigHash)
  const terms = requireOwnToken(needs, call, request.token, { network, address })
  requireSiws(request.sigMessage, { ...terms, address: owner, genesisHash: chain.genesisHash })
  if (!isEd25519Signature(proof, Buffer.from(request.sigMessage, 'utf8'), owner)) throw failure('SIGNATURE_MISMATCH', {})
  const mint = decodeBase58(tokenAddress)
  if (mint?.length !== 32) throw failure('TOKEN_UNSUPPORTED', { network, currency: currency.currency, why: 'its address is no mint' })
  const asked = { chain, network, currency: currency.currency, decimals, mint, owner, spender: spender.publicKey, units, signature }
  const standing = await requireApproval(needs, asked, signal)
  signal.throwIfAborted()
  return register(needs, call, request, { network, address, currency, units, spender, standing, transactionHash: encodeBase58(signature) })
}
