/** Without its cosigner, its key or its disk the daemon signs nothing, says which, and recovers when it is back. */
import { cpSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newWallet, outcomeOf, refusalOf } from './callers.ts'
import { healthOf } from './health.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

/** Each restart takes a second, and several on a machine with other work. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const base = makeDataDir()
const data = join(base, 'data')
const file = (name: string) => join(data, name)

let daemon: TestDaemon
let client: CountersignClient

const start = async (within = 'true'): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, within })
  client = connect(daemon, daemon.adminKey)
}
const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
  client.close()
  return daemon.kill(signal)
}

beforeAll(async () => {
  await start()
  await newWallet(client, 'closed')
})
afterAll(async () => {
  await stop('SIGKILL')
  rmSync(base, { recursive: true, force: true })
})
/** What a test bends, by its file, until it is back. */
const bent = new Map<string, Buffer>()
beforeEach(async ({ task }) => {
  if ((task.result?.retryCount ?? 0) > 0) await mend()
  await eventually(sign, 'signed')
})

/** After a try that failed in the middle: with everything in its place again. */
const mend = async (): Promise<void> => {
  await stop()
  if (existsSync(file('aside.db'))) renameSync(file('aside.db'), file('cosigner.db'))
  for (const [name, bytes] of bent) writeFileSync(file(name), bytes, { mode: 0o600 })
  bent.clear()
  await start()
  await client.admin.unfreeze({ scope: FreezeScope.EVERYTHING, id: '' }).catch(() => undefined)
}

const sign = () => outcomeOf(signAs('SignMessage text', client, { wallet: 'closed' }))
const signEach = () => Promise.all(SIGNING_NAMES.map((name) => outcomeOf(signAs(name, client, { wallet: 'closed' }))))

const eventually = async (what: () => Promise<string>, expected: string, withinMs = 10_000): Promise<void> => {
  const deadline = Date.now() + withinMs
  let seen = await what()
  while (seen !== expected && Date.now() < deadline) {
    await sleep(100)
    seen = await what()
  }
  expect(seen).toBe(expected)
}

const expectClosed = async (why: RegExp = /./): Promise<void> => {
  for (const outcome of await signEach()) expect(outcome).toBe('COSIGNER_UNAVAILABLE')
  const refusal = await refusalOf(signAs('SignMessage text', client, { wallet: 'closed' }))
  expect(refusal).toMatchObject({ code: 'UNAVAILABLE', reason: 'COSIGNER_UNAVAILABLE', retryable: 'yes' })
  expect(refusal.message).toMatch(why)
  expect(refusal.message).not.toContain(base)
  expect(await outcomeOf(newWallet(client))).toBe('COSIGNER_UNAVAILABLE')
  expect(await outcomeOf(client.wallets.getWallet({ wallet: 'closed' }))).toBe('signed')
  expect((await client.admin.getStatus({})).status?.cosignerAvailable).toBe(false)
}

/** The daemon looks at a cosigner that was away again only after a while: waits until it tells the new reason. */
const expectClosedFor = async (why: RegExp): Promise<void> => {
  const told = async () => {
    const refusal = await refusalOf(signAs('SignMessage text', client, { wallet: 'closed' }))
    return String(why.test(refusal.message))
  }
  await eventually(told, 'true')
  await expectClosed(why)
}

describe("the cosigner's vault", () => {
  it('moved away while the daemon runs, and back', async () => {
    renameSync(file('cosigner.db'), file('aside.db'))
    await expectClosed(/vault/)
    await eventually(() => healthOf(daemon), 'NOT_SERVING')
    renameSync(file('aside.db'), file('cosigner.db'))
    await eventually(sign, 'signed')
    await eventually(() => healthOf(daemon), 'SERVING')
    expect((await client.audit.verifyChain({})).valid).toBe(true)
  })

  it('deleted while nobody signs is noticed', async () => {
    renameSync(file('cosigner.db'), file('aside.db'))
    await eventually(() => healthOf(daemon), 'NOT_SERVING')
    renameSync(file('aside.db'), file('cosigner.db'))
    await eventually(() => healthOf(daemon), 'SERVING')
    expect(await sign()).toBe('signed')
  })

  it('missing at start, then altered, then restored', async () => {
    await stop()
    const good = readFileSync(file('cosigner.db'))
    bent.set('cosigner.db', good)
    rmSync(file('cosigner.db'))
    await start()
    expect(await healthOf(daemon)).toBe('NOT_SERVING')
    await expectClosed(/missing/)
    const bad = Buffer.from(good)
    for (let at = 100; at < bad.length; at += 512) bad[at] = (bad[at] ?? 0) ^ 0xff
    writeFileSync(file('cosigner.db'), bad, { mode: 0o600 })
    await expectClosedFor(/damaged/)
    writeFileSync(file('cosigner.db'), good, { mode: 0o600 })
    bent.clear()
    await eventually(sign, 'signed')
    await eventually(() => healthOf(daemon), 'SERVING')
  })

  it('put back to an older copy is not signed with', async () => {
    await stop()
    cpSync(file('cosigner.db'), file('older.db'))
    await start()
    expect(await sign()).toBe('signed')
    await client.audit.getCheckpoint({})
    await stop()
    const newest = readFileSync(file('cosigner.db'))
    bent.set('cosigner.db', newest)
    cpSync(file('older.db'), file('cosigner.db'))
    await start()
    await expectClosed(/older/)
    await stop()
    writeFileSync(file('cosigner.db'), newest, { mode: 0o600 })
    bent.clear()
    await start()
    await eventually(sign, 'signed')
  })
})

