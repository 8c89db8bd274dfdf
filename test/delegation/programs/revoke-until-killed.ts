// Grants delegated access, says what sealed the shares, then takes one after the other back and says each that it has
// acknowledged. argv: data directory, how many.
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { revokeDelegatedAccess } from '../../../src/delegation/revoke-access.ts'
import { callerOfAccess } from '../../../src/signing/delegated-standing.ts'
import { GrantCache } from '../../../src/signing/grant-cache.ts'
import { openDaemonVault } from '../../../src/vault/daemon-vault.ts'
import { createRootKeyProvider } from '../../../src/vault/root-key-provider.ts'
import { getShare } from '../../../src/vault/wallet-shares.ts'
import { callOf } from '../../signing/call.ts'
import { grant, openStage } from '../granting-scene.ts'

const [, , dir = '', count = ''] = process.argv
const provider = createRootKeyProvider(`file:${join(dir, 'root.key')}`)
const vault = await openDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs: Date.now() })
const stage = openStage(vault)
const { fences, clock, rates } = stage.needs
const needs = { vault, fences, clock, rates, grants: new GrantCache(), accessEnds: stage.accessEnds }
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const granted = []
for (let n = 0; n < Number(count); n++) granted.push(await grant(vault))
for (const { access, own } of granted) {
  const share = getShare(vault.read, own.walletId)
  if (share === undefined) throw new Error('no share')
  writeSync(1, `granted ${access.accessId} ${hex(share.wrappedKey)} ${hex(share.ciphertext)}\n`)
}
writeSync(1, 'ready\n')
for (const { access } of granted) {
  await revokeDelegatedAccess(needs, callOf(callerOfAccess(access), 'DelegationService/RevokeDelegatedAccess'), access)
  writeSync(1, `revoked ${access.accessId}\n`)
}
