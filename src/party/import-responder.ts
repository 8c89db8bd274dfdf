/**
 * The answering side of an import (docs/protocol.md §14): IM1 → IM2, IM3 → IM4 once the new record is durable as PENDING
 * and the import's id is used up. What becomes of it is C's to say (undecided-wallets.ts).
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { ProtocolFault } from '../engine/dkls23/fault.ts'
import type { Frame } from '../engine/dkls23/frame.ts'
import { abandonImport, answerImportS, finishImportS, type ImportS2, readImport } from '../engine/dkls23/import.ts'
import type { ImportKeys } from './import-keys.ts'
import { type OpenedSession, OpenSessions } from './open-sessions.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import { savePending } from './session-wallets.ts'

type Deps = AnsweringDeps & {
  /** Absent: nothing is imported here. */
  readonly importKeys?: ImportKeys | undefined
}

export class ImportResponder {
  readonly #deps: Deps
  readonly sessions: OpenSessions<ImportS2>

  constructor(deps: Deps) {
    this.#deps = deps
    this.sessions = new OpenSessions<ImportS2>({ ...deps, abandon: abandonImport, what: 'import' })
  }

  /** IM1 → IM2. */
  async start(frame: Frame): Promise<OpenedSession> {
    const { link, alert } = this.#deps
    link.assertAt(frame.lEpoch)
    await ed25519Ready()
    this.sessions.assertRoom()
    try {
      return this.#open(frame)
    } catch (error) {
      const isRefusal = error instanceof ProtocolFault && error.codeName === 'import_refused'
      if (isRefusal) alert('import_refused', error.message)
      throw error
    }
  }

  /** IM3 → IM4, once the PENDING record is durable. */
  async finish(frame: Frame): Promise<Uint8Array> {
    const { link, store } = this.#deps
    const { pending, body } = finishImportS(this.sessions.take(frame), frame.body)
    await savePending(store, pending)
    link.assertUsable('other')
    return body
  }

  #open(frame: Frame): OpenedSession {
    const { link, entropy, store, importKeys } = this.#deps
    const { opening, owner } = readImport(frame)
    store.admitImport(opening.importId, owner)
    const inputs = { link: link.parties, entropy, lEpoch: frame.lEpoch, nowMs: link.nowMs, ...link.hedge }
    const open = (aad: Uint8Array, envelope: Uint8Array) => importKeys?.open(aad, envelope)
    const { state, sid, body } = answerImportS(inputs, frame, open)
    this.sessions.add(state, frame.lEpoch)
    return { sid, body }
  }
}
