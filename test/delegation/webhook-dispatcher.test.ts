import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { verifyWebhook } from '../../src/client/verify-webhook.ts'
import { RETRY_AFTER_MS } from '../../src/delegation/webhook-dispatcher.ts'
import { generateWebhookSecret } from '../../src/delegation/webhook-format.ts'
import { eraseLapsedSecrets, readSecrets, writeSecret } from '../../src/delegation/webhook-secrets.ts'
import type { ProjectId } from '../../src/domain/ids.ts'
import { createHttpEgress, type EgressRequest, type EgressResponse } from '../../src/egress/http.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { insertProject } from '../../src/vault/projects.ts'
import { deliveryBacklog, EVENT_LIFE_MS, pruneWebhooks, redeliver } from '../../src/vault/webhook-deliveries.ts'
import { deleteWebhook, findWebhook, insertWebhook, updateWebhook, type Webhook } from '../../src/vault/webhooks.ts'
import { makeVault, NOW, openVaultAt, tamper } from '../vault/fixture.ts'
import type { Respond } from './webhook-receiver.ts'
import { LOOPBACK, openReceiver, openScene, type Scene } from './webhook-scene.ts'

const states = (scene: Scene, webhook: Webhook) => scene.deliveries(webhook).map(({ state }) => state)
const all = (count: number, state: string) => Array.from({ length: count }, () => state)

/** For what is not to happen. */
const aWhile = () => sleep(30)

describe('an event', () => {
  test('reaches every endpoint once, as soon as it has happened', async () => {
    const scene = await openScene()
    const [first, second] = [await openReceiver(), await openReceiver()]
    const one = scene.endpoint(first.url).webhook
    const two = scene.endpoint(second.url).webhook
    scene.dispatcher.start()
    const eventId = scene.happen()
    await scene.until(() => expect([...states(scene, one), ...states(scene, two)]).toEqual(all(2, 'DELIVERED')))
    expect([first.received.length, second.received.length]).toEqual([1, 1])
    expect(first.received[0]?.headers).toMatchObject({ 'webhook-id': eventId, 'content-type': 'application/json' })
    const told = { type: 'wallet.created', event_id: eventId, data: { user_id: 'alice' } }
    expect(JSON.parse(second.received[0]?.body ?? '')).toMatchObject(told)
    expect(scene.reports.map(({ outcome }) => outcome)).toEqual(all(2, 'delivered'))
    expect(deliveryBacklog(scene.vault.read)).toEqual({ pending: 0, oldestMs: undefined })
  })

  test('is tried again 15 s, 1 m, 10 m, 1 h and 1 d later, under its id, and then given up', async () => {
    expect(RETRY_AFTER_MS).toEqual([15_000, 60_000, 600_000, 3_600_000, 86_400_000])
    const scene = await openScene()
    const receiver = await openReceiver((response) => response.writeHead(503).end('down for maintenance\u0007'))
    const { webhook } = scene.endpoint(receiver.url)
    const eventId = scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(scene.reports).toHaveLength(1))
    for (const [index, waitMs] of RETRY_AFTER_MS.entries()) {
      const [waiting] = scene.deliveries(webhook)
      expect(waiting).toMatchObject({ state: 'PENDING', attempts: index + 1, lastStatus: 503, excerpt: 'down for maintenance' })
      expect((waiting?.nextAttemptMs ?? 0) - (waiting?.lastAttemptMs ?? 0)).toBe(waitMs)
      scene.advance((waiting?.nextAttemptMs ?? 0) - scene.nowMs() - 1)
      await aWhile()
      expect(receiver.received).toHaveLength(index + 1)
      scene.advance(1)
      await scene.until(() => expect(scene.reports).toHaveLength(index + 2))
    }
    expect(scene.deliveries(webhook)[0]).toMatchObject({ state: 'FAILED', attempts: 6 })
    expect(scene.reports.map(({ outcome }) => outcome)).toEqual([...all(5, 'retrying'), 'failed'])
    const each = (header: string) => new Set(receiver.received.map(({ headers }) => headers[header]))
    expect(each('webhook-id')).toEqual(new Set([eventId]))
    expect([each('webhook-timestamp').size, each('webhook-signature').size]).toEqual([6, 6])
  })

  test('waits a little longer than it must, each its own time', async () => {
    const scene = await openScene({ random: () => 0.5 })
    const receiver = await openReceiver((response) => response.writeHead(500).end())
    const { webhook } = scene.endpoint(receiver.url)
    scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(scene.reports).toHaveLength(1))
    const [waiting] = scene.deliveries(webhook)
    expect((waiting?.nextAttemptMs ?? 0) - (waiting?.lastAttemptMs ?? 0)).toBe(15_750)
  })

  test('asked for again is sent again, under its id, with all its attempts', async () => {
    const scene = await openScene()
    const receiver = await openReceiver((response, index) => response.writeHead(index === 1 ? 500 : 200).end())
    const { webhook } = scene.endpoint(receiver.url)
    const eventId = scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(states(scene, webhook)).toEqual(['DELIVERED']))
    scene.vault.commitNow((tx) => redeliver(tx, webhook.number, eventId, scene.nowMs()))
    await scene.until(() => expect(scene.reports).toHaveLength(2))
    expect(scene.deliveries(webhook)[0]).toMatchObject({ state: 'PENDING', attempts: 2, round: 1 })
    scene.advance(15_001)
    await scene.until(() => expect(states(scene, webhook)).toEqual(['DELIVERED']))
    expect(receiver.received.map(({ headers }) => headers['webhook-id'])).toEqual([eventId, eventId, eventId])
  })

  test('asked for again while it is on its way is sent once more', async () => {
    const scene = await openScene()
    let release: () => void = () => undefined
    const receiver = await openReceiver((response, index) => {
      if (index > 0) response.end()
      else release = () => response.end()
    })
    const { webhook } = scene.endpoint(receiver.url)
    const eventId = scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(receiver.received).toHaveLength(1))
    scene.vault.commitNow((tx) => redeliver(tx, webhook.number, eventId, scene.nowMs()))
    release()
    await scene.until(() => expect(states(scene, webhook)).toEqual(['DELIVERED']))
    expect(receiver.received).toHaveLength(2)
    expect(scene.deliveries(webhook)[0]).toMatchObject({ attempts: 2, round: 1 })
  })
})

