/** Start and stop: what is there while the daemon serves, and what a stop leaves behind. */
import Database from 'better-sqlite3'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Health } from '../../gen/grpc/health/v1/health_pb.ts'
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts'
import { type CountersignClient, createCountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newKey, newWallet, outcomeOf } from './callers.ts'
import { healthOf } from './health.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

/** Each restart takes a second, and several on a machine with other work. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const base = makeDataDir()
const data = join(base, 'data')
let daemon: TestDaemon
let client: CountersignClient

const start = async (args: readonly string[] = []): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args })
  client = connect(daemon, daemon.adminKey)
}

beforeAll(async () => {
  await start()
  for (let i = 0; i < 4; i++) await newWallet(client, `user-${i}`)
})
afterAll(async () => {
  client.close()
  await daemon.kill('SIGKILL')
  rmSync(base, { recursive: true, force: true })
})

const KEYED = ['WalletService', 'AuditService', 'AdminService'].map((name) => `countersign.v1.${name}`)

const openIntents = (file: string): unknown => {
  const db = new Database(join(data, file), { fileMustExist: true })
  try {
    return db.prepare(`SELECT state, count(*) AS count FROM intents WHERE state IN ('RUNNING', 'IN_DOUBT') GROUP BY state`).all()
  } finally {
    db.close()
  }
}

describe('a daemon that serves', () => {
  it('says so for itself and for each service', async () => {
    for (const service of ['', ...KEYED]) expect(await healthOf(daemon, service), service).toBe('SERVING')
    expect(await healthOf(daemon, 'countersign.v1.Nothing')).toBe('NotFound')
  })

  it('writes where it is reached, for its own user alone', async () => {
    const endpoints = JSON.parse(readFileSync(join(data, 'endpoints.json'), 'utf8')) as Record<string, string>
    expect(Object.keys(endpoints).sort()).toEqual(['connect', 'grpc', 'socket'])
    expect(endpoints['grpc']).toMatch(/^127\.0\.0\.1:[1-9][0-9]*$/)
    expect(endpoints['connect']).toMatch(/^127\.0\.0\.1:[1-9][0-9]*$/)
    expect(endpoints['socket']).toBe(join(data, 'countersign.sock'))
    for (const name of ['vault.db', 'cosigner.db', 'root.key', 'cosigner-root.key', 'admin.key', 'endpoints.json']) {
      expect(statSync(join(data, name)).mode & 0o777, name).toBe(0o600)
    }
    expect(statSync(data).mode & 0o777).toBe(0o700)
    expect(statSync(join(data, 'countersign.sock')).mode & 0o777).toBe(0o600)
  })

  it('answers on its socket as on its port', async () => {
    const local = createCountersignClient({ socketPath: daemon.endpoints.socket, apiKey: daemon.adminKey })
    for (const name of SIGNING_NAMES) expect(await outcomeOf(signAs(name, local, { wallet: 'user-0' }))).toBe('signed')
    local.close()
  })

  it('lists every service by reflection', async () => {
    const reflection = createClient(ServerReflection, createGrpcTransport({ baseUrl: `http://${daemon.endpoints.grpc}` }))
    async function* ask() {
      yield { messageRequest: { case: 'listServices', value: '' } as const }
      await sleep(0)
    }
    const names: string[] = []
    for await (const { messageResponse } of reflection.serverReflectionInfo(ask())) {
      if (messageResponse.case === 'listServicesResponse') names.push(...messageResponse.value.service.map(({ name }) => name))
    }
    expect(names).toEqual(expect.arrayContaining([...KEYED, 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection']))
  })

  it('abandons what outlives its deadline, and signs nothing for it', async () => {
    const before = (await client.audit.listEvents({ kind: 'sign.completed', pageSize: 500 })).events.length
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, i) => outcomeOf(signAs('SignMessage text', client, { wallet: 'user-1', seed: `${i}` }, { timeoutMs: 1 + i * i }))),
    )
    for (const outcome of outcomes) expect(outcome).toMatch(/^(signed|CANCELLED|(lost: )?DEADLINE_EXCEEDED.*)$/)
    expect(outcomes, 'some were in time').toContain('signed')
    expect(outcomes.some((outcome) => outcome.includes('DEADLINE_EXCEEDED')), 'some were late').toBe(true)
    await sleep(300)
    const { events } = await client.audit.listEvents({ kind: 'sign.completed', pageSize: 500 })
    expect(events.length - before).toBeGreaterThanOrEqual(outcomes.filter((outcome) => outcome === 'signed').length)
    expect((await client.audit.verifyChain({})).valid).toBe(true)
  })
})

describe('SIGTERM', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s under load answers or refuses everything and leaves nothing open', async (signal) => {
    const outcomes: Record<string, number> = {}
    const watching = (async () => {
      for await (const { event } of client.audit.watchEvents({})) if (event === undefined) return 'empty'
      return 'ended'
    })().catch((error: unknown) => String((error as { reason?: string }).reason))
    const health: string[] = []
    const watchHealth = (async () => {
      const watcher = createClient(Health, createGrpcTransport({ baseUrl: `http://${daemon.endpoints.grpc}` }))
      for await (const { status } of watcher.watch({ service: '' })) health.push(String(status))
    })().catch(() => undefined)
    const racing = Array.from({ length: 32 }, async (_, i) => {
      for (let n = 0; ; n++) {
        const name = SIGNING_NAMES[(i + n) % SIGNING_NAMES.length] ?? ''
        const outcome = await outcomeOf(signAs(name, client, { wallet: `user-${i % 4}`, seed: `${i} ${n}` }))
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
        if (outcome !== 'signed') return
      }
    })
    await sleep(500)
    const beganMs = performance.now()
    expect(await daemon.kill(signal)).toBe(0)
    expect(performance.now() - beganMs).toBeLessThan(10_000)
    await Promise.all(racing)
    expect(await watching).toBe('SHUTTING_DOWN')
    await watchHealth
    // Refused by the daemon, or by a connection that takes nothing new (REFUSED_STREAM) or is gone.
    const ways = /^(signed|SHUTTING_DOWN|lost: UNAVAILABLE .*|lost: .*NGHTTP2_REFUSED_STREAM)$/
    for (const outcome of Object.keys(outcomes)) expect(outcome).toMatch(ways)
    expect(outcomes['signed']).toBeGreaterThan(0)
    for (const file of ['endpoints.json', 'countersign.sock']) expect(existsSync(join(data, file)), file).toBe(false)
    const verified = await runCli(['audit', 'verify', '--data-dir', data])
    expect(verified.code, verified.stdout + verified.stderr).toBe(0)
    expect(openIntents('vault.db')).toEqual([])
    expect(openIntents('cosigner.db')).toEqual([])
    client.close()
    await start()
    expect(await outcomeOf(signAs('SignMessage text', client, { wallet: 'user-0' }))).toBe('signed')
  })

  it('while a start goes on ends it cleanly', async () => {
    // The end of its only connection and the signal arrive together: nothing is left to wait for.
    client.close()
    const beganMs = performance.now()
    expect(await daemon.kill('SIGTERM')).toBe(0)
    expect(performance.now() - beganMs).toBeLessThan(8_000)
    for (const afterMs of [50, 250, 450]) {
      const run = runCli(['dev', '--data-dir', data, '--grpc-listen', '127.0.0.1:0', '--connect-listen', '127.0.0.1:0'], {}, `(sleep ${afterMs / 1000}; kill -TERM $$) & true`)
      const { code, stderr } = await run
      expect([0, null, 143], stderr).toContain(code)
      expect(stderr).not.toMatch(/internal error|\n +at /)
      expect(existsSync(join(data, 'endpoints.json'))).toBe(false)
    }
    await start()
    expect(await outcomeOf(signAs('SignMessage text', client, { wallet: 'user-0' }))).toBe('signed')
  })
})

describe('the command line against the daemon', () => {
  it('signs, and shows its status', async () => {
    const signed = await runCli(['wallet', 'sign-message', 'user-0', 'hello', '--data-dir', data, '--json'])
    expect(signed.code, signed.stderr).toBe(0)
    const status = await runCli(['status', '--data-dir', data])
    expect(status.stdout).toMatch(/split at rest, one host/)
  })

  it('a key of init alone administers and does not sign', async () => {
    const root = makeDataDir()
    const dir = join(root, 'data')
    expect((await runCli(['init', '--data-dir', dir])).code).toBe(0)
    await using served = await startDaemon({ dataDir: root, command: 'serve' })
    const admin = connect(served, served.adminKey)
    expect(await outcomeOf(newWallet(admin, 'x'))).toBe('PERMISSION_MISSING')
    const key = await newKey(admin, ['wallet:create', 'wallet:sign'].map((name) => ({ name })))
    const trader = connect(served, key.secret)
    await newWallet(trader, 'x')
    expect(await outcomeOf(signAs('SignMessage text', trader, { wallet: 'x' }))).toBe('signed')
    admin.close()
    trader.close()
  })
})
