/** A place for a vault that several tests use, and copies of it as a crash would leave it. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRootKeyFile, createRootKeyProvider, type RootKeyProvider } from '../../../src/vault/root-key-provider.ts'

export type KeptPlace = {
  readonly path: string
  readonly provider: RootKeyProvider
  /** What is on disk now, elsewhere. */
  readonly copy: () => { readonly path: string; readonly provider: RootKeyProvider }
  readonly remove: () => void
}

export const keepPlace = (): KeptPlace => {
  const root = mkdtempSync(join(tmpdir(), 'countersign-kept-'))
  const directory = mkdtempSync(join(root, 'vault-'))
  const at = (dir: string) => ({ path: join(dir, 'vault.db'), provider: createRootKeyProvider(`file:${join(dir, 'root.key')}`) })
  createRootKeyFile(join(directory, 'root.key'))
  return {
    ...at(directory),
    copy: () => {
      const copied = mkdtempSync(join(root, 'copy-'))
      cpSync(directory, copied, { recursive: true })
      return at(copied)
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}
