import type Database from 'better-sqlite3'
import { assert, failure } from '../domain/failure.ts'
import { isDiskFault, sqliteCode } from './sqlite-errors.ts'
import type { Store, Tx } from './store.ts'

/**
 * Writes that must be durable before an answer share fsyncs. Work is queued; one flush runs the queue in one BEGIN
 * IMMEDIATE transaction, each piece of work under its own savepoint, and settles the promises after COMMIT has
 * returned, which with synchronous=FULL is after the fsync. What arrives while a flush runs joins the next.
 *
 * Work is synchronous: nothing else can touch the connection between BEGIN and COMMIT, so each piece sees all work
 * before it and a check it makes still holds at its commit.
 */
export type GroupCommit = {
  /**
   * Runs `work` in the next batch and answers its result once it is on disk. If `work` throws, only its own writes
   * are rolled back and only this promise rejects, with that error. Refuses with AUDIT_UNAVAILABLE after a disk
   * fault, SHUTTING_DOWN after close, OVERLOADED when the queue is full.
   */
  readonly commit: <T>(work: (tx: Tx) => T) => Promise<T>
  /** As `commit`, before all that waits and has not come this way: for what stops things. */
  readonly commitFirst: <T>(work: (tx: Tx) => T) => Promise<T>
  /**
   * As `commit`, for what no answer waits for: it joins the next batch that somebody waits for, or after a few
   * milliseconds makes one. A crash before that loses it.
   */
  readonly commitLater: <T>(work: (tx: Tx) => T) => Promise<T>
  /** As `commit`, in a transaction of its own, durable on return. For start-up and for a burn. */
  readonly commitNow: <T>(work: (tx: Tx) => T) => T
  /** Resolves when everything queued before it is settled. */
  readonly drain: () => Promise<void>
  /** Refuses new work, settles what is queued. */
  readonly close: () => Promise<void>
  /** Called after every commit, outside any transaction. Answers how to stop. */
  readonly onCommitted: (listener: () => void) => () => void
  /**
   * Called when all work of a batch has run and is about to be made durable, inside the transaction. For handing other
   * threads what they may begin with; nothing of it leaves the process before the commit. Answers how to stop.
   */
  readonly onCommitting: (listener: () => void) => () => void
  /** The SQLite code of the disk fault that stopped the vault. */
  readonly fault: () => string | undefined
}

type Job = {
  readonly work: (tx: Tx) => unknown
  readonly resolve: (value: never) => void
  readonly reject: (error: unknown) => void
}
type Settlement = () => void

/** Bounds how long one flush holds the event loop: 64 intents take about 4 ms. */
const BATCH_MAX = 64
const QUEUE_MAX = 16_384
/** How long work that nobody waits for may wait for company: an fsync is saved, little is lost with a crash. */
const LATER_MS = 5
const RETRY_AFTER_MS = 50

class DiskFault extends Error {
  constructor(cause: unknown) {
    super('the vault disk failed', { cause })
  }
}

