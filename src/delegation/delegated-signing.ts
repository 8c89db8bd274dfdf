/**
 * Signing with access that was delegated to this daemon: the same script as for its own wallets, over the link to the daemon
 * that delegated. This daemon's permissions, limits, freezes and audit come first; the other daemon decides once more.
 */
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import {
  accessIdFromBytes,
  accessIdToBytes,
  isEvmAddress,
  isSolanaAddress,
  parseAccessId,
  type ProjectId,
  type UserId,
  walletIdFromBytes,
  walletIdToBytes,
} from '../domain/ids.ts'
import type { DelegateEngine } from '../party/delegate/delegate-engine.ts'
import { type MessageContent, signMessage, type SignedTransaction, signTransaction, signTypedData, type TransactionContent } from '../signing/requests.ts'
import type { Signed, SignNeeds } from '../signing/sign.ts'
import { operationOf, type SigningWallets, type WalletRequest } from '../signing/signing-wallets.ts'
import { findImportedByAddress, getImportedAccess, type ImportedAccess } from '../vault/imported-accesses.ts'
import type { Reader } from '../vault/store.ts'
import type { Wallet } from '../vault/wallets.ts'

export type DelegatedSignNeeds = Omit<SignNeeds, 'engine' | 'wallets' | 'requireSessionFlow'> & {
  readonly delegateEngine: Pick<DelegateEngine, keyof SignNeeds['engine'] | 'ready' | 'telling'>
}

const accessIdOf = (access: ImportedAccess) => accessIdFromBytes(access.accessId)

const requireSigns = (access: ImportedAccess): ImportedAccess => {
  if (access.state === 'REVOKED') throw failure('IMPORTED_ACCESS_ENDED', { accessId: accessIdOf(access) })
  if (access.grantingId === undefined) throw failure('FOREIGN_SHARE', {})
  if (access.state === 'SUSPENDED') throw failure('WALLET_SUSPENDED', { walletId: walletIdFromBytes(access.accessId) })
  return access
}

/**
 * The access that a reference names: its id, or an address that one access signs for. Refuses: IMPORTED_ACCESS_NOT_FOUND,
 * also for another project's; WALLET_AMBIGUOUS; IMPORTED_ACCESS_ENDED; FOREIGN_SHARE; WALLET_SUSPENDED.
 */
const resolveAccess = (reader: Reader, project: ProjectId, reference: string): ImportedAccess => {
  const id = parseAccessId(reference.toLowerCase())
  if (id !== undefined) {
    const access = getImportedAccess(reader, accessIdToBytes(id))
    if (access?.project !== project) throw failure('IMPORTED_ACCESS_NOT_FOUND', {})
    return requireSigns(access)
  }
  const found = isEvmAddress(reference) || isSolanaAddress(reference) ? findImportedByAddress(reader, project, reference) : []
  const living = found.filter(({ state }) => state !== 'REVOKED')
  const [access] = living.length > 0 ? living : found
  if (access === undefined) throw failure('IMPORTED_ACCESS_NOT_FOUND', {})
  if (living.length > 1) throw failure('WALLET_AMBIGUOUS', { walletIds: living.map(accessIdOf) })
  return requireSigns(access)
}

const walletOf = (access: ImportedAccess): Wallet => ({
  walletId: walletIdFromBytes(access.accessId),
  project: access.project,
  userId: access.userId as UserId,
  keyType: access.keyType,
  // Whoever owns it has consented to the daemon that delegated.
  ownerType: 'project',
  label: '',
  address: access.address,
  publicKey: access.publicKey,
  state: 'ACTIVE',
  origin: 'fork',
  etag: '',
  createMs: access.createMs,
  number: access.number,
})

const requireKind = (wallet: Wallet, request: WalletRequest): Wallet => {
  if (request.keyType === undefined || request.keyType === wallet.keyType) return wallet
  const keyType = wallet.keyType === 'ed25519' ? 'KEY_TYPE_ED25519' : 'KEY_TYPE_SECP256K1'
  throw failure('KEY_TYPE_UNSUPPORTED', { keyType, operation: operationOf(request) })
}

const walletsOf = (payloadProject: ProjectId): SigningWallets => ({
  find: (reader, { projectId }, request) => requireKind(walletOf(resolveAccess(reader, projectId, request.walletRef)), request),
  get: (reader, walletId) => {
    const access = getImportedAccess(reader, walletIdToBytes(walletId))
    return access && walletOf(requireSigns(access))
  },
  payloadProject,
})

/** Joins the daemon that delegated before anything is recorded, then signs; what it refuses is told as its word. */
const withAccess = async <T>(
  needs: DelegatedSignNeeds,
  call: Call,
  reference: string,
  work: (needs: SignNeeds, args: { readonly walletRef: string }) => Promise<T>,
): Promise<T> => {
  const { delegateEngine } = needs
  const access = resolveAccess(needs.vault.read, call.caller.projectId, reference)
  const { projectId } = await call.stages.wait('presign', () => delegateEngine.ready(access, call.signal))
  const signing = { ...needs, engine: delegateEngine, wallets: walletsOf(projectId) }
  return delegateEngine.telling(access.accessId, () => work(signing, { walletRef: accessIdOf(access) }))
}

type Ref = { readonly access: string }

export const delegatedSignMessage = (
  needs: DelegatedSignNeeds,
  call: Call,
  { access, ...args }: Ref & { readonly content: MessageContent; readonly isFormatted: boolean },
): Promise<Signed> => withAccess(needs, call, access, (signing, ref) => signMessage(signing, call, { ...args, ...ref }))

export const delegatedSignTypedData = (
  needs: DelegatedSignNeeds,
  call: Call,
  { access, json }: Ref & { readonly json: string },
): Promise<Signed> => withAccess(needs, call, access, (signing, ref) => signTypedData(signing, call, { json, ...ref }))

export const delegatedSignTransaction = (
  needs: DelegatedSignNeeds,
  call: Call,
  { access, transaction }: Ref & { readonly transaction: TransactionContent },
): Promise<SignedTransaction> =>
  withAccess(needs, call, access, (signing, ref) => signTransaction(signing, call, { transaction, ...ref }))
