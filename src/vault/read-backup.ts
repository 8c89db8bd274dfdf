import { createReadStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { failure, isFailure } from '../domain/failure.ts'
import { decryptAge } from './age-stream.ts'
import type { Identity } from './backup-keys.ts'
import { MANIFEST_MAGIC, parseManifest } from './backup-manifest.ts'
import type { BackupManifest } from './backup-manifest.ts'
import type { VaultKind } from './store.ts'

/** Where a backup is, what opens it and what it has to be of. */
export type BackupSource = {
  readonly path: string
  readonly identities: readonly Identity[]
  readonly kind: VaultKind
}

const PREAMBLE_MAX_BYTES = 4_096

const corrupt = (where: string) => failure('BACKUP_CORRUPT', { where })

/** Cuts magic and manifest off the front. */
const takeManifest = (head: Buffer): { readonly manifest: BackupManifest; readonly rest: Buffer } | undefined => {
  const magicEnd = head.indexOf(0x0a)
  const end = magicEnd < 0 ? -1 : head.indexOf(0x0a, magicEnd + 1)
  if (end < 0) return undefined
  if (head.toString('latin1', 0, magicEnd) !== MANIFEST_MAGIC) throw corrupt('not a vault backup')
  return { manifest: parseManifest(head.toString('utf8', magicEnd + 1, end)), rest: head.subarray(end + 1) }
}

/** A backup's parts: the manifest first, then the database. */
async function* partsOf({ path, identities, kind }: BackupSource): AsyncIterable<BackupManifest | Uint8Array> {
  const parts = decryptAge(identities, createReadStream(path, { highWaterMark: 262_144 }) as AsyncIterable<Uint8Array>)
  let head: Buffer | undefined = Buffer.alloc(0)
  for await (const part of parts) {
    if (head === undefined) {
      yield part
      continue
    }
    head = Buffer.concat([head, part])
    const found = takeManifest(head)
    if (found === undefined) {
      if (head.length > PREAMBLE_MAX_BYTES) throw corrupt('not a vault backup')
      continue
    }
    if (found.manifest.vault !== kind) {
      throw failure('BACKUP_WRONG_VAULT', { expected: kind, found: found.manifest.vault })
    }
    yield found.manifest
    yield found.rest
    head = undefined
  }
  if (head !== undefined) throw corrupt('not a vault backup')
}

/**
 * Decrypts a backup into `into`, a new file of mode 0600, fsynced. The file is there only when every byte was checked.
 * Refuses: BACKUP_KEY_WRONG, BACKUP_CORRUPT, BACKUP_WRONG_VAULT, BACKUP_FAILED (a file that cannot be read or written).
 */
export const readBackup = async (source: BackupSource, into: string): Promise<BackupManifest> => {
  let manifest: BackupManifest | undefined
  let bytes = 0
  try {
    const file = await open(into, 'wx', 0o600)
    try {
      for await (const part of partsOf(source)) {
        if (!(part instanceof Uint8Array)) {
          manifest = part
          continue
        }
        bytes += part.length
        await file.writeFile(part)
      }
      await file.sync()
    } finally {
      await file.close()
    }
    if (manifest === undefined || manifest.databaseBytes !== bytes) throw corrupt('its size')
    return manifest
  } catch (error) {
    await rm(into, { force: true })
    if (isFailure(error)) throw error
    const { code, path } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    throw failure('BACKUP_FAILED', { why: `${path ?? source.path} cannot be read or written (${code})` })
  }
}