describe('what counts as taken', () => {
  const outcomeOf = async (respond: Respond, more: Partial<EgressRequest> = {}) => {
    const send = createHttpEgress({ allow: LOOPBACK })
    const scene = await openScene({ send: (request) => send({ ...request, ...more }) })
    const receiver = await openReceiver(respond)
    const { webhook } = scene.endpoint(receiver.url)
    scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(scene.reports).toHaveLength(1))
    return { delivery: scene.deliveries(webhook)[0], receiver }
  }

  test.each([200, 201, 202, 204, 299])('%i', async (status) => {
    const { delivery } = await outcomeOf((response) => response.writeHead(status).end())
    expect(delivery).toMatchObject({ state: 'DELIVERED', lastStatus: status })
  })

  test.each([300, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503])('not %i', async (status) => {
    const { delivery, receiver } = await outcomeOf((response, _index, request) =>
      response.writeHead(request.url === '/hook' ? status : 200, { location: '/elsewhere' }).end(),
    )
    expect(delivery).toMatchObject({ state: 'PENDING', lastStatus: status, lastError: '' })
    expect(receiver.received).toHaveLength(1)
  })

  test('a status before a gigabyte, of which the beginning is kept as harmless text', async () => {
    let sent = 0
    const { delivery } = await outcomeOf((response) => {
      const more = (): void => {
        if (response.destroyed) return
        sent += 65_536
        if (response.write(Buffer.alloc(65_536, 'a\u202e\u001b'))) setImmediate(more)
        else response.once('drain', more)
      }
      response.writeHead(200, { 'content-length': String(2 ** 30) })
      more()
    })
    expect(delivery).toMatchObject({ state: 'DELIVERED', lastStatus: 200 })
    expect(delivery?.excerpt).toMatch(/^[a \ufffd]{1,256}$/)
    expect(sent).toBeLessThan(2 ** 28)
  })

  test('a status before an answer that drips, when the time is up', async () => {
    const dripping: Respond = (response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write('.'), 10)
      response.on('close', () => clearInterval(timer))
    }
    const { delivery } = await outcomeOf(dripping, { timeoutMs: 1_500 })
    expect(delivery).toMatchObject({ state: 'DELIVERED', lastStatus: 200 })
  })

  test('not silence', async () => {
    const { delivery } = await outcomeOf(() => undefined, { timeoutMs: 100 })
    expect(delivery).toMatchObject({ state: 'PENDING', lastStatus: undefined, lastError: 'timeout' })
  })

  test('not a connection that breaks off', async () => {
    const { delivery } = await outcomeOf((response) => response.destroy())
    expect(delivery).toMatchObject({ state: 'PENDING', lastStatus: undefined, lastError: 'broken' })
  })
})

