/**
 * A TCP proxy that holds every byte back for a while, as a distance would: nothing overtakes anything, a reader that
 * stalls stalls its writer, an end and a break arrive as late as what was sent before them. It can cut what goes through
 * it, hold it still, and let nobody in.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { PreciseAlarm, preciseNowMs } from './precise-alarm.ts'

/** `END`: the writer sends nothing more. `BREAK`: its connection is gone. */
const END = Symbol('end')
const BREAK = Symbol('break')
type Parcel = { readonly dueMs: number; readonly what: Buffer | typeof END | typeof BREAK }

/** What is under way in one direction at most; with more the writer waits. */
const MAX_UNDER_WAY = 8 * 1024 * 1024

/** One direction of one connection. */
class Pipe {
  readonly #from: Socket
  readonly #to: Socket
  #parcels: Parcel[] = []
  #bytes = 0
  #isFull = false

  constructor(from: Socket, to: Socket, delayMs: () => number, queued: () => void) {
    this.#from = from
    this.#to = to
    const put = (what: Parcel['what']): void => {
      const last = this.#parcels.at(-1)
      // A delay that was shortened meanwhile reorders nothing.
      this.#parcels.push({ dueMs: Math.max(preciseNowMs() + delayMs(), last?.dueMs ?? 0), what })
      queued()
    }
    from.on('data', (bytes: Buffer) => {
      this.#bytes += bytes.length
      put(bytes)
      this.#pace()
    })
    from.on('end', () => put(END))
    from.on('close', () => put(BREAK))
    to.on('drain', () => {
      this.#isFull = false
      this.#pace()
    })
  }

  get nextMs(): number {
    return this.#isFull ? Infinity : (this.#parcels[0]?.dueMs ?? Infinity)
  }

  /** Passes on what is due. */
  deliver(nowMs: number): void {
    while (!this.#isFull && this.#parcels[0] !== undefined && this.#parcels[0].dueMs <= nowMs) {
      const { what } = this.#parcels.shift() as Parcel
      if (what === END) this.#to.end()
      else if (what === BREAK) this.#to.destroy()
      else {
        this.#bytes -= what.length
        if (!this.#to.destroyed) this.#isFull = !this.#to.write(what)
      }
    }
    this.#pace()
  }

  #pace(): void {
    if (this.#isFull || this.#bytes >= MAX_UNDER_WAY) this.#from.pause()
    else this.#from.resume()
  }
}

export class DelayingProxy {
  readonly #server: Server
  readonly #alarm: PreciseAlarm
  readonly #target: { readonly host: string; readonly port: number }
  readonly #pipes = new Set<Pipe>()
  readonly #sockets = new Set<Socket>()
  #delayMs: number
  #isHeld = false
  #isShut = false
  #setMs = Infinity

  private constructor(target: string, delayMs: number) {
    const at = target.lastIndexOf(':')
    this.#target = { host: target.slice(0, at), port: Number(target.slice(at + 1)) }
    this.#delayMs = delayMs
    this.#alarm = new PreciseAlarm(() => this.#ring())
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
  }

  /** Listens on a port of 127.0.0.1 for connections to `target`, `host:port`, each way `delayMs` long. */
  static async open(target: string, delayMs: number): Promise<DelayingProxy> {
    const proxy = new DelayingProxy(target, delayMs)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Connections that go through it. */
  get count(): number {
    return this.#sockets.size / 2
  }

  /** Of what is sent from now on. */
  setDelay(delayMs: number): void {
    this.#delayMs = delayMs
  }

  /** Every connection breaks, at both ends and at once; what was under way is lost. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Nothing arrives any more, and nobody is told. */
  hold(): void {
    this.#isHeld = true
  }

  /** What was held arrives. */
  release(): void {
    this.#isHeld = false
    this.#ring()
  }

  /** Nobody gets in from now on, or everybody again. */
  shut(isShut = true): void {
    this.#isShut = isShut
  }

  async close(): Promise<void> {
    this.#isShut = true
    this.cut()
    this.#server.close()
    await Promise.all([once(this.#server, 'close'), this.#alarm.close()])
  }

  #accept(near: Socket): void {
    if (this.#isShut) {
      near.resetAndDestroy()
      return
    }
    const far = connect({ ...this.#target, allowHalfOpen: true, noDelay: true })
    const queued = (): void => this.#arm()
    const pipes = [
      new Pipe(near, far, () => this.#delayMs, queued),
      new Pipe(far, near, () => this.#delayMs, queued),
    ]
    for (const pipe of pipes) this.#pipes.add(pipe)
    for (const socket of [near, far]) {
      this.#sockets.add(socket)
      // What broke is told to the other side by its end.
      socket.on('error', () => undefined)
      socket.on('drain', queued)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        if (near.destroyed && far.destroyed) for (const pipe of pipes) this.#pipes.delete(pipe)
      })
    }
  }

  #ring(): void {
    this.#setMs = Infinity
    if (this.#isHeld) return
    const nowMs = preciseNowMs()
    for (const pipe of this.#pipes) pipe.deliver(nowMs)
    this.#arm()
  }

  #arm(): void {
    if (this.#isHeld) return
    let nextMs = Infinity
    for (const pipe of this.#pipes) nextMs = Math.min(nextMs, pipe.nextMs)
    if (nextMs >= this.#setMs) return
    this.#setMs = nextMs
    this.#alarm.set(nextMs)
  }
}
