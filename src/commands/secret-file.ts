import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { CommandRefusal } from './terminal.ts'

/** A new file, mode 0600, for a secret that is shown once. */
export type SecretFile = Disposable & { readonly path: string; readonly write: (secret: string) => void }

/** Opened before the secret is made: one that cannot be kept is worse than none. Undefined without a path. */
export const openSecretFile = (path: string | undefined): SecretFile | undefined => {
  if (path === undefined) return undefined
  let descriptor: number
  try {
    descriptor = openSync(path, 'wx', 0o600)
  } catch (error) {
    throw new CommandRefusal(`--secret-file: ${path} cannot be made (${(error as NodeJS.ErrnoException).code ?? 'error'})`)
  }
  return {
    path,
    write: (secret) => {
      writeSync(descriptor, `${secret}\n`)
      fsyncSync(descriptor)
    },
    [Symbol.dispose]: () => closeSync(descriptor),
  }
}
