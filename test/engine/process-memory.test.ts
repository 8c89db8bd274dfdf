import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { contextRandomize, mulBase } from '../../src/engine/curve/secp256k1.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { type LinkMaterial, wipeLinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import {
  advancePresignC,
  advancePresignS,
  finishPresignC,
  startPresignC,
  startPresignS,
} from '../../src/engine/dkls23/presign.ts'
import type { HalfSecrets } from '../../src/engine/dkls23/presign-half.ts'
import { presignSlotOf } from '../../src/engine/dkls23/presign-plan.ts'
import {
  answerRefreshS,
  finishRefreshC,
  finishRefreshS,
  openRefreshC,
  startRefreshC,
} from '../../src/engine/dkls23/refresh.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { wipePresignature } from '../../src/engine/dkls23/presignature.ts'
import { decodeWalletRecord, encodeWalletRecord, type WalletRecord } from '../../src/engine/dkls23/records.ts'
import { activate, LINK, makeMaterial, makeWallets } from './link-fixtures.ts'
import { CURVES, refreshInputs, walletsOf } from './refresh-fixtures.ts'
import { canScan, type Pattern, patternsOf, scanMemory } from './memory-scan.ts'
import { seededEntropy } from './seeded-entropy.ts'

const random = () => randomBytes(8).toString('hex')

const slotOf = (material: LinkMaterial, record: WalletRecord) => {
  const slot = presignSlotOf(LINK, material, record)
  if (slot === undefined) throw new Error('the wallet may not presign')
  return slot
}

/** A session of one slot. Small secrets are where a copy is left most easily. */
function presignOnce(material: { c: LinkMaterial; s: LinkMaterial }, c: WalletRecord, s: WalletRecord): Pattern[] {
  const patterns: Pattern[] = []
  const note = (side: string, secrets: HalfSecrets) => {
    for (const name of ['shares', 'nonces', 'factors', 'blinds', 'products'] as const) {
      if (secrets[name].length > 0) patterns.push(...patternsOf(`${name} of ${side}`, secrets[name].subarray(0, 32)))
    }
  }
  const c1 = startPresignC({ link: LINK, material: material.c, entropy: seededEntropy(random()), slots: [slotOf(material.c, c)] })
  const resolve = () => slotOf(material.s, s)
  const inputs = { link: LINK, material: material.s, entropy: seededEntropy(random()), resolve }
  const s2 = startPresignS(inputs, { sid: NO_SID, body: c1.body })
  note('S', s2.state.secrets)
  const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
  note('C', c3.state.secrets)
  const s4 = advancePresignS(s2.state, c3.body)
  const done = finishPresignC(c3.state, s4.body)
  for (const presignature of [...done.presignatures, ...s4.presignatures]) {
    for (const name of ['phi', 'u', 'v'] as const) patterns.push(...patternsOf(name, presignature[name]))
    wipePresignature(presignature)
  }
  return patterns
}

/** A refresh of one wallet; the records belong to the caller, who wipes them. */
function refreshOnce(c: WalletRecord, s: WalletRecord): { patterns: Pattern[]; records: readonly WalletRecord[] } {
  const c1 = startRefreshC(refreshInputs(random()), [c])
  const s2 = answerRefreshS(refreshInputs(random()), { sid: NO_SID, body: c1.body }, [s])
  const patterns = [c1.state, s2.state].flatMap(({ own }) => patternsOf('ephemeral key', own.scalar))
  const shared = groupOf(c.alg).mulSecret(c1.state.own.scalar, s2.state.own.point)
  patterns.push(...patternsOf('Z', shared.subarray(shared.length - 32)))
  shared.fill(0)
  const c3 = openRefreshC(c1.state, { sid: s2.sid, body: s2.body })
  const s4 = finishRefreshS(s2.state, c3.body)
  const done = finishRefreshC(c3.state, s4.body)
  const records = [c, s, ...done.records, ...s4.pending.records]
  for (const { share } of records) patterns.push(...patternsOf('share', share))
  const [group, next] = [groupOf(c.alg), done.records[0]]
  if (next === undefined) throw new Error('no record')
  const minusOld = group.scalarNegate(c.share)
  const rho = group.scalarAdd(next.share, minusOld)
  patterns.push(...patternsOf('coin', rho))
  for (const secret of [minusOld, rho]) secret.fill(0)
  return { patterns, records }
}

describe.skipIf(!canScan)('the memory of the process, once everything was wiped', () => {
  test('the search finds what is there', () => {
    const secret = randomBytes(32)
    const patterns = patternsOf('kept', secret)
    expect(scanMemory(patterns)).toContain('kept')
    expect(secret).toHaveLength(32)
  })

  test('T22 T39 holds no share, no Δ, no seed and nothing of a session or a presignature', () => {
    const material = makeMaterial(random())
    const wallets = makeWallets(1, random())
    const [c, s] = [activate(wallets.c)[0], activate(wallets.s)[0]]
    if (c === undefined || s === undefined) throw new Error('no wallet')
    const patterns = presignOnce(material, c, s)
    for (const { delta, chosenSeeds, seedPairs, hk } of [material.c, material.s]) {
      patterns.push(...patternsOf('delta', delta), ...patternsOf('hk', hk))
      patterns.push(...patternsOf('chosen seed', chosenSeeds.subarray(16, 32)), ...patternsOf('seed', seedPairs.subarray(16, 32)))
    }
    for (const record of [c, s]) {
      patterns.push(...patternsOf('share', record.share))
      const bytes = encodeWalletRecord(record)
      decodeWalletRecord(bytes).share.fill(0)
      bytes.fill(0)
      record.share.fill(0)
    }
    wipeLinkMaterial(material.c)
    wipeLinkMaterial(material.s)
    const [own, seed] = [randomBytes(32), randomBytes(32)]
    patterns.push(...patternsOf('scalar', own), ...patternsOf('blinding seed', seed))
    mulBase(own)
    contextRandomize(seed)
    own.fill(0)
    expect(scanMemory(patterns)).toEqual([])
  })

  test.each(CURVES)('holds nothing of a refresh on %s: no old share, no new one, no coin, no ephemeral key', (_, alg) => {
    const { c, s } = walletsOf(alg, 1, random())
    const [mine, theirs] = [c[0], s[0]]
    if (mine === undefined || theirs === undefined) throw new Error('no wallet')
    const { patterns, records } = refreshOnce(mine, theirs)
    for (const { share } of records) share.fill(0)
    expect(scanMemory(patterns)).toEqual([])
  })
})
