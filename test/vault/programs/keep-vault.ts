/** Backs up the vault in argv[2] to the recipient argv[3], then gives it a new root key and brings its shares along. */
import { join } from 'node:path'
import { parseRecipient } from '../../../src/vault/backup-keys.ts'
import { openDaemonVault } from '../../../src/vault/daemon-vault.ts'
import { createRootKeyProvider } from '../../../src/vault/root-key-provider.ts'
import { recordBackup, writeBackup } from '../../../src/vault/write-backup.ts'

const [dir = '', text = ''] = process.argv.slice(2)
const recipient = parseRecipient(text)
if (recipient === undefined) throw new Error('argv[3] is a recipient')
const nowMs = 1_800_000_000_000
const provider = createRootKeyProvider(`file:${join(dir, 'root.key')}`)
const vault = await openDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs })
const setId = new Uint8Array(16)
const made = await writeBackup(vault, { directory: join(dir, 'backups'), recipient, setId, nowMs })
const actor = { kind: 'operator', id: '' } as const
await vault.commit((tx) => recordBackup(tx, made, { recipient, actor, nowMs }))
await vault.rotateRoot({ provider, renewsProvider: true, event: { timeMs: nowMs, kind: 'vault.key_rotated', actor } })
await vault.rewrapShares()
await vault.close()
