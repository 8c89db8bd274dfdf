/** What S keeps of docs/protocol.md §10.2 for a signature of either kind: a request id once, and the intent before the signature. */
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import type { CosignerIntent, CosignerStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

type Deps = {
  readonly store: CosignerStore
  /** The wallet signs nothing more; of the session, where one is named, no presignature is left. */
  readonly suspend: (walletId: Uint8Array, sid: Uint8Array | undefined, why: string) => Promise<void>
}

type Request = Pick<CosignerIntent, 'walletId' | 'reqId' | 'payload'>

/** An intent that is to be recorded, what its request asks for, and the session that its presignature is of. */
export type RecordedSign = {
  readonly intent: CosignerIntent
  readonly requestKey: Uint8Array
  readonly sid: Uint8Array
}

export class AnsweredRequests {
  readonly #deps: Deps
  /** Requests that are being answered, by wallet and request id, with what they ask for. */
  readonly #running = new Map<string, string>()

  constructor(deps: Deps) {
    this.#deps = deps
  }

  /** One answer at a time under one request id, from before its intent is on disk. @throws ProtocolFault class A. */
  async once<T>({ walletId, reqId }: Request, requestKey: Uint8Array, work: () => Promise<T>): Promise<T> {
    const name = hexOf(walletId) + hexOf(reqId)
    const running = this.#running.get(name)
    if (running !== undefined && running !== hexOf(requestKey)) throw benign('reqid_conflict', 'reqId of another request')
    if (running !== undefined) throw benign('busy', 'the request is running')
    this.#running.set(name, hexOf(requestKey))
    try {
      return await work()
    } finally {
      this.#running.delete(name)
    }
  }

  /**
   * What this request id was answered before; `assertActive` refuses for a wallet that stopped since.
   * @throws ProtocolFault class A: busy, reqid_conflict, or refused by now.
   */
  async known(
    request: Request,
    requestKey: Uint8Array,
    assertActive: () => Promise<unknown>,
  ): Promise<Uint8Array | undefined> {
    const { store } = this.#deps
    const reply = store.findReply(request.walletId, request.reqId)
    if (reply === undefined) return undefined
    if (hexOf(reply.requestKey) !== hexOf(requestKey)) throw benign('reqid_conflict', 'reqId of another request')
    if (reply.state === 'RUNNING') throw benign('busy', 'the request is running')
    if (reply.response === undefined) return undefined
    await assertActive()
    if (!(await store.admits(request))) throw denied()
    return reply.response
  }

  /** `release` makes the response, once the intent is durable; how it ended is recorded as well. */
  async record({ intent, requestKey, sid }: RecordedSign, release: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const { store, suspend } = this.#deps
    await this.#commit(intent, requestKey)
    try {
      const response = await release()
      store.completeIntent(intent, { response })
      return response
    } catch (error) {
      store.completeIntent(intent, { failed: error instanceof ProtocolFault ? error.codeName : 'internal' })
      if (error instanceof ProtocolFault && error.consequence === 'suspend-wallet') {
        await suspend(intent.walletId, sid, 'final signature invalid')
      }
      throw error
    }
  }

  async #commit(intent: CosignerIntent, requestKey: Uint8Array): Promise<void> {
    const { store, suspend } = this.#deps
    const verdict = await store.commitIntent({ ...intent, requestKey })
    if (verdict === 'committed') return
    if (verdict === 'denied') throw denied()
    await suspend(intent.walletId, undefined, 'a presignature was named twice')
    throw benign('wallet_state', 'the wallet is suspended')
  }
}

const denied = (): ProtocolFault => benign('policy_denied', 'refused by the rules of the cosigner')
