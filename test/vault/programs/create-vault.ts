// Tries to create a vault in argv[2] under the root key file argv[3] and prints how that went.
import { join } from 'node:path'
import { isFailure } from '../../../src/domain/failure.ts'
import { createDaemonVault } from '../../../src/vault/daemon-vault.ts'
import { createRootKeyProvider } from '../../../src/vault/root-key-provider.ts'

const [, , dir = '', keyPath = ''] = process.argv
const provider = createRootKeyProvider(`file:${keyPath}`)
try {
  const vault = await createDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs: Date.now() })
  await vault.close()
  process.stdout.write('created\n')
} catch (error) {
  process.stdout.write(`${isFailure(error) ? error.reason : String(error)}\n`)
}