describe('an endpoint', () => {
  test('that says it is gone is not asked again until somebody turns it on', async () => {
    const scene = await openScene()
    const receiver = await openReceiver((response, index) => response.writeHead(index === 0 ? 410 : 200).end())
    const { webhook } = scene.endpoint(receiver.url)
    scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(states(scene, webhook)).toEqual(['FAILED']))
    expect(findWebhook(scene.vault.read, webhook.webhookId)?.state).toBe('GONE')
    expect(listAudit(scene.vault.read, 0n, 1, { kind: 'webhook.gone' })[0]?.subject?.id).toBe(webhook.webhookId)
    scene.happen()
    scene.advance(100_000)
    await aWhile()
    expect(states(scene, webhook)).toEqual(['PENDING', 'FAILED'])
    expect(receiver.received).toHaveLength(1)
    scene.vault.commitNow((tx) => updateWebhook(tx, webhook.webhookId, { state: 'ACTIVE' }, { nowMs: scene.nowMs() }))
    await scene.until(() => expect(states(scene, webhook)).toEqual(['DELIVERED', 'FAILED']))
  })

  test('that is off waits, and one that is deleted is forgotten', async () => {
    const scene = await openScene()
    const receiver = await openReceiver()
    const off = scene.endpoint(receiver.url).webhook
    const deleted = scene.endpoint(receiver.url).webhook
    scene.happen()
    scene.vault.commitNow((tx) => {
      updateWebhook(tx, off.webhookId, { state: 'DISABLED' }, { nowMs: NOW })
      deleteWebhook(tx, deleted.webhookId, { nowMs: NOW })
    })
    scene.dispatcher.start()
    scene.advance(100_000)
    await aWhile()
    expect(receiver.received).toEqual([])
    // The deliveries first, then the endpoint.
    for (let turn = 0; turn < 2; turn++) expect(scene.vault.commitNow((tx) => pruneWebhooks(tx, scene.nowMs(), 100))).toBe(1)
    expect(findWebhook(scene.vault.read, deleted.webhookId)).toBeUndefined()
    expect(states(scene, off)).toEqual(['PENDING'])
    expect(deliveryBacklog(scene.vault.read)).toEqual({ pending: 1, oldestMs: NOW })
  })

  test('that failed last shares its places with those that did, and holds nobody else up', async () => {
    const send = createHttpEgress({ allow: LOOPBACK })
    let isPatient = false
    const scene = await openScene({
      limits: { places: 4, failingPlaces: 2, perHealthyEndpoint: 3 },
      send: (request) => send({ ...request, timeoutMs: isPatient ? 60_000 : 100 }),
    })
    const dead = await openReceiver(() => undefined)
    const alive = await openReceiver()
    for (let index = 0; index < 8; index++) scene.endpoint(dead.url)
    scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(scene.reports).toHaveLength(8))
    isPatient = true
    const { webhook } = scene.endpoint(alive.url)
    for (let index = 0; index < 20; index++) scene.happen()
    await scene.until(() => expect(dead.received).toHaveLength(8 + 2))
    await scene.until(() => expect(states(scene, webhook)).toEqual(all(20, 'DELIVERED')))
    scene.advance(60_000)
    await aWhile()
    expect(dead.received).toHaveLength(8 + 2)
  })

  test('gets four at once and no more, the oldest first', async () => {
    const scene = await openScene()
    let [now, most] = [0, 0]
    const receiver = await openReceiver((response) => {
      now += 1
      most = Math.max(most, now)
      setTimeout(() => {
        now -= 1
        response.end()
      }, 5)
    })
    const { webhook } = scene.endpoint(receiver.url)
    const ids = Array.from({ length: 30 }, () => scene.happen())
    scene.dispatcher.start()
    await scene.until(() => expect(states(scene, webhook)).toEqual(all(30, 'DELIVERED')))
    expect(most).toBeLessThanOrEqual(4)
    const order = receiver.received.map(({ headers }) => ids.indexOf(String(headers['webhook-id'])))
    // None comes before its turn; one may be late on its way.
    expect(order.every((index, at) => index - at < 4)).toBe(true)
  })
})

