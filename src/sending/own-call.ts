/** A call that passes from its caller to the daemon: once the intent is recorded, neither a deadline nor a hang-up ends it. */
import { hash } from 'node:crypto'
import type { Call, Caller } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { parseRequestId, type RequestId } from '../domain/ids.ts'
import { assert } from '../domain/failure.ts'
import { StageTimes } from '../domain/stages.ts'

/** How long the parties have for one signature that nobody else waits for. */
const OWN_MS = 30_000

export type OwnCall = {
  readonly call: Call
  /** It is the daemon's from here on. */
  readonly take: () => void
  readonly [Symbol.dispose]: () => void
}

export const ownCall = (asked: Call, clock: Clock): OwnCall => {
  const ending = new AbortController()
  const end = (): void => ending.abort(asked.signal.reason)
  asked.signal.addEventListener('abort', end, { once: true })
  if (asked.signal.aborted) end()
  let { deadlineMs } = asked
  const call: Call = {
    ...asked,
    get deadlineMs() {
      return deadlineMs
    },
    signal: ending.signal,
    releaseChecks: [],
  }
  const leave = (): void => asked.signal.removeEventListener('abort', end)
  return {
    call,
    take: () => {
      leave()
      deadlineMs = clock.nowMs() + OWN_MS
    },
    [Symbol.dispose]: leave,
  }
}

/** For what a caller asked for before the daemon was started. */
export const resumedCall = (caller: Caller, method: string, clock: Clock): Call => ({
  caller,
  method,
  requestId: undefined,
  isRepeat: true,
  whenPoolIsEmpty: 'wait',
  deadlineMs: clock.nowMs() + OWN_MS,
  signal: new AbortController().signal,
  stages: new StageTimes(),
  releaseChecks: [],
})

/** Stands for the one signature of a version, whoever asks for it, and how often. */
export const intentIdOf = (sendId: string, version: number): RequestId => {
  const digits = hash('sha256', `countersign/send/v1 ${sendId} ${version}`)
  const parts = [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20, 32)]
  const id = parseRequestId(parts.join('-'))
  assert(id, 'a request id is a UUID')
  return id
}