export const createGroupCommit = (db: Database.Database, store: Store): GroupCommit => {
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commitBatch = db.prepare('COMMIT')
  const rollback = db.prepare('ROLLBACK')
  const savepoint = db.prepare('SAVEPOINT work')
  const release = db.prepare('RELEASE work')
  const undo = db.prepare('ROLLBACK TO work')
  const listeners = new Set<() => void>()
  const committing = new Set<() => void>()
  let queue: Job[] = []
  let first: Job[] = []
  let scheduled = false
  let later: NodeJS.Timeout | undefined
  let running = false
  let closed = false
  let fault: string | undefined

  const stopOn = (error: unknown): void => {
    if (isDiskFault(error)) fault ??= sqliteCode(error)
  }

  /** Runs one job; answers how to settle it, or throws DiskFault when the batch is lost with it. */
  const runJob = (job: Job): Settlement => {
    savepoint.run()
    try {
      const value = job.work(store)
      assert(!(value instanceof Promise), 'committed work is synchronous')
      release.run()
      return () => job.resolve(value as never)
    } catch (error) {
      if (isDiskFault(error) || !db.inTransaction) throw new DiskFault(error)
      undo.run()
      store.noteRollback()
      release.run()
      return () => job.reject(error)
    }
  }

  /** A rollback that fails too leaves nothing acknowledged; the vault is stopped either way. */
  const abandon = (): void => {
    try {
      if (db.inTransaction) rollback.run()
    } catch (error) {
      fault ??= sqliteCode(error) ?? 'ROLLBACK'
    } finally {
      store.noteRollback()
    }
  }

  const transact = (jobs: readonly Job[]): Settlement[] => {
    running = true
    try {
      begin.run()
      const settlements = jobs.map(runJob)
      // The disk takes its time: what others can do meanwhile is begun now.
      for (const listener of committing) listener()
      commitBatch.run()
      return settlements
    } catch (error) {
      const cause = error instanceof DiskFault ? error.cause : error
      stopOn(cause)
      abandon()
      const refusal = failure('AUDIT_UNAVAILABLE', {})
      refusal.cause = cause
      return jobs.map((job) => () => job.reject(refusal))
    } finally {
      running = false
    }
  }

  const isWaiting = (): boolean => queue.length > 0 || first.length > 0

  const takeBatch = (): readonly Job[] => {
    const ahead = first.slice(0, BATCH_MAX)
    const room = BATCH_MAX - ahead.length
    const jobs = ahead.length === 0 ? queue.slice(0, room) : [...ahead, ...queue.slice(0, room)]
    first = first.slice(ahead.length)
    queue = queue.slice(room)
    return jobs
  }

  const flush = (): void => {
    scheduled = false
    const jobs = takeBatch()
    if (jobs.length === 0) return
    if (isWaiting()) schedule()
    const settlements = fault === undefined ? transact(jobs) : jobs.map((job) => () => job.reject(refused()))
    for (const settle of settlements) settle()
    announce()
  }

  const announce = (): void => {
    if (fault === undefined) for (const listener of listeners) listener()
  }

  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    setImmediate(flush)
  }

  const refused = () => failure('AUDIT_UNAVAILABLE', {})
  const refusal = () => {
    if (fault !== undefined) return refused()
    if (closed) return failure('SHUTTING_DOWN', {})
    return queue.length + first.length >= QUEUE_MAX ? failure('OVERLOADED', { retryAfterMs: RETRY_AFTER_MS }) : undefined
  }

  const scheduleLater = (): void => {
    later ??= setTimeout(() => {
      later = undefined
      if (isWaiting()) schedule()
    }, LATER_MS)
  }

  const enqueue =
    (wake: () => void, lane: () => Job[]) =>
    <T>(work: (tx: Tx) => T): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        const no = refusal()
        if (no !== undefined) return reject(no)
        lane().push({ work, resolve, reject })
        wake()
      })

  const commitNow = <T>(work: (tx: Tx) => T): T => {
    assert(!running, 'a commit is not started inside committed work')
    if (fault !== undefined) throw refused()
    if (!db.open) throw failure('SHUTTING_DOWN', {})
    let outcome: { value: T } | { error: unknown } | undefined
    const job: Job = {
      work,
      resolve: (value) => {
        outcome = { value }
      },
      reject: (error) => {
        outcome = { error }
      },
    }
    for (const settle of transact([job])) settle()
    announce()
    assert(outcome, 'a settled job has an outcome')
    if ('error' in outcome) throw outcome.error
    return outcome.value
  }

  const drain = async (): Promise<void> => {
    if (isWaiting()) schedule()
    while (isWaiting()) await new Promise((resolve) => setImmediate(resolve))
  }

  return {
    commit: enqueue(schedule, () => queue),
    commitFirst: enqueue(schedule, () => first),
    commitLater: enqueue(scheduleLater, () => queue),
    commitNow,
    drain,
    close: () => {
      closed = true
      return drain()
    },
    onCommitted: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    onCommitting: (listener) => {
      committing.add(listener)
      return () => committing.delete(listener)
    },
    fault: () => fault,
  }
}
