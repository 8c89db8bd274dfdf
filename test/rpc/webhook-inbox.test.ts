import { EventEmitter, once } from 'node:events'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { MAX_WEBHOOK_BYTES, openWebhookInbox, type WebhookInbox } from '../../src/rpc/webhook-inbox.ts'

const listen = async (inbox: WebhookInbox | undefined): Promise<string> => {
  const take = openWebhookInbox(inbox)
  const server = createServer((incoming, response) => {
    if (!take(incoming, response)) response.writeHead(404).end()
  })
  onTestFinished(() => void server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const echo: WebhookInbox = async ({ body, signature }) => ({ status: 200, body: { text: Buffer.from(body).toString(), signature } })

describe('POST /webhooks/dynamic', () => {
  it('hands over the body as it came, and its signature', async () => {
    const url = await listen(echo)
    const headers = { 'x-dynamic-signature-256': 'sha256=ab' }
    const answer = await fetch(`${url}/webhooks/dynamic`, { method: 'POST', headers, body: '{ "a" :1}' })
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(await answer.json()).toEqual({ text: '{ "a" :1}', signature: 'sha256=ab' })
  })

  it('is not there where no webhooks are taken, and nowhere else', async () => {
    const closed = await listen(undefined)
    expect((await fetch(`${closed}/webhooks/dynamic`, { method: 'POST' })).status).toBe(404)
    const open = await listen(echo)
    expect((await fetch(`${open}/webhooks/dynamic/`, { method: 'POST' })).status).toBe(404)
    const other = await fetch(`${open}/webhooks/dynamic`)
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'POST'])
  })

  it('takes no more than a webhook can have, said or not', async () => {
    const url = await listen(echo)
    const body = 'x'.repeat(MAX_WEBHOOK_BYTES + 1)
    expect((await fetch(`${url}/webhooks/dynamic`, { method: 'POST', body })).status).toBe(413)
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request(`${url}/webhooks/dynamic`, { method: 'POST' }, (response) => resolve(response.statusCode))
      sent.on('error', reject)
      sent.write(body)
      sent.end()
    })
    expect(status).toBe(413)
    const largest = 'x'.repeat(MAX_WEBHOOK_BYTES)
    expect((await fetch(`${url}/webhooks/dynamic`, { method: 'POST', body: largest })).status).toBe(200)
  })

  it('has only so many at work', async () => {
    const gate = Promise.withResolvers<void>()
    const url = await listen(async () => {
      await gate.promise
      return { status: 200, body: {} }
    })
    const asked = Array.from({ length: 33 }, () => fetch(`${url}/webhooks/dynamic`, { method: 'POST', body: '{}' }))
    const first = await Promise.race(asked)
    expect(first.status).toBe(503)
    gate.resolve()
    const statuses = (await Promise.all(asked)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(32)
  })

  it('bodies that never end keep nobody\u2019s webhook out', async () => {
    const url = await listen(async () => ({ status: 200, body: {} }))
    const { hostname, port } = new URL(url)
    const slow = Array.from({ length: 150 }, () => {
      const socket = connect({ host: hostname, port: Number(port) })
      socket.on('error', () => undefined)
      socket.write('POST /webhooks/dynamic HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{')
      return socket
    })
    onTestFinished(() => slow.forEach((socket) => socket.destroy()))
    for (const socket of slow) if (socket.pending) await once(socket, 'ready')
    for (let i = 0; i < 3; i++) {
      expect((await fetch(`${url}/webhooks/dynamic`, { method: 'POST', body: '{}' })).status).toBe(200)
    }
  })

  it('has only so many on their way, also of those that come in one packet, and keeps nothing of who gave way', async () => {
    const receive = openWebhookInbox(echo)
    const answered: (() => number)[] = []
    const bodies = Array.from({ length: 300 }, () => {
      const body = Object.assign(new PassThrough(), { url: '/webhooks/dynamic', method: 'POST', headers: {} })
      const response = Object.assign(new EventEmitter(), { statusCode: 0, setHeader: () => undefined, end: () => undefined })
      answered.push(() => response.statusCode)
      receive(body as never, response as never)
      return body
    })
    await setImmediate()
    expect(answered.filter((status) => status() === 503)).toHaveLength(300 - 128)
    expect(bodies.map((body) => body.listenerCount('data'))).toEqual(bodies.map((_body, at) => (at < 300 - 128 ? 0 : 1)))
    bodies.at(-1)?.end('{}')
    await setImmediate()
    expect(answered.at(-1)?.()).toBe(200)
  })
})
