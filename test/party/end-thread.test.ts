import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { endThread } from '../../src/party/end-thread.ts'

/** Told to end, it is at work for a while before it hears of it. */
const BUSY = `
  const { parentPort } = require('node:worker_threads')
  parentPort.on('message', (ms) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
    parentPort.close()
  })
`
const start = async (): Promise<{ readonly thread: Worker; readonly code: Promise<number> }> => {
  const thread = new Worker(BUSY, { eval: true })
  const code = new Promise<number>((resolve) => thread.once('exit', resolve))
  await new Promise<void>((resolve) => thread.once('online', () => resolve()))
  return { thread, code }
}

describe('a thread that is told to end', () => {
  it('ends by itself, after what it has begun', async () => {
    const { thread, code } = await start()
    await endThread(thread, () => thread.postMessage(1_500, []))
    expect(await code).toBe(0)
    expect(thread.threadId).toBe(-1)
    await endThread(thread, () => Promise.reject(new Error('it has ended')))
  })

  it('is ended from outside when it refuses to stop, or hangs', async () => {
    const refusing = await start()
    await endThread(refusing.thread, () => Promise.reject(new Error('no')))
    expect(await refusing.code).toBe(1)
    const hanging = await start()
    await endThread(hanging.thread, () => hanging.thread.postMessage(3_600_000, []))
    expect(await hanging.code).toBe(1)
  })
})