describe('what is not sent', () => {
  test.each([
    ['https://169.254.169.254/latest/meta-data/', {}, 'address_refused'],
    ['https://127.0.0.1/', {}, 'address_refused'],
    ['https://[::ffff:10.0.0.1]/', {}, 'address_refused'],
    ['https://turns.example/', { 'turns.example': ['10.0.0.7'] }, 'address_refused'],
    ['https://both.example/', { 'both.example': ['8.8.8.8', '127.0.0.1'] }, 'address_refused'],
    ['http://plain.example/', { 'plain.example': ['8.8.8.8'] }, 'plaintext_refused'],
    ['https://odd.example:8443/', { 'odd.example': ['8.8.8.8'] }, 'port_refused'],
  ])('%s', async (url, names: Record<string, string[]>, fault) => {
    const send = createHttpEgress({ allow: [], resolve: async (host) => names[host] ?? [] })
    const scene = await openScene({ send })
    const { webhook } = scene.endpoint(url)
    scene.happen()
    scene.dispatcher.start()
    const refused = { state: 'PENDING', lastError: fault, lastStatus: undefined }
    await scene.until(() => expect(scene.deliveries(webhook)[0]).toMatchObject(refused))
  })

  test('goes to an address that a name turns to between two attempts', async () => {
    const receiver = await openReceiver((response) => response.writeHead(500).end())
    const answers = [['127.0.0.1'], ['127.0.0.2']]
    const send = createHttpEgress({ allow: ['127.0.0.1/32'], resolve: async () => answers.shift() ?? [] })
    const scene = await openScene({ send })
    const { webhook } = scene.endpoint(`http://rebinds.example:${new URL(receiver.url).port}/`)
    scene.happen()
    scene.dispatcher.start()
    await scene.until(() => expect(scene.reports).toHaveLength(1))
    scene.advance(15_001)
    await scene.until(() => expect(scene.reports).toHaveLength(2))
    expect(scene.deliveries(webhook)[0]).toMatchObject({ lastError: 'address_refused' })
    expect(receiver.received).toHaveLength(1)
  })

  test('is an event of another project, even where the file was altered so', async () => {
    const made = await makeVault()
    const before = await openScene({ vault: made })
    const receiver = await openReceiver()
    before.endpoint(receiver.url)
    before.happen()
    const other = 'other' as ProjectId
    const theirs = made.commitNow((tx) => {
      insertProject(tx, { projectId: other, name: '', nowMs: NOW })
      return insertWebhook(tx, { project: other, name: '', url: receiver.url, format: 'COUNTERSIGN', subscriptions: [], nowMs: NOW })
    })
    await made.close()
    tamper(made.place.path, (db) => db.exec(`UPDATE webhook_deliveries SET webhook = ${theirs.number}`))
    const scene = await openScene({ vault: await openVaultAt(made.place) })
    scene.dispatcher.start()
    await scene.until(() => expect(scene.deliveries(theirs)[0]).toMatchObject({ lastError: 'internal', attempts: 1 }))
    expect(receiver.received).toEqual([])
    expect(scene.errors).toHaveLength(1)
  })
})

