// Writes intents and completions as fast as it can and says each one on stdout after it was acknowledged.
// argv: data directory, seed.
import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import type { AuditHead } from '../../../src/vault/audit-chain.ts'
import { openDaemonVault } from '../../../src/vault/daemon-vault.ts'
import { beginIntent, completeIntent } from '../../../src/vault/intents.ts'
import { createRootKeyProvider } from '../../../src/vault/root-key-provider.ts'

const [, , dir = '', seed = ''] = process.argv
const bytes = (label: string, size: number): Uint8Array =>
  createHash('shake256', { outputLength: size }).update(`${seed}/${label}`).digest()
const event = (kind: string) => ({ timeMs: Date.now(), kind, actor: { kind: 'api_key' as const, id: 'key_1' } })

const provider = createRootKeyProvider(`file:${join(dir, 'root.key')}`)
const vault = await openDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs: Date.now() })
const say = (what: string, head: AuditHead): void => {
  writeSync(1, `${what} ${head.sequence} ${Buffer.from(head.hash).toString('hex')}\n`)
}
say('opened', { sequence: 0n, hash: vault.vaultId })

const sign = async (lane: number): Promise<never> => {
  for (let n = 0; ; n++) {
    const label = `${lane}/${n}`
    const meter = { principal: 'key_1', permission: 'p', token: 't', day: 1 }
    const charge = { ...meter, amount: 1n, allowed: 2n ** 200n }
    const head = await vault.commit((tx) =>
      beginIntent(tx, {
        walletId: bytes(`wallet/${lane}`, 16),
        presigId: bytes(`presig/${label}`, 16),
        rPoint: bytes(`r/${label}`, 33),
        digest: bytes(`digest/${label}`, 32),
        caller: 'key_1',
        method: 'SignMessage',
        event: event('sign.intent'),
        charges: [charge],
      }),
    )
    say('intent', head)
    const result = { signatureHash: bytes(`s/${label}`, 32), r: bytes(`r/${label}`, 32) }
    const completion = { ...result, event: event('sign.done') }
    const done = await vault.commit((tx) => completeIntent(tx, head.sequence, completion))
    if (done !== undefined) say('done', done)
  }
}
await Promise.all(Array.from({ length: 8 }, (_, lane) => sign(lane)))
