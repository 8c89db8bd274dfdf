import { open, rm } from 'node:fs/promises'

const BLOCK_BYTES = 1 << 20

/**
 * Overwrites a file with zeros and removes it; none is fine. A copy of a vault holds data keys that are erased in the
 * vault later, so its blocks must not lie around. A file system that never writes in place keeps them all the same.
 */
export const wipeFile = async (path: string): Promise<void> => {
  try {
    const file = await open(path, 'r+')
    try {
      const { size } = await file.stat()
      const zeros = Buffer.alloc(Math.min(BLOCK_BYTES, size))
      for (let at = 0; at < size; at += BLOCK_BYTES) {
        await file.write(zeros, 0, Math.min(BLOCK_BYTES, size - at), at)
      }
      await file.datasync()
    } finally {
      await file.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  await rm(path, { force: true })
}
