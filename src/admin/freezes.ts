import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { parseApiKeyId, parseProjectId, parseSessionKeyId, parseWalletId, walletIdFromBytes, walletIdToBytes } from '../domain/ids.ts'
import { getApiKey } from '../vault/api-keys.ts'
import { addFreeze, type FreezeRow, findFreeze, listFreezes as listStored, removeFreeze } from '../vault/freezes.ts'
import { getImportedAccess } from '../vault/imported-accesses.ts'
import { getProject } from '../vault/projects.ts'
import { getSessionKey } from '../vault/session-keys.ts'
import { getWallet } from '../vault/wallets.ts'
import { type AdminNeeds, recordChange } from './needs.ts'

export type FreezeScope = 'wallet' | 'api_key' | 'session_key' | 'venue_profile' | 'project' | 'all'
/** `id` is `*` for the scope `all`. */
export type FreezeTarget = { readonly scope: FreezeScope; readonly id: string }
export type FreezeView = FreezeTarget & {
  readonly note: string
  readonly actor: string
  readonly createTimeMs: number
}

const FREEZES_MAX = 1_000

/** The vault keeps the freeze of everything under the empty id. */
const stored = ({ scope, id }: FreezeTarget) => ({ scope, id: scope === 'all' ? '' : id })

const viewFreeze = (row: FreezeRow): FreezeView => ({
  scope: row.scope,
  id: row.scope === 'all' ? '*' : row.id,
  note: row.reason,
  actor: row.actor.id,
  createTimeMs: row.createMs,
})

const assertExists = ({ vault, isVenueProfile = () => true }: AdminNeeds, { scope, id }: FreezeTarget): void => {
  const { read } = vault
  if (scope === 'wallet') {
    const walletId = parseWalletId(id)
    // What was delegated here is frozen as a wallet of its own.
    const isThere = walletId !== undefined && (getWallet(read, walletId) ?? getImportedAccess(read, walletIdToBytes(walletId))) !== undefined
    if (!isThere) throw failure('WALLET_NOT_FOUND', {})
  }
  if (scope === 'api_key') {
    const keyId = parseApiKeyId(id)
    if (keyId === undefined || getApiKey(read, keyId) === undefined) throw failure('API_KEY_NOT_FOUND', {})
  }
  if (scope === 'session_key') {
    const sessionKeyId = parseSessionKeyId(id)
    if (sessionKeyId === undefined || getSessionKey(read, sessionKeyId) === undefined) throw failure('SESSION_KEY_NOT_FOUND', {})
  }
  if (scope === 'venue_profile' && !isVenueProfile(id)) throw failure('PROFILE_NOT_FOUND', { profile: id })
  if (scope === 'project') {
    const projectId = parseProjectId(id)
    if (projectId === undefined || getProject(read, projectId) === undefined) throw failure('PROJECT_NOT_FOUND', {})
  }
}

/** The cosigner knows wallets and projects; who calls, and what wallets have authorised, it does not. */
const isOfDaemonAlone = (scope: FreezeScope): boolean =>
  scope === 'api_key' || scope === 'session_key' || scope === 'venue_profile'

/** Wallets whose presignatures a freeze makes useless. A frozen key leaves them to the others. */
const poolsBehind = ({ vault, engine }: Pick<AdminNeeds, 'vault' | 'engine'>, { scope, id }: FreezeTarget): readonly Uint8Array[] => {
  if (isOfDaemonAlone(scope)) return []
  const pooled = engine.pooledWallets()
  if (scope === 'all') return pooled
  return pooled.filter((walletId) => {
    const text = walletIdFromBytes(walletId)
    return scope === 'wallet' ? text === id : getWallet(vault.read, text)?.project === id
  })
}

/**
 * Stops signing behind one wallet, key, project or everything. Raised in memory first and waited for, then durable on
 * both sides, then answered. Freezing what is frozen keeps the first freeze.
 */
export const freeze = async (
  needs: AdminNeeds,
  call: Call,
  args: FreezeTarget & { readonly note: string },
): Promise<FreezeView> => {
  const { fences } = needs
  assertExists(needs, args)
  // At once, also when another change of the same subject is waited for below.
  const raised = fences.raise(args)
  return fences.inTurn(args, async () => {
    await raised
    return freezeInTurn(needs, call, args)
  })
}

const freezeInTurn = async (
  { vault, fences, clock, engine }: AdminNeeds,
  call: Call,
  args: FreezeTarget & { readonly note: string },
): Promise<FreezeView> => {
  // Again: what was lifted in the turn before has lowered it.
  await fences.raise(args)
  await engine.dropPools(poolsBehind({ vault, engine }, args))
  const createMs = Math.trunc(clock.nowMs())
  const row: FreezeRow = {
    ...stored(args),
    reason: args.note,
    actor: { kind: 'operator', id: call.caller.principal },
    createMs,
  }
  const standing = await vault
    .commit((tx) => {
      const { freeze: made, added } = addFreeze(tx, row)
      const details = { note: args.note }
      const subject = { type: args.scope, id: args.id }
      if (added) recordChange(tx, call, { timeMs: createMs, kind: 'freeze.added', subject, details })
      return made
    })
    .catch((error: unknown) => {
      if (findFreeze(vault.read, [row]) === undefined) fences.lower(args)
      throw error
    })
  if (!isOfDaemonAlone(args.scope)) await engine.freezeCosigner(row)
  return viewFreeze(standing)
}

export const unfreeze = (needs: AdminNeeds, call: Call, args: FreezeTarget): Promise<FreezeView> => {
  const { vault, fences, clock, engine } = needs
  const subject = stored(args)
  return fences.inTurn(args, async () => {
    const before = findFreeze(vault.read, [subject])
    if (before === undefined) throw failure('FREEZE_NOT_FOUND', { scope: args.scope, id: args.id })
    if (!isOfDaemonAlone(args.scope)) await engine.unfreezeCosigner(subject)
    await vault.commit((tx) => {
      removeFreeze(tx, subject)
      const timeMs = Math.trunc(clock.nowMs())
      recordChange(tx, call, { timeMs, kind: 'freeze.removed', subject: { type: args.scope, id: args.id } })
    })
    fences.lower(args)
    return viewFreeze(before)
  })
}

export const listFreezes = ({ vault }: Pick<AdminNeeds, 'vault'>): FreezeView[] =>
  listStored(vault.read, undefined, FREEZES_MAX).map(viewFreeze)
