import {
  closeSync,
  chmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { failure } from '../domain/failure.ts'

const unwritable = (path: string, error: unknown) =>
  failure('VAULT_UNWRITABLE', { path, why: (error as NodeJS.ErrnoException).code ?? 'error' })

/** Makes an empty file of mode 0600, or leaves the one that is there: an existing file is never opened here. */
export const createPrivateFile = (path: string): void => {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(path, error)
  }
}

/** Makes a file of mode 0600 with this content, durable. Throws the system's error, EEXIST for a file that is there. */
export const writePrivateFile = (path: string, content: Uint8Array | string): void => {
  const descriptor = openSync(path, 'wx', 0o600)
  try {
    writeFileSync(descriptor, content)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Makes what was made, renamed or removed in the directory durable. */
export const syncDirectory = (path: string): void => {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Reads a small file into `into` and answers how many bytes; one that others may read is refused. */
export const readPrivateFile = (
  path: string,
  into: Buffer,
  mustBePrivate: boolean,
  unreadable: (why: string) => Error,
): number => {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    throw unreadable(`the file cannot be opened (${(error as NodeJS.ErrnoException).code ?? 'error'})`)
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw unreadable('it is not a regular file')
    const isOpen = (stat.mode & OTHERS_MAY) !== 0
    if (mustBePrivate && isOpen) throw unreadable('other users may read it; make its mode 0600')
    return readSync(fd, into, 0, into.length, 0)
  } finally {
    closeSync(fd)
  }
}

const OTHERS_MAY = 0o077
const STICKY = 0o1000

/**
 * Makes the data directory with mode 0700, or closes one that other users may enter. Refuses with VAULT_UNWRITABLE
 * a shared directory (sticky, such as /tmp), one that cannot be closed, and one on a network file system, whose
 * locks and fsyncs cannot be relied on.
 */
export const preparePrivateDirectory = (path: string): void => {
  try {
    mkdirSync(path, { mode: 0o700, recursive: true })
    const { mode } = statSync(path)
    if ((mode & STICKY) !== 0) throw failure('VAULT_UNWRITABLE', { path, why: 'all users share the directory' })
    if ((mode & OTHERS_MAY) !== 0) chmodSync(path, 0o700)
  } catch (error) {
    if (error instanceof Error && 'reason' in error) throw error
    throw unwritable(path, error)
  }
  refuseNetworkFileSystem(path)
}

/** statfs(2) types: NFS, SMB, CIFS, SMB2, AFS, Ceph, 9p. */
const NETWORK_FILE_SYSTEMS = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x5346414f, 0x00c36400, 0x01021997])

const refuseNetworkFileSystem = (path: string): void => {
  if (process.platform !== 'linux') return
  const type = statfsSync(path).type >>> 0
  if (NETWORK_FILE_SYSTEMS.has(type)) {
    throw failure('VAULT_UNWRITABLE', { path, why: 'the directory is on a network file system' })
  }
}
