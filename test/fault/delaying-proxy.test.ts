import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DelayingProxy } from './delaying-proxy.ts'

const DELAY_MS = 20
let server: Server
let far: Promise<Socket>
let proxy: DelayingProxy
let near: Socket

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.on('connection', (socket) => socket.on('error', () => undefined))
  far = once(server, 'connection').then(([socket]) => socket as Socket)
  proxy = await DelayingProxy.open(`127.0.0.1:${(server.address() as AddressInfo).port}`, DELAY_MS)
  near = connect({ host: '127.0.0.1', port: Number(proxy.address.split(':')[1]), allowHalfOpen: true, noDelay: true })
  near.on('error', () => undefined)
  await once(near, 'connect')
})
afterEach(async () => {
  near.destroy()
  ;(await far).destroy()
  await proxy.close()
  server.close()
})

/** However it ends. */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()))

/** A round trip of one byte. */
const roundTrip = async (): Promise<number> => {
  const beganMs = performance.now()
  near.write('x')
  await once(near, 'data')
  return performance.now() - beganMs
}

describe('a delaying proxy', () => {
  it('holds every byte back for its time each way, and hardly longer', async () => {
    const echo = await far
    echo.on('data', (bytes: Buffer) => echo.write(bytes))
    const tookMs: number[] = []
    for (let i = 0; i < 20; i++) tookMs.push(await roundTrip())
    const least = Math.min(...tookMs)
    expect(least).toBeGreaterThanOrEqual(2 * DELAY_MS)
    // Of the best of many: the machine may have other work.
    expect(least).toBeLessThan(2 * DELAY_MS + 5)
    proxy.setDelay(0)
    const free = await Promise.all(Array.from({ length: 10 }, roundTrip))
    expect(Math.min(...free)).toBeLessThan(2 * DELAY_MS)
  })

  it('passes everything on in its order, and what is under way at the same time takes no longer', async () => {
    const sent = randomBytes(3_000_000)
    const echo = await far
    const got: Buffer[] = []
    echo.on('data', (bytes: Buffer) => got.push(bytes))
    const ended = once(echo, 'end')
    const beganMs = performance.now()
    for (let at = 0; at < sent.length; at += 10_000) near.write(sent.subarray(at, at + 10_000))
    near.end()
    await ended
    expect(Buffer.concat(got).equals(sent)).toBe(true)
    const tookMs = performance.now() - beganMs
    expect(tookMs).toBeGreaterThanOrEqual(DELAY_MS)
    // 300 pieces one after the other would take six seconds.
    expect(tookMs).toBeLessThan(3_000)
    // The other half is open still.
    echo.write('answer')
    expect(String((await once(near, 'data'))[0])).toBe('answer')
  })

  it('a reader that stalls stalls the writer; it loses nothing', async () => {
    const stalled = await far
    stalled.pause()
    const piece = Buffer.alloc(1_000_000, 'p')
    let written = 0
    // More than the pipes and the sockets' own buffers take.
    while (written < 200_000_000 && near.writableLength < 4 * piece.length) {
      near.write(piece)
      written += piece.length
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(written).toBeLessThan(200_000_000)
    let read = 0
    stalled.on('data', (bytes: Buffer) => (read += bytes.length))
    stalled.resume()
    near.end()
    await once(stalled, 'end')
    expect(read).toBe(written)
  })

  it('cuts: both ends hear of it, nobody else gets in while it is shut', async () => {
    const other = await far
    proxy.shut()
    const gone = Promise.all([closed(near), closed(other)])
    proxy.cut()
    await gone
    await expect.poll(() => proxy.count).toBe(0)
    const late = connect({ host: '127.0.0.1', port: Number(proxy.address.split(':')[1]) })
    late.on('error', () => undefined)
    await closed(late)
    proxy.shut(false)
    const again = connect({ host: '127.0.0.1', port: Number(proxy.address.split(':')[1]) })
    const [reached] = (await once(server, 'connection')) as [Socket]
    reached.end('in')
    expect(String((await once(again, 'data'))[0])).toBe('in')
    again.destroy()
  })

  it('holds still what it has, and passes it on afterwards', async () => {
    const other = await far
    proxy.hold()
    near.write('held')
    let heard = ''
    other.on('data', (bytes: Buffer) => (heard += String(bytes)))
    await new Promise((resolve) => setTimeout(resolve, 4 * DELAY_MS))
    expect(heard).toBe('')
    proxy.release()
    await expect.poll(() => heard).toBe('held')
  })
})
