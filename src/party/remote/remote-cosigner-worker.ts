/**
 * Thread entry of a remote cosigner at the daemon: to the threads around it, the embedded one (cosigner-worker.ts). When
 * the stream ends, so does this thread, and the daemon opens another as it does when the embedded one ends.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { failure } from '../../domain/failure.ts'
import type { CosignerEvents, QuestionCalls } from '../cosigner.ts'
import { hexOf } from '../presignature-map.ts'
import { openPortEnd, type PortEnd } from '../port-calls.ts'
import { type WireCall, WIRE_CALLS } from './asked-calls.ts'
import type { ClientIdentity } from './channel-credentials.ts'
import { CosignerStream } from './cosigner-stream.ts'

export type RemoteCosigner = ClientIdentity & {
  /** `host:port`. */
  readonly address: string
  /** Who it is, 32 bytes: what its certificate was pinned with. */
  readonly partyId: Uint8Array
}
export type RemoteCosignerData = RemoteCosigner & { readonly frames: MessagePort }

/** Whoever waits for an answer gets it first. */
const END_AFTER_MS = 50
const OPEN_WITHIN_MS = 8_000

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
  const stream = new CosignerStream(data.address, data, {
    question: (frame) => frames.call('question', frame, { timeoutMs: 10_000 }),
    alert: (what, detail) => main.tell('alert', { what, detail }),
    lost: (lost) => main.tell('lost', lost),
    ended: end,
  })
  const forward = Object.fromEntries(
    (Object.keys(WIRE_CALLS) as WireCall[]).map((method) => [method, (args: never) => stream.call(method, args)]),
  )
  const open = async () => {
    const late = setTimeout(() => stream.close(), OPEN_WITHIN_MS)
    const opened = await stream.call('open', undefined).finally(() => clearTimeout(late))
    if (hexOf(opened.ownId) === hexOf(data.partyId)) return opened
    stream.close()
    throw failure('COSIGNER_UNAVAILABLE', { why: 'it is another than its certificate was pinned for' })
  }
  const onBug = (error: unknown): void => main.tell('alert', { what: 'internal', detail: String(error) })
  const table = {
    ...forward,
    open,
    shareEpochs: () => stream.shareEpochs(),
    backup: refuse,
    rotateKey: refuse,
    backupStanding: () => undefined,
    stop: () => stream.close(),
  }
  const main: PortEnd<CosignerEvents> = openPortEnd(port, table, onBug)
  const frames: PortEnd<QuestionCalls> = openPortEnd(data.frames, { frame: (bytes: Uint8Array) => stream.frame(bytes) }, onBug)
}

/** It has no message for it either. */
function refuse(): never {
  throw failure('COSIGNER_REFUSED', { why: 'only its own operator does that, on its host' })
}
