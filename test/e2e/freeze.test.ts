/** Freezes: a fence in front of everything in flight, durable, and lifted only on purpose. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newKey, type NewKey, newWallet, outcomeOf, reasonOf, refusalOf } from './callers.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

/** Each restart takes a second, and several on a machine with other work. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const base = makeDataDir()
let daemon: TestDaemon
let admin: CountersignClient
let key: NewKey
let client: CountersignClient
let wallet: Wallet
let otherWallet: Wallet

const start = async (): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args: ['--max-concurrent-requests', '16'] })
  admin = connect(daemon, daemon.adminKey)
  if (key !== undefined) client = connect(daemon, key.secret)
}
const restart = async (signal: NodeJS.Signals): Promise<void> => {
  admin.close()
  client.close()
  await daemon.kill(signal)
  await start()
}

const RIGHTS = ['wallet:create', 'wallet:read', 'wallet:sign', 'wallet:admin', 'sign:digest', 'sign:authorization']

beforeAll(async () => {
  await start()
  key = await newKey(admin, RIGHTS.map((name) => ({ name })))
  client = connect(daemon, key.secret)
  wallet = await newWallet(client, 'frozen')
  otherWallet = await newWallet(client, 'other')
})
afterAll(async () => {
  client.close()
  admin.close()
  await daemon[Symbol.asyncDispose]()
  rmSync(base, { recursive: true, force: true })
})

/** What a test that failed has left. */
afterEach(async () => {
  for (const { scope, id } of (await admin.admin.getStatus({})).status?.freezes ?? []) await admin.admin.unfreeze({ scope, id })
})

type Target = { readonly scope: FreezeScope; readonly id: string }
const TARGETS: Readonly<Record<string, () => Target>> = {
  wallet: () => ({ scope: FreezeScope.WALLET, id: wallet.walletId }),
  'API key': () => ({ scope: FreezeScope.API_KEY, id: key.apiKeyId }),
  project: () => ({ scope: FreezeScope.PROJECT, id: 'default' }),
  everything: () => ({ scope: FreezeScope.EVERYTHING, id: '' }),
}
const NAMES = Object.keys(TARGETS)
const targetOf = (name: string): Target => TARGETS[name]?.() ?? { scope: FreezeScope.UNSPECIFIED, id: '' }
const frozenNow = async (): Promise<number> => (await admin.admin.getStatus({})).status?.freezes.length ?? -1
const signEach = (reference: string, caller = client) =>
  Promise.all(SIGNING_NAMES.map((name) => outcomeOf(signAs(name, caller, { wallet: reference, seed: name }))))
const ALL_FROZEN = SIGNING_NAMES.map(() => 'FROZEN')
const ALL_SIGNED = SIGNING_NAMES.map(() => 'signed')

describe.each(NAMES)('freezing: %s', (name) => {
  it('stops every RPC that signs, survives kill -9, and is lifted by unfreezing', async () => {
    const target = targetOf(name)
    const { freeze } = await admin.admin.freeze({ ...target, note: 'drill' })
    expect(freeze).toMatchObject({ scope: target.scope, note: 'drill' })
    expect(await signEach('frozen')).toEqual(ALL_FROZEN)
    const refusal = await refusalOf(signAs('SignMessage text', client, { wallet: 'frozen' }))
    expect(refusal).toMatchObject({ code: 'FAILED_PRECONDITION', retryable: 'no' })
    const reachesOther = name !== 'wallet'
    expect(await outcomeOf(signAs('SignMessage text', client, { wallet: 'other' }))).toBe(reachesOther ? 'FROZEN' : 'signed')
    expect(await outcomeOf(newWallet(client))).toBe(reachesOther ? 'FROZEN' : 'signed')
    expect(await outcomeOf(client.wallets.getWallet({ wallet: 'frozen' }))).toBe('signed')
    const byAdmin = await outcomeOf(signAs('SignMessage text', admin, { wallet: 'other' }))
    expect(byAdmin).toBe(name === 'project' || name === 'everything' ? 'FROZEN' : 'signed')
    await restart('SIGKILL')
    expect(await signEach('frozen')).toEqual(ALL_FROZEN)
    expect(await frozenNow()).toBe(1)
    await admin.admin.unfreeze(target)
    expect(await signEach('frozen')).toEqual(ALL_SIGNED)
    expect(await frozenNow()).toBe(0)
  })

  it('releases nothing in flight after its answer', async () => {
    // Freezes and signs over one connection: its answers arrive in the order in which they left.
    const own = await newKey(admin, [...RIGHTS, 'admin'].map((right) => ({ name: right })))
    const beside = connect(daemon, own.secret)
    const target = name === 'API key' ? { scope: FreezeScope.API_KEY, id: own.apiKeyId } : targetOf(name)
    let signed = 0
    let late = 0
    for (let round = 0; round < 8; round++) {
      let acknowledged = false
      const signUntilFrozen = async (racer: number): Promise<void> => {
        for (let n = 0; ; n++) {
          const requestId = n % 2 === 0 ? randomUUID() : ''
          const ask = { wallet: 'frozen', seed: `${round} ${racer} ${n}`, requestId }
          const outcome = await outcomeOf(signAs(SIGNING_NAMES[racer % SIGNING_NAMES.length] ?? '', beside, ask))
          if (outcome !== 'signed') return expect(outcome).toBe('FROZEN')
          signed += 1
          if (acknowledged) late += 1
        }
      }
      const racing = Array.from({ length: 12 }, (_, racer) => signUntilFrozen(racer))
      const before = signed
      const freezeInTheMidst = async (): Promise<void> => {
        await vi.waitUntil(() => signed > before, { timeout: 20_000, interval: 1 })
        await sleep(round)
        await beside.admin.freeze(target)
        acknowledged = true
      }
      await Promise.all([freezeInTheMidst(), ...racing])
      expect(await outcomeOf(signAs('SignDigest', beside, { wallet: 'frozen' }))).toBe('FROZEN')
      await beside.admin.unfreeze(target)
    }
    beside.close()
    expect(late).toBe(0)
    expect(signed, 'some were released before').toBeGreaterThan(0)
  })
})

