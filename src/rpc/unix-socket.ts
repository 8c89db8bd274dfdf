/**
 * Unix sockets. The file is the guard: Node cannot ask who is at the other end, so whoever may open the file is
 * the caller. It is made with mode 0600 from its first moment.
 */
import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { failure } from '../domain/failure.ts'

/** sun_path holds 108 bytes with the final zero. */
const MAX_PATH_BYTES = 107

const isAnswered = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/**
 * Makes room for a socket: removes the file that a killed daemon left behind. Throws LISTEN_FAILED when something
 * answers there, when the file is not a socket, and when the path is too long. Answers whether a file was removed.
 */
export const clearSocketPath = async (path: string): Promise<boolean> => {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw failure('LISTEN_FAILED', { address: path, why: `the path is longer than ${MAX_PATH_BYTES} bytes` })
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return false
  if (!stat.isSocket())
    throw failure('LISTEN_FAILED', { address: path, why: 'a file that is not a socket is there' })
  if (await isAnswered(path))
    throw failure('LISTEN_FAILED', { address: path, why: 'something else is listening there' })
  unlinkSync(path)
  return true
}

/** Runs `bind` with a umask under which a socket file comes out as 0600, and checks that it did. */
export const bindPrivately = async (path: string, bind: () => Promise<void>): Promise<void> => {
  const before = process.umask(0o177)
  try {
    await bind()
  } finally {
    process.umask(before)
  }
  const stat = lstatSync(path)
  if (!stat.isSocket() || (stat.mode & 0o777) !== 0o600)
    throw failure('LISTEN_FAILED', { address: path, why: 'the socket file did not come out private' })
}
