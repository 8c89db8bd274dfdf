/** The completion of a spending delegation on Solana: who owns the wallet, and what the chain says they approved. */
import type { SolanaChain } from '../chain/solana-chain.ts'
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import type { Call } from '../domain/call.ts'
import { type Failure, failure, invalidField } from '../domain/failure.ts'
import { readSettings } from '../domain/project-settings.ts'
import { isEd25519Signature } from '../payload/ed25519-signature.ts'
import { requireSiws } from '../payload/siws.ts'
import { authorize } from '../signing/authorize.ts'
import { burnDelegationToken, requireDelegationToken, type TokenUse } from '../vault/delegation-tokens.ts'
import { registerExternalWallet } from '../vault/external-wallets.ts'
import { requireProject } from '../vault/projects.ts'
import { type CompleteRequest, requireUnits } from './complete-evm.ts'
import { type ExternalWalletView, type Standing, viewExternalWallet } from './external-wallet-view.ts'
import { record, requireSolanaAddress, type SpendingNeeds } from './external-wallets.ts'
import { readSolanaApproval } from './solana-approval.ts'
import { readSolanaStanding, type SolanaTokenQuestion } from './solana-standing.ts'
import { requireCurrency, requireSolanaNetwork } from './spenders.ts'

export type CompleteSolanaRequest = Omit<CompleteRequest, 'region'>

const SIGNATURE_BYTES = 64

const requireSignature = (field: string, text: string): Uint8Array => {
  const bytes = decodeBase58(text)
  if (bytes?.length !== SIGNATURE_BYTES) throw invalidField(field, 'is not base58 of 64 bytes')
  return bytes
}

/** A transaction that is on another cluster of the configuration was sent there by mistake. */
const whereElse = async ({ chains }: SpendingNeeds, here: SolanaChain, signature: Uint8Array, signal: AbortSignal): Promise<Failure> => {
  for (const other of chains.networks.filter((one) => chains.familyOf(one) === 'solana')) {
    const chain = chains.solana(other)
    if (chain.genesisHash === here.genesisHash) continue
    // One that is away now says nothing either way.
    const isThere = await chain.status(signature, signal).then(({ isSeen }) => isSeen, () => false)
    if (isThere) return failure('TRANSACTION_WRONG_NETWORK', { network: other })
  }
  return failure('TRANSACTION_NOT_FOUND', { retryAfterMs: 5_000 })
}

type Asked = SolanaTokenQuestion & { readonly chain: SolanaChain; readonly units: bigint; readonly signature: Uint8Array }

/** What the chain says now, once it says that so much was approved. */
const requireApproval = async (needs: SpendingNeeds, asked: Asked, signal: AbortSignal): Promise<Standing> => {
  const { chain, units, signature, owner, spender, mint } = asked
  const { allowance, balance, slot, account, tokenProgram } = await readSolanaStanding(chain, asked, signal)
  const found = await readSolanaApproval(chain, { signature, account, owner, spender, mint, tokenProgram }, signal)
  switch (found.found) {
    case 'nothing':
      throw await whereElse(needs, chain, signature, signal)
    case 'young':
      throw failure('TRANSACTION_NOT_CONFIRMED', { confirmations: found.state, required: chain.commitment, retryAfterMs: 1_000 })
    case 'reverted':
      throw failure('TRANSACTION_REVERTED', {})
    case 'no_approval':
      throw failure('APPROVAL_MISSING', {})
    case 'approval': {
      const least = found.amount < allowance ? found.amount : allowance
      if (least < units) throw failure('APPROVAL_TOO_SMALL', { approved: String(least), requested: String(units) })
      return { allowance, balance, block: slot }
    }
  }
}

/** `completeEvm` of Solana: the same rules, of an SPL approval and an Ed25519 signature. */
export const completeSolana = async (needs: SpendingNeeds, call: Call, request: CompleteSolanaRequest): Promise<ExternalWalletView> => {
  const { caller, signal } = call
  const { vault, clock } = needs
  const project = caller.projectId
  if (caller.kind !== 'end_user') authorize(vault.read, needs, call, 'delegation:create')
  const owner = requireSolanaAddress(request.address)
  const address = encodeBase58(owner)
  const { network } = request
  const { chain, spender } = requireSolanaNetwork(needs, vault.read, project, network)
  const { currency, tokenAddress, decimals } = requireCurrency(needs, network, request.currency)
  const units = requireUnits(request.amount, decimals)
  const signature = requireSignature('tx_hash', request.txHash)
  const proof = requireSignature('sig_hash', request.sigHash)
  const use = (): TokenUse => ({ project, network, addressKey: address, nowMs: Math.trunc(clock.nowMs()) })
  const token = requireDelegationToken(vault.read, request.token, use())
  // To an end user another's token does not exist.
  if (caller.kind === 'end_user' && token.userId !== caller.userId) throw failure('TOKEN_INVALID', {})
  const domains = readSettings(requireProject(vault.read, project).settings).siweDomains
  const { nonce, createMs: nonceMs } = token
  requireSiws(request.sigMessage, { domains, address: owner, genesisHash: chain.genesisHash, nonce, nonceMs, nowMs: clock.nowMs() })
  if (!isEd25519Signature(proof, Buffer.from(request.sigMessage, 'utf8'), owner)) throw failure('SIGNATURE_MISMATCH', {})
  const mint = decodeBase58(tokenAddress)
  if (mint?.length !== 32) throw failure('TOKEN_UNSUPPORTED', { network, currency, why: 'its address is no mint' })
  const asked = { chain, network, currency, decimals, mint, owner, spender: spender.publicKey, units, signature }
  const standing = await requireApproval(needs, asked, signal)
  signal.throwIfAborted()
  return vault.commit((tx) => {
    const { userId } = burnDelegationToken(tx, request.token, use())
    // The spender that was approved is still the one.
    if (requireSolanaNetwork(needs, tx, project, network).spender.walletId !== spender.walletId) throw failure('APPROVAL_MISSING', {})
    const nowMs = Math.trunc(clock.nowMs())
    const transactionHash = encodeBase58(signature)
    const wallet = registerExternalWallet(tx, {
      project, userId, network, currency, address, tokenAddress, decimals, spender: spender.address, limitUnits: units, transactionHash,
      replaces: request.replaces, nowMs,
    })
    const details = { userId, network, currency, address, units: String(units), transaction: transactionHash }
    record(tx, call, { timeMs: nowMs, kind: 'external_wallet.registered', subject: { type: 'external_wallet', id: wallet.externalWalletId }, details })
    return viewExternalWallet(wallet, standing)
  })
}
