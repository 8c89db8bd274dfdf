import { describe, expect, it } from 'vitest'
import { StageTimes } from '../../src/domain/stages.ts'
import { createMetrics, type MetricSources } from '../../src/observe/metrics.ts'
import { listenMetrics } from '../../src/observe/metrics-listener.ts'
import { PacedWarning } from '../../src/observe/paced-warning.ts'

const noLinks = { active: 0, suspended: 0, burned: 0, open: 0, presignatures: 0 }

const sources: MetricSources = {
  delegation: async () => ({ granting: { active: 2, suspended: 0, burned: 1, open: 1, presignatures: 6 }, delegate: noLinks }),
  pool: () => ({
    ready: 12,
    capacity: 64,
    wallets: 2,
    walletsLow: 1,
    waiting: 3,
    madeTotal: 40,
    evictedTotal: 5,
    fillRate: 500,
  }),
  linkState: async () => 'ready',
  inFlight: () => 4,
  webhooks: () => ({ pending: 3, oldestMs: Date.now() - 90_000 }),
  sends: () => [{ open: 5, stuck: 1, oldestMs: Date.now() - 300_000 }, { open: 2, stuck: 1, oldestMs: Date.now() }],
}

const signed = (): StageTimes => {
  const stages = new StageTimes()
  stages.add('rounds', 2)
  stages.add('queue', 0.5)
  stages.add('rounds', 1)
  return stages
}

describe('stage times', () => {
  it('are written as Server-Timing, in the order in which they pass', () => {
    expect(signed().format(4)).toBe('queue;dur=0.500, rounds;dur=3.000, total;dur=4.000')
  })

  it('count what failed too', async () => {
    const stages = new StageTimes()
    await expect(stages.wait('commit', () => Promise.reject(new Error('x')))).rejects.toThrow('x')
    expect(() =>
      stages.measure('decide', () => {
        throw new Error('y')
      }),
    ).toThrow('y')
    expect(stages.entries().map(([stage]) => stage)).toEqual(['decide', 'commit'])
  })
})

describe('metrics', () => {
  it('count calls by method and reason, and time the stages of what was signed', async () => {
    using metrics = createMetrics()
    const method = 'countersign.v1.WalletService/SignMessage'
    metrics.noteCall({ method, reason: undefined, tookMs: 4, isItem: false, stages: signed() })
    metrics.noteCall({ method, reason: 'FROZEN', tookMs: 1, isItem: true, stages: signed() })
    metrics.noteLowPool()
    for (const outcome of ['delivered', 'retrying', 'retrying'] as const) metrics.noteWebhookAttempt(outcome)
    const text = await metrics.scrape(sources)
    expect(text).toContain('countersign_webhook_attempts_total{outcome="retrying"} 2')
    expect(text).toContain('countersign_webhook_pending 3')
    expect(text).toMatch(/countersign_transactions_open 7\n[^]*countersign_transactions_stuck 2\n[^]*countersign_transactions_oldest_open_seconds 30\d/)
    expect(text).toMatch(/^countersign_webhook_oldest_pending_seconds (?:89|9\d)(?:\.\d+)?$/m)
    for (const line of [
      'countersign_calls_total{method="SignMessage",reason="OK",item="false"} 1',
      'countersign_calls_total{method="SignMessage",reason="FROZEN",item="true"} 1',
      'countersign_call_seconds_count{method="SignMessage"} 2',
      'countersign_sign_stage_seconds_sum{method="SignMessage",stage="rounds"} 0.003',
      'countersign_sign_stage_seconds_count{method="SignMessage",stage="total"} 1',
      'countersign_pool_low_total 1',
      'countersign_presignatures 12',
      'countersign_presignature_wallets_low 1',
      'countersign_link_state{state="ready"} 1',
      'countersign_link_state{state="burned"} 0',
      'countersign_calls_in_flight 4',
      'countersign_delegation_links{side="granting",state="burned"} 1',
      'countersign_delegation_links{side="delegate",state="active"} 0',
      'countersign_delegation_links_open{side="granting"} 1',
      'countersign_delegation_presignatures{side="granting"} 6',
    ])
      expect(text.split('\n')).toContain(line)
    expect(text).toMatch(/^countersign_event_loop_lag_seconds\{quantile="0.99"\} [\d.e-]+$/m)
  })

  it('say something without parties too', async () => {
    using metrics = createMetrics()
    const none = { pending: 0, oldestMs: undefined }
    const away: MetricSources = {
      pool: () => undefined,
      linkState: async () => 'unavailable',
      inFlight: () => 0,
      webhooks: () => none,
      sends: () => [],
      delegation: async () => ({ granting: noLinks, delegate: noLinks }),
    }
    expect(await metrics.scrape(away)).toContain('countersign_link_state{state="unavailable"} 1')
  })
})

describe('the metrics listener', () => {
  it('answers GET /metrics and nothing else', async () => {
    const errors: unknown[] = []
    let isBroken = false
    const scrape = async () => {
      if (isBroken) throw new Error('x')
      return 'a 1\n'
    }
    const listener = await listenMetrics({ host: '127.0.0.1', port: 0 }, scrape, 'text/plain', (error) => errors.push(error))
    const ask = (path: string, method = 'GET') => fetch(`http://${listener.address}${path}`, { method })
    const good = await ask('/metrics')
    expect([good.status, good.headers.get('content-type'), await good.text()]).toEqual([200, 'text/plain', 'a 1\n'])
    expect((await ask('/')).status).toBe(404)
    expect((await ask('/metrics', 'POST')).status).toBe(405)
    isBroken = true
    const broken = await ask('/metrics')
    expect([broken.status, await broken.text(), errors.length]).toEqual([500, '', 1])
    await listener.close()
    await expect(ask('/metrics')).rejects.toThrow()
  })

  it('says which address it cannot have', async () => {
    const first = await listenMetrics({ host: '127.0.0.1', port: 0 }, async () => '', 'text/plain', () => {})
    const port = Number(first.address.split(':')[1])
    const second = listenMetrics({ host: '127.0.0.1', port }, async () => '', 'text/plain', () => {})
    await expect(second).rejects.toMatchObject({ reason: 'LISTEN_FAILED', facts: { address: first.address } })
    await first.close()
  })
})

describe('a paced warning', () => {
  it('lets one through at a time and counts the others', () => {
    const paced = new PacedWarning(1_000)
    expect([0, 1, 999, 1_000, 1_500, 2_500].map((nowMs) => paced.admit(nowMs))).toEqual([
      0,
      undefined,
      undefined,
      2,
      undefined,
      1,
    ])
  })
})