test('a dispatcher that is stopped gives up what is under way, and the next one sends it again', async () => {
  const scene = await openScene()
  const receiver = await openReceiver((response, index) => {
    if (index > 0) response.end()
  })
  const { webhook } = scene.endpoint(receiver.url)
  const eventId = scene.happen()
  scene.dispatcher.start()
  await scene.until(() => expect(receiver.received).toHaveLength(1))
  await scene.dispatcher.stop()
  expect(scene.deliveries(webhook)[0]).toMatchObject({ state: 'PENDING', attempts: 0 })
  const next = await openScene({ vault: scene.vault })
  next.dispatcher.start()
  await next.until(() => expect(states(next, webhook)).toEqual(['DELIVERED']))
  expect(receiver.received.map(({ headers }) => headers['webhook-id'])).toEqual([eventId, eventId])
})

test('an older secret counts for its time and is then erased', async () => {
  const scene = await openScene()
  const receiver = await openReceiver()
  const { webhook, secret: old } = scene.endpoint(receiver.url)
  const { vault } = scene
  const fresh = generateWebhookSecret('COUNTERSIGN')
  const rotated = vault.commitNow((tx) => {
    writeSecret(vault, tx, webhook, fresh, true)
    return updateWebhook(tx, webhook.webhookId, { previousUntilMs: scene.nowMs() + 60_000 }, { nowMs: scene.nowMs() })
  })
  expect(readSecrets(vault, rotated, scene.nowMs() + 59_999)).toEqual({ current: fresh, previous: old })
  expect(readSecrets(vault, rotated, scene.nowMs() + 60_000)).toEqual({ current: fresh, previous: undefined })
  expect(await eraseLapsedSecrets(vault, scene.nowMs() + 59_999)).toBe(0)
  expect(await eraseLapsedSecrets(vault, scene.nowMs() + 60_000)).toBe(1)
  expect(await eraseLapsedSecrets(vault, scene.nowMs() + 60_000)).toBe(0)
  expect(readSecrets(vault, rotated, scene.nowMs())).toEqual({ current: fresh, previous: undefined })
  scene.dispatcher.start()
  scene.happen()
  await scene.until(() => expect(states(scene, webhook)).toEqual(['DELIVERED']))
  const [{ headers, body } = { headers: {}, body: '' }] = receiver.received
  expect(verifyWebhook({ headers, body, secrets: [fresh], nowMs: scene.nowMs() })).toMatchObject({ ok: true })
})

test('events are kept a month, whatever became of them', async () => {
  const scene = await openScene()
  const { webhook } = scene.endpoint('https://a.example/')
  scene.happen()
  scene.advance(1_000)
  scene.happen()
  expect(scene.vault.commitNow((tx) => pruneWebhooks(tx, NOW + EVENT_LIFE_MS - 1, 100))).toBe(0)
  expect(scene.vault.commitNow((tx) => pruneWebhooks(tx, NOW + EVENT_LIFE_MS, 100))).toBe(1)
  expect(scene.deliveries(webhook)).toHaveLength(1)
})

test('what could not be written down is not sent over and over', async () => {
  const sent: ((response: EgressResponse) => void)[] = []
  const send = () => new Promise<EgressResponse>((answer) => sent.push(answer))
  const scene = await openScene({ send })
  scene.endpoint('https://a.example/')
  scene.happen()
  const { commitLater } = scene.vault
  Object.assign(scene.vault, { commitLater: async () => Promise.reject(new Error('full')) })
  scene.dispatcher.start()
  await scene.until(() => expect(sent).toHaveLength(1))
  sent[0]?.({ status: 200, headers: {}, body: new Uint8Array() })
  await scene.until(() => expect(scene.errors).toHaveLength(1))
  scene.advance(10_000)
  await aWhile()
  expect(sent).toHaveLength(1)
  Object.assign(scene.vault, { commitLater })
  scene.advance(10_000)
  await scene.until(() => expect(sent).toHaveLength(2))
  sent[1]?.({ status: 200, headers: {}, body: new Uint8Array() })
})
