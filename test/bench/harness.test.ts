/** The bench measures what it says: tried with next to nothing of each, as its figures mean nothing here. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inTurn, runLoad } from '../../bench/load.ts'
import { largest, median, percentile } from '../../bench/report.ts'

const root = resolve(import.meta.dirname, '../..')
const isThere = (program: string): boolean => spawnSync(program, ['--version']).error === undefined

type Figure = { readonly name: string; readonly value: number; readonly unit: string }

const runBench = async (words: readonly string[], environment: Readonly<Record<string, string>> = {}) => {
  const child = spawn(process.execPath, [join(root, 'bench/run.ts'), ...words], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  const lines = output.trim().split('\n').filter((line) => line !== '')
  return { code, errors, figures: lines.map((line) => JSON.parse(line) as Figure) }
}

const valueOf = (figures: readonly Figure[], name: string): number => figures.find((figure) => figure.name === name)?.value ?? Number.NaN

const expectSound = (figures: readonly Figure[]): void => {
  expect(figures.filter(({ value, unit }) => !Number.isFinite(value) || value < 0 || unit === '')).toEqual([])
  expect(new Set(figures.map(({ name }) => name)).size).toBe(figures.length)
}

const COMPARED = ['two_party_warm', 'two_party_cold', 'plain_viem', 'plain_libsecp256k1', 'echo', 'stream']

describe('npm run bench', () => {
  it('-- --compare prints every maker’s rate and latencies, and the ratios', async () => {
    const { code, errors, figures } = await runBench(['--compare', '--quick'])
    expect(code, errors).toBe(0)
    expectSound(figures)
    for (const name of COMPARED) {
      const [p50, p99] = [valueOf(figures, `compare.${name}_p50_ms`), valueOf(figures, `compare.${name}_p99_ms`)]
      expect(valueOf(figures, `compare.${name}_rps`)).toBeGreaterThan(0)
      expect(p50).toBeGreaterThan(0)
      expect(p99).toBeGreaterThanOrEqual(p50)
    }
    const [warm, plain] = ['two_party_warm', 'plain_libsecp256k1'].map((name) => valueOf(figures, `compare.${name}_rps`))
    expect(valueOf(figures, 'compare.warm_to_libsecp256k1')).toBeCloseTo((warm ?? 0) / (plain ?? 1), 2)
    expect(valueOf(figures, 'compare.two_party_warm_signatures')).toBe(64)
  }, 150_000)

  it.runIf(isThere('h2load'))('-- --load holds the intents against the answers', async () => {
    const { code, errors, figures } = await runBench(['--load', '--quick'])
    expect(code, errors).toBe(0)
    expectSound(figures)
    expect([1, 8].map((c) => valueOf(figures, `load.c${c}_answers`))).toEqual([4, 16])
    expect([1, 8].map((c) => valueOf(figures, `load.c${c}_intents`))).toEqual([4, 16])
    for (const when of ['before', 'during', 'after']) expect(valueOf(figures, `load.c8_rss_${when}_mb`)).toBeGreaterThan(10)
  })

  it('-- --profiles prints what an action of every venue costs', async () => {
    const { code, errors, figures } = await runBench(['--profiles', '--quick'])
    expect(code, errors).toBe(0)
    expectSound(figures)
    for (const name of ['hyperliquid_order.signed', 'orderly.post_order', 'polymarket.cancel'])
      expect(valueOf(figures, `profile.${name}_us`)).toBeGreaterThan(0)
  })

  it('-- --session prints what each scheme does, alone and on a stream, beside the echo', async () => {
    const { code, errors, figures } = await runBench(['--session', '--quick'])
    expect(code, errors).toBe(0)
    expectSound(figures)
    for (const scheme of ['secp256k1', 'ed25519', 'hmac']) {
      for (const figure of ['c1_p50_ms', 'c128_rps', 'of_echo', 'stream_rps'])
        expect(valueOf(figures, `session.${scheme}.${figure}`)).toBeGreaterThan(0)
    }
  })

  it('-- --remote signs with a cosigner of its own process, beside it and from a distance', async () => {
    const { code, errors, figures } = await runBench(['--remote', '--quick'])
    expect(code, errors).toBe(0)
    for (const run of ['delay0.c1', 'delay0.c64', 'delay5.c1', 'delay5.c64'])
      expect(valueOf(figures, `remote.${run}_p50_ms`)).toBeGreaterThan(run.startsWith('delay5') ? 10 : 0)
  }, 90_000)

  it('-- --delegated signs as a delegate, beside the daemon that delegated and from a distance', async () => {
    const { code, errors, figures } = await runBench(['--delegated', '--quick'])
    expect(code, errors).toBe(0)
    for (const run of ['delay0.c1', 'delay0.c64', 'delay5.c1', 'delay5.c64', 'delay0.sustained', 'delay5.sustained'])
      expect(valueOf(figures, `delegated.${run}_p50_ms`)).toBeGreaterThan(run.startsWith('delay5') ? 10 : 0)
  }, 90_000)

  it('-- --scale makes wallets in bulk that are found, listed and signed with like any other', async () => {
    const { code, errors, figures } = await runBench(['--scale', '--quick'])
    expect(code, errors).toBe(0)
    expectSound(figures)
    for (const count of [3, 70]) {
      for (const what of ['start_ms', 'resident_mb', 'vault_mb', 'look_up_by_id_p50_ms', 'create_wallet_p50_ms'])
        expect(valueOf(figures, `scale.w${count}.${what}`)).toBeGreaterThan(0)
    }
    expect(valueOf(figures, 'scale.w70.vault_mb')).toBeGreaterThan(valueOf(figures, 'scale.w3.vault_mb'))
  }, 90_000)

  it('-- --load says what is missing', async () => {
    const { code, errors } = await runBench(['--load', '--quick'], { PATH: '/nonexistent' })
    expect(code).not.toBe(0)
    expect(errors).toContain('apt-get install nghttp2-client')
  })

  it('refuses a part that there is not', async () => {
    const { code, errors } = await runBench(['--everything'])
    expect(code).not.toBe(0)
    expect(errors).toContain('no such part: --everything')
  })
})

describe('a load', () => {
  it('makes as many calls as asked, so many at a time, and goes on until the time is up', async () => {
    let [now, most, made] = [0, 0, 0]
    const call = async (): Promise<void> => {
      made += 1
      now += 1
      most = Math.max(most, now)
      await new Promise((resolve) => setTimeout(resolve, 1))
      now -= 1
    }
    const load = await runLoad(call, { count: 40, concurrency: 8 })
    expect([made, most, load.count, load.latenciesMs.length]).toEqual([40, 8, 40, 40])
    const longer = await runLoad(call, { count: 1, concurrency: 2, minMs: 40 })
    expect(longer.count).toBeGreaterThan(4)
  })

  it('ends with the first call that fails', async () => {
    const failing = inTurn([async () => 'good', () => Promise.reject(new Error('refused'))])
    await expect(runLoad(failing, { count: 10, concurrency: 1 })).rejects.toThrow('refused')
  })

  it('is summed up by rank', () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i)
    expect([median(values), percentile(values, 0.99), largest(values)]).toEqual([51, 100, 100])
  })
})
