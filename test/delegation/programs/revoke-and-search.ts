/**
 * Revokes a delegated access in a process of its own and searches all of its memory, whoever's thread it is, and every
 * file of the vault: prints what was looked for and what was found. In a process of its own because it is small.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { revokeDelegatedAccess } from '../../../src/delegation/revoke-access.ts'
import { groupOf } from '../../../src/engine/curve/group.ts'
import type { LinkMaterial } from '../../../src/engine/dkls23/link-material.ts'
import { callerOfAccess } from '../../../src/signing/delegated-standing.ts'
import { GrantCache } from '../../../src/signing/grant-cache.ts'
import { getShare } from '../../../src/vault/wallet-shares.ts'
import { type Pattern, patternsOf, scanMemory } from '../../engine/memory-scan.ts'
import { callOf } from '../../signing/call.ts'
import { activeDelegate, type Delegate, grant, jobFor, messageOf, openOwnVault, openStage } from '../granting-scene.ts'

/** x_D' = x_D0 − (x_G' − x_G0), and x_D0. */
const sharePatterns = ({ store, granted }: Delegate): Pattern[] => {
  const { alg, share } = granted.own
  const group = groupOf(alg)
  const [slot] = store.wallets.values()
  if (slot === undefined) throw new Error('the delegate has no share')
  const minusNow = group.scalarNegate(slot.record.share)
  const back = group.scalarAdd(share, minusNow)
  const present = group.scalarAdd(granted.shareD, back)
  const patterns = [...patternsOf("x_D'", present), ...patternsOf('x_D0', granted.shareD)]
  for (const secret of [minusNow, back, present, granted.shareD]) secret.fill(0)
  return patterns
}

/** Of each pair of seeds that the daemon could have, one is its own: which, is its Δ. */
const materialPatterns = (name: string, { link }: Delegate): Pattern[] => {
  const { seedPairs } = link.material as LinkMaterial
  const half = seedPairs.length / 2
  const seedAt = (i: number, b: number): Uint8Array => seedPairs.subarray(b * half + 16 * i, b * half + 16 * i + 16)
  return [0, 5, 127].flatMap((i) => [0, 1].flatMap((b) => patternsOf(`${name}: seed ${i}.${b}`, seedAt(i, b)).slice(0, 1)))
}

const filesOf = (dir: string): Buffer => Buffer.concat(readdirSync(dir).map((name) => readFileSync(join(dir, name))))
const spellings = (bytes: Uint8Array): Buffer[] => {
  const buffer = Buffer.from(bytes)
  const texts = [buffer.toString('hex'), buffer.toString('base64'), buffer.toString('base64url')]
  return [buffer, Buffer.from(buffer.toReversed()), ...texts.map((text) => Buffer.from(text.replaceAll('=', '')))]
}

const sign = async (delegate: Delegate): Promise<void> => {
  const [ready] = await delegate.c.presign([delegate.walletId])
  if (ready === undefined) throw new Error('no presignature')
  await delegate.c.sign(jobFor(delegate.granted, ready, messageOf('x')))
}

const { vault, place, remove } = await openOwnVault()
const stage = openStage(vault)
const [gone, kept] = [await activeDelegate(stage, await grant(vault)), await activeDelegate(stage, await grant(vault))]
for (const delegate of [gone, kept]) await sign(delegate)
const wanted = [...sharePatterns(gone), ...materialPatterns('gone', gone)]
const control = materialPatterns('kept', kept)
for (const { link } of [gone, kept]) link.wipeMaterial()
const row = getShare(vault.read, gone.walletId)
if (row === undefined) throw new Error('the daemon has no share')
const sealed = [row.wrappedKey, row.ciphertext].map((bytes) => Uint8Array.from(bytes))
const wereThere = sealed.every((bytes) => filesOf(place.dir).includes(bytes))
const { fences, clock, rates } = stage.needs
const needs = { vault, fences, clock, rates, grants: new GrantCache(), accessEnds: stage.accessEnds }
const { access } = gone.granted
await revokeDelegatedAccess(needs, callOf(callerOfAccess(access), 'DelegationService/RevokeDelegatedAccess'), access)
const after = filesOf(place.dir)
const inFiles = sealed.flatMap(spellings).filter((spelling) => after.includes(spelling)).length
const found = scanMemory([...wanted, ...control])
const isControl = (name: string): boolean => name.startsWith('kept')
const report = {
  wereThere,
  inFiles,
  lookedFor: wanted.map(({ name }) => name),
  inMemory: found.filter((name) => !isControl(name)),
  control: found.filter(isControl),
}
process.stdout.write(`${JSON.stringify(report)}\n`)
await stage.delegates.close()
await vault.close()
remove()
