import type { AuditEvent } from './audit-chain.ts'
import { appendAudit } from './audit-chain.ts'
import type { GroupCommit } from './group-commit.ts'
import { generateRootKey } from './root-key.ts'
import type { RootKey } from './root-key.ts'
import type { RootKeyProvider } from './root-key-provider.ts'
import type { Reader } from './store.ts'
import { readHeader, replaceRoot, rootAad } from './vault-header.ts'
import { moveKeys } from './vault-keys.ts'

/**
 * A new root for a vault that is open and stays so. One transaction, whose size does not depend on the number of
 * wallets, puts the new root in the place of the old one: before it the old root opens the vault, after it the new one,
 * and a crash leaves one of the two. Share records follow one by one (rewrap-shares.ts), without hurry: the key that
 * opens those that have not is itself sealed under the new root.
 */
export type RootRotation = {
  /** Who keeps the new root. */
  readonly provider: RootKeyProvider
  /** Give the provider a new key too, where it has one of its own to give (a key file). */
  readonly renewsProvider: boolean
  /** Chained in the transaction that decides. */
  readonly event: AuditEvent
}

type Needs = {
  readonly reader: Reader
  readonly commits: GroupCommit
  readonly root: RootKey
  /**
   * The vault's root is now this one; whoever takes it wipes the one before. Called in the turn of the commit: what is
   * committed next is sealed under it.
   */
  readonly adopt: (root: RootKey) => void
}

export type RotatedRoot = {
  /** Puts the provider's new key in its place. Until then, and after a crash, it is found beside it. */
  readonly settle: () => void
}

/** Refuses, having changed nothing: ROOT_KEY_UNREADABLE, AUDIT_UNAVAILABLE. */
export const rotateRoot = async (
  { reader, commits, root, adopt }: Needs,
  { provider, renewsProvider, event }: RootRotation,
): Promise<RotatedRoot> => {
  const { kind, vaultId } = reader
  const aad = rootAad(kind, vaultId)
  const renewed = renewsProvider ? await provider.renew?.(readHeader(reader).wrappedRoot, aad) : undefined
  const fresh = generateRootKey(vaultId)
  try {
    const wrap = renewed?.wrap ?? provider.wrap
    const wrapped = await fresh.useRoot((bytes) => wrap(bytes, aad))
    commits.commitNow((tx) => {
      moveKeys(tx, root, fresh)
      replaceRoot(tx, fresh, provider.name, wrapped)
      appendAudit(tx, event)
    })
  } catch (error) {
    fresh.wipe()
    // A commit that failed on the disk may stand all the same: then the next open needs the new key.
    if (commits.fault() === undefined) renewed?.abandon()
    throw error
  }
  adopt(fresh)
  return { settle: () => renewed?.settle() }
}
