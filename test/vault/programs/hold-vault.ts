// Opens the vault in argv[2], says so, and holds it until it is killed.
import { join } from 'node:path'
import { openDaemonVault } from '../../../src/vault/daemon-vault.ts'
import { createRootKeyProvider } from '../../../src/vault/root-key-provider.ts'

const dir = process.argv[2] ?? ''
const provider = createRootKeyProvider(`file:${join(dir, 'root.key')}`)
const vault = await openDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs: Date.now() })
process.stdout.write(`holding ${vault.kind}\n`)
setInterval(() => undefined, 60_000)
