/**
 * Thread entry of a remote cosigner at the daemon: to the threads around it, the embedded one (cosigner-worker.ts). Where
 * the cosigner has nothing to go on with after a break, this thread ends, and the daemon opens another as it does when the
 * embedded one ends.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { failure } from '../../domain/failure.ts'
import type { CosignerEvents, QuestionCalls } from '../cosigner.ts'
import { openPortEnd, type PortEnd } from '../port-calls.ts'
import { type WireCall, WIRE_CALLS } from './asked-calls.ts'
import { type RemoteCosigner, ResumingStream } from './resuming-stream.ts'

export type RemoteCosignerData = RemoteCosigner & { readonly frames: MessagePort }

/** Whoever waits for an answer gets it first. */
const END_AFTER_MS = 50

if (parentPort !== null) serve(parentPort, workerData as RemoteCosignerData)

function serve(port: MessagePort, data: RemoteCosignerData): void {
  const end = (): void => {
    setTimeout(() => {
      data.frames.close()
      port.close()
      // The channel's timers and sockets do not keep a thread that has nothing more to say.
      process.exit(0)
    }, END_AFTER_MS)
  }
  const stream = new ResumingStream(data, {
    question: (frame) => frames.call('question', frame, { timeoutMs: 10_000 }),
    alert: (what, detail) => main.tell('alert', { what, detail }),
    lost: (lost) => main.tell('lost', lost),
    away: (why) => main.tell('away', { why }),
    back: () => main.tell('back', undefined),
    distance: (ms) => main.tell('distance', { ms }),
    ended: end,
  })
  const forward = Object.fromEntries(
    (Object.keys(WIRE_CALLS) as WireCall[]).map((method) => [method, (args: never) => stream.call(method, args)]),
  )
  const onBug = (error: unknown): void => main.tell('alert', { what: 'internal', detail: String(error) })
  const table = {
    ...forward,
    open: () => stream.open(),
    pair: (args: Parameters<ResumingStream['pair']>[0]) => stream.pair(args),
    shareEpochs: () => stream.shareEpochs(),
    backup: refuse,
    rotateKey: refuse,
    backupStanding: () => undefined,
    stop: () => stream.stop(),
  }
  const main: PortEnd<CosignerEvents> = openPortEnd(port, table, onBug)
  const frames: PortEnd<QuestionCalls> = openPortEnd(data.frames, { frame: (bytes: Uint8Array) => stream.frame(bytes) }, onBug)
}

/** It has no message for it either. */
function refuse(): never {
  throw failure('COSIGNER_REFUSED', { why: 'only its own operator does that, on its host' })
}
