import type { Worker } from 'node:worker_threads'

const END_WAIT_MS = 5_000
/** For the call that tells a party to stop: its crypto workers end first. */
export const STOP = { timeoutMs: 10_000 } as const

/**
 * Has a thread end by itself, after what it has begun; `stop` tells it to. Ending it from outside in the middle of a native
 * call can abort the whole process: that is for one that hangs, and for one that refuses to stop, which is idle.
 */
export const endThread = async (thread: Worker, stop: () => Promise<unknown> | void): Promise<void> => {
  // A thread that has ended has no id.
  if (thread.threadId <= 0) return
  const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
  let waitMs = END_WAIT_MS
  try {
    await stop()
  } catch {
    waitMs = 0
  }
  const timer = setTimeout(() => void thread.terminate(), waitMs)
  await ended
  clearTimeout(timer)
}