describe('a freeze', () => {
  it('of what does not exist is refused', async () => {
    const targets = [
      [{ scope: FreezeScope.WALLET, id: `wal_${'0'.repeat(32)}` }, 'WALLET_NOT_FOUND'],
      [{ scope: FreezeScope.API_KEY, id: 'key_0000000000000000' }, 'API_KEY_NOT_FOUND'],
      [{ scope: FreezeScope.PROJECT, id: 'nobodys' }, 'PROJECT_NOT_FOUND'],
      [{ scope: FreezeScope.UNSPECIFIED, id: '' }, 'INVALID_REQUEST'],
      [{ scope: FreezeScope.WALLET, id: '' }, 'INVALID_REQUEST'],
      [{ scope: FreezeScope.EVERYTHING, id: 'x' }, 'INVALID_REQUEST'],
    ] as const
    for (const [target, reason] of targets) expect(await reasonOf(admin.admin.freeze(target))).toBe(reason)
    expect(await reasonOf(admin.admin.unfreeze(targetOf('wallet')))).toBe('FREEZE_NOT_FOUND')
    expect(await frozenNow()).toBe(0)
  })

  it('twice is the first one, and freezes lie over each other', async () => {
    await admin.admin.freeze({ ...targetOf('wallet'), note: 'first' })
    expect((await admin.admin.freeze({ ...targetOf('wallet'), note: 'second' })).freeze?.note).toBe('first')
    await admin.admin.freeze(targetOf('everything'))
    await admin.admin.unfreeze(targetOf('wallet'))
    expect(await signEach('frozen')).toEqual(ALL_FROZEN)
    await admin.admin.freeze(targetOf('wallet'))
    await admin.admin.unfreeze(targetOf('everything'))
    expect(await signEach('frozen')).toEqual(ALL_FROZEN)
    expect(await signEach('other')).toEqual(ALL_SIGNED)
    await admin.admin.unfreeze(targetOf('wallet'))
    expect(await signEach('frozen')).toEqual(ALL_SIGNED)
  })

  it('needs the permission admin, and holds no end of it up', async () => {
    expect(await reasonOf(client.admin.freeze(targetOf('wallet')))).toBe('PERMISSION_MISSING')
    expect(await reasonOf(client.admin.unfreeze(targetOf('wallet')))).toBe('PERMISSION_MISSING')
    await admin.admin.freeze(targetOf('everything'))
    const spare = await newKey(admin, [{ name: 'wallet:read' }])
    await admin.admin.revokeApiKey({ apiKeyId: spare.apiKeyId })
    expect((await admin.wallets.archiveWallet({ wallet: otherWallet.walletId })).wallet?.walletId).toBe(otherWallet.walletId)
    await admin.admin.unfreeze(targetOf('everything'))
  })
})

describe('under overload', () => {
  it('freeze, status and revocation are answered while signing is refused as OVERLOADED', async () => {
    const flood = { stop: false }
    const outcomes: Record<string, number> = {}
    const flooding = Array.from({ length: 200 }, async (_, i) => {
      for (let n = 0; !flood.stop; n++) {
        const outcome = await outcomeOf(signAs('SignMessage text', client, { wallet: 'frozen', seed: `${i} ${n}` }))
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      }
    })
    await sleep(300)
    const spare = await newKey(admin, [{ name: 'wallet:read' }]).catch(() => undefined)
    const timeoutMs = 15_000
    for (let i = 0; i < 5; i++) {
      expect((await admin.admin.getStatus({}, { timeoutMs })).status?.cosignerAvailable).toBe(true)
      await admin.admin.freeze(targetOf('wallet'), { timeoutMs })
      await admin.admin.unfreeze(targetOf('wallet'), { timeoutMs })
    }
    if (spare !== undefined) await admin.admin.revokeApiKey({ apiKeyId: spare.apiKeyId }, { timeoutMs })
    flood.stop = true
    await Promise.all(flooding)
    expect(outcomes['OVERLOADED'], JSON.stringify(outcomes)).toBeGreaterThan(0)
    expect(outcomes['signed'], JSON.stringify(outcomes)).toBeGreaterThan(0)
    expect(Object.keys(outcomes).filter((o) => !['signed', 'OVERLOADED', 'FROZEN'].includes(o))).toEqual([])
    const refused = await outcomeOf(signAs('SignMessage text', client, { wallet: 'frozen' }))
    expect(refused).toBe('signed')
  })
})
