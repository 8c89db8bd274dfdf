/**
 * One plaintext port for HTTP/1.1 and HTTP/2 with prior knowledge: the first bytes of a connection tell which it
 * is.
 */
import type { Server as HttpServer } from 'node:http'
import type { Http2Server } from 'node:http2'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

/** How every HTTP/2 connection begins (RFC 9113 §3.4). No HTTP/1.1 method begins with the same three letters. */
const PREFACE = Buffer.from('PRI')

const SILENCE_MS = 10_000

/** Undefined while what has come fits both. */
const isHttp2 = (start: Buffer): boolean | undefined => {
  const length = Math.min(start.length, PREFACE.length)
  if (!start.subarray(0, length).equals(PREFACE.subarray(0, length))) return false
  return length === PREFACE.length ? true : undefined
}

const route = (socket: Socket, http1: HttpServer, http2: Http2Server): void => {
  let start = Buffer.alloc(0)
  const onError = (): void => {
    socket.destroy()
  }
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) return
    start = Buffer.concat([start, chunk])
    const verdict = isHttp2(start)
    if (verdict === undefined) return
    socket.off('readable', onReadable)
    socket.off('error', onError)
    socket.setTimeout(0)
    socket.removeAllListeners('timeout')
    socket.unshift(start)
    ;(verdict ? http2 : http1).emit('connection', socket)
  }
  socket.on('error', onError)
  socket.setTimeout(SILENCE_MS, () => socket.destroy())
  socket.on('readable', onReadable)
}

/** A server that hands its connections to one of the two. */
export const createSniffingServer = (http1: HttpServer, http2: Http2Server): Server =>
  createServer({ noDelay: true }, (socket) => route(socket, http1, http2))
