/** Backups of both vaults and new root keys for them, while they serve. */
import { randomBytes } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import type { BackupPlace } from '../party/cosigner-custody.ts'
import { parseRecipient, type Recipient } from '../vault/backup-keys.ts'
import { backupStanding } from '../vault/last-backup.ts'
import { countRefreshedSince, countUnrefreshedSince } from '../vault/refreshes.ts'
import { getRestoreState } from '../vault/restore-state.ts'
import type { RootKeyProvider } from '../vault/root-key-provider.ts'
import { type BackupMade, recordBackup, removeBackup, writeBackup } from '../vault/write-backup.ts'
import type { AdminNeeds } from './needs.ts'

export type VaultParty = 'daemon' | 'cosigner'

export type CustodyNeeds = AdminNeeds & {
  /** Where the daemon's own backups go and who can open them. */
  readonly backup: BackupPlace | undefined
  /** Who keeps the root of the daemon's vault. */
  readonly rootKey: RootKeyProvider
  /** One backup, or rotation of one vault, at a time. */
  readonly custody: CustodyTurns
  /** Whose thread holds the share key as well. */
  readonly sessions?: { readonly sessionSigner: { readonly renewShareKey: () => void } } | undefined
  readonly delegates?: { readonly renewShareKey: () => Promise<void> } | undefined
  readonly delegate?: { readonly delegateEngine: { readonly renewShareKey: () => Promise<void> } } | undefined
}

export type BackupView = {
  readonly vault: VaultParty
  readonly fileName: string
  readonly sizeBytes: number
  readonly auditSequence: bigint
  readonly createTimeMs: number
}

export type KeyRotationView = {
  readonly vault: VaultParty
  readonly provider: string
  readonly shareCount: number
}

/** Whoever comes while one runs waits for it. */
export class CustodyTurns {
  #last: Promise<unknown> = Promise.resolve()

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.catch(() => undefined).then(work)
    this.#last = turn
    return turn
  }
}

const toView = ({ vault, fileName, bytes, auditSequence, createMs }: BackupMade): BackupView => ({
  vault,
  fileName,
  sizeBytes: bytes,
  auditSequence,
  createTimeMs: createMs,
})

const requirePlace = ({ backup }: CustodyNeeds): { readonly directory: string; readonly recipient: Recipient } => {
  const recipient = parseRecipient(backup?.recipient ?? '')
  if (backup === undefined || recipient === undefined) {
    throw failure('BACKUP_NOT_CONFIGURED', { missing: 'backup_recipient' })
  }
  return { directory: backup.directory, recipient }
}

const TRIES = 3

/**
 * The daemon's vault first, then the cosigner's, which has a share of every wallet the daemon knows by then. A refresh
 * decided in between would leave two backups whose shares do not fit: both are made again.
 */
const backUpBoth = async (needs: CustodyNeeds, call: Call): Promise<readonly BackupMade[]> => {
  const { vault, engine, clock } = needs
  const { directory, recipient } = requirePlace(needs)
  for (let tries = 0; tries < TRIES; tries++) {
    const setId = new Uint8Array(randomBytes(16))
    const nowMs = Math.trunc(clock.nowMs())
    const own = await writeBackup(vault, { directory, recipient, setId, nowMs })
    const withdraw = async (error: unknown): Promise<never> => {
      await removeBackup(directory, own)
      throw error
    }
    const theirs = await engine.custody.backup(setId).catch(withdraw)
    if (countRefreshedSince(vault.read, own.auditSequence) > 0) {
      await removeBackup(directory, own)
      if (theirs !== undefined) await removeBackup(directory, theirs)
      continue
    }
    const actor = { kind: 'operator', id: call.caller.principal } as const
    await vault.commit((tx) => recordBackup(tx, own, { recipient, actor, nowMs }))
    return theirs === undefined ? [own] : [own, theirs]
  }
  throw failure('BACKUP_FAILED', { why: 'wallets were refreshed all the while' })
}

export const createBackup = (needs: CustodyNeeds, call: Call): Promise<readonly BackupView[]> =>
  needs.custody.take(async () => (await backUpBoth(needs, call)).map(toView))

const rotateOwnKey = async (needs: CustodyNeeds, call: Call): Promise<KeyRotationView> => {
  const { vault, engine, clock, rootKey, sessions, delegates } = needs
  const event = {
    timeMs: Math.trunc(clock.nowMs()),
    kind: 'vault.key_rotated',
    actor: { kind: 'operator', id: call.caller.principal },
    method: call.method.split('/').at(-1),
    requestId: call.requestId,
    decision: 'allow',
    details: { provider: rootKey.name },
  } as const
  try {
    await vault.rotateRoot({ provider: rootKey, renewsProvider: true, event })
  } finally {
    await engine.renewShareKey()
    sessions?.sessionSigner.renewShareKey()
    await delegates?.renewShareKey()
    await needs.delegate?.delegateEngine.renewShareKey()
  }
  return { vault: 'daemon', provider: rootKey.name, shareCount: await vault.rewrapShares() }
}

export const rotateVaultKey = (
  needs: CustodyNeeds,
  call: Call,
  args: { readonly vault: VaultParty },
): Promise<KeyRotationView> =>
  needs.custody.take(async () => {
    if (args.vault === 'daemon') return rotateOwnKey(needs, call)
    const { provider, shares } = await needs.engine.custody.rotateKey()
    return { vault: 'cosigner', provider, shareCount: shares }
  })

export type BackupStatusView = BackupView & { readonly refreshedWalletCount: number }
export type RestoreStatusView = {
  readonly restoreTimeMs: number
  readonly backupTimeMs: number
  readonly acknowledgeTimeMs: number | undefined
  readonly vaultEpoch: number
  readonly unrefreshedWalletCount: number
}

export type CustodyStatus = {
  readonly backups: readonly BackupStatusView[]
  readonly restore: RestoreStatusView | undefined
}

/** What the newest backups are still good for, and what a restore left to do. */
export const custodyStatus = async ({ vault, engine }: Pick<AdminNeeds, 'vault' | 'engine'>): Promise<CustodyStatus> => {
  const theirs = await engine.custody.backupStanding().catch(() => undefined)
  const standing = [
    { vault: 'daemon', last: backupStanding(vault.read) },
    { vault: 'cosigner', last: theirs },
  ] as const
  const backups = standing.flatMap(({ vault: party, last }) =>
    last === undefined ? [] : [{ ...toView({ ...last, vault: party }), refreshedWalletCount: last.refreshedWallets }],
  )
  const state = getRestoreState(vault.read)
  const restore = state && {
    restoreTimeMs: state.restoreMs,
    backupTimeMs: state.backupMs,
    acknowledgeTimeMs: state.acknowledgeMs,
    vaultEpoch: state.epoch,
    unrefreshedWalletCount: countUnrefreshedSince(vault.read, { ...state, timeMs: state.restoreMs }),
  }
  return { backups, restore }
}
