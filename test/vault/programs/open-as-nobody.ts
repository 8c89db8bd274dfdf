// Tries to open the vault in argv[2] without root's powers and prints how that went.
import { chownSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { isFailure } from '../../../src/domain/failure.ts'
import { openDaemonVault } from '../../../src/vault/daemon-vault.ts'
import { createRootKeyProvider } from '../../../src/vault/root-key-provider.ts'

const NOBODY = 65_534
const dir = process.argv[2] ?? ''
if (process.getuid?.() === 0) {
  for (const path of [dir, ...readdirSync(dir).map((name) => join(dir, name))]) chownSync(path, NOBODY, NOBODY)
  process.setgid?.(NOBODY)
  process.setuid?.(NOBODY)
}
const provider = createRootKeyProvider(`file:${join(dir, 'root.key')}`)
try {
  const vault = await openDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs: Date.now() })
  await vault.close()
  process.stdout.write('opened\n')
} catch (error) {
  process.stdout.write(`${isFailure(error) ? error.reason : String(error)}\n`)
}