describe("the cosigner's root key", () => {
  it('missing, cut short, another: nothing is signed until it is back', async () => {
    await stop()
    const key = readFileSync(file('cosigner-root.key'))
    bent.set('cosigner-root.key', key)
    rmSync(file('cosigner-root.key'))
    await start()
    await expectClosed(/root key cannot be read/)
    expect(await healthOf(daemon)).toBe('NOT_SERVING')
    writeFileSync(file('cosigner-root.key'), `${'cd'.repeat(32)}\n`, { mode: 0o600 })
    await expectClosedFor(/root key does not open/)
    writeFileSync(file('cosigner-root.key'), 'cd\n', { mode: 0o600 })
    await expectClosedFor(/root key cannot be read/)
    writeFileSync(file('cosigner-root.key'), key, { mode: 0o600 })
    bent.clear()
    await eventually(sign, 'signed')
    await eventually(() => healthOf(daemon), 'SERVING')
  })
})

describe('a freeze while the cosigner is away', () => {
  it('holds, and what was lifted is lifted on both sides', async () => {
    const everything = { scope: FreezeScope.EVERYTHING, id: '' }
    renameSync(file('cosigner.db'), file('aside.db'))
    expect(await sign()).toBe('COSIGNER_UNAVAILABLE')
    await client.admin.freeze(everything)
    renameSync(file('aside.db'), file('cosigner.db'))
    await eventually(sign, 'FROZEN')
    await eventually(() => healthOf(daemon), 'SERVING')
    await client.admin.unfreeze(everything)
    await eventually(sign, 'signed')
    await client.admin.freeze(everything)
    renameSync(file('cosigner.db'), file('aside.db'))
    const lifted = await outcomeOf(client.admin.unfreeze(everything))
    renameSync(file('aside.db'), file('cosigner.db'))
    await eventually(() => healthOf(daemon), 'SERVING')
    if (lifted !== 'signed') {
      expect(lifted).toBe('COSIGNER_UNAVAILABLE')
      await eventually(() => outcomeOf(client.admin.unfreeze(everything)), 'signed')
    }
    await eventually(sign, 'signed')
  })
})

describe('the disk', () => {
  it('full: nothing is signed, what was answered stays, and a restart with room goes on', async () => {
    const before = (await client.audit.verifyChain({})).headSequence
    const answered: bigint[] = []
    await stop()
    const largest = Math.max(...['vault.db', 'cosigner.db'].map((name) => statSync(file(name)).size))
    await start(`ulimit -S -f ${Math.ceil(largest / 512) + 400}`)
    let refusal = ''
    for (let i = 0; i < 2_000 && refusal === ''; i++) {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 16 }, (_, n) => signAs('SignMessage text', client, { wallet: 'closed', seed: `${i} ${n}` })),
      )
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') answered.push(outcome.value.receipt?.sequence ?? 0n)
        else refusal = (outcome.reason as { reason?: string }).reason ?? String(outcome.reason)
      }
    }
    expect(['AUDIT_UNAVAILABLE', 'COSIGNER_UNAVAILABLE', 'COSIGNER_REFUSED']).toContain(refusal)
    for (const outcome of await signEach()) expect(outcome).not.toBe('signed')
    await eventually(() => healthOf(daemon), 'NOT_SERVING')
    await stop()
    await start()
    expect(await sign()).toBe('signed')
    expect(await client.audit.verifyChain({})).toMatchObject({ valid: true })
    const kept = new Set<bigint>()
    for (let pageToken = ''; ; ) {
      const filter = { afterSequence: before, kind: 'sign.intent', pageSize: 500 }
      const page = await client.audit.listEvents({ ...filter, pageToken })
      for (const { sequence } of page.events) kept.add(sequence)
      if (page.nextPageToken === '') break
      pageToken = page.nextPageToken
    }
    expect(answered.length).toBeGreaterThan(0)
    expect(answered.filter((sequence) => !kept.has(sequence))).toEqual([])
  })
})
