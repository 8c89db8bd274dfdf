// Commits audit rows until the disk refuses, then tries twice more; prints what was acknowledged and how it ended.
import { join } from 'node:path'
import { isFailure } from '../../../src/domain/failure.ts'
import { appendAudit } from '../../../src/vault/audit-chain.ts'
import { openDaemonVault } from '../../../src/vault/daemon-vault.ts'
import { createRootKeyProvider } from '../../../src/vault/root-key-provider.ts'

const dir = process.argv[2] ?? ''
const provider = createRootKeyProvider(`file:${join(dir, 'root.key')}`)
const vault = await openDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs: Date.now() })
const commit = () =>
  vault.commit((tx) =>
    appendAudit(tx, {
      timeMs: Date.now(),
      kind: 'fill',
      actor: { kind: 'daemon', id: '' },
      details: { padding: 'x'.repeat(3000) },
    }),
  )
let acknowledged = 0
const refusals: string[] = []
while (refusals.length < 2 && acknowledged < 100_000) {
  try {
    await commit()
    if (refusals.length > 0) throw new Error('a stopped vault took a commit')
    acknowledged++
  } catch (error) {
    refusals.push(isFailure(error) ? error.reason : String(error))
  }
}
process.stdout.write(JSON.stringify({ acknowledged, refusals, fault: vault.fault() }))
