/** The answering side of an online signature, in the order of docs/protocol.md §10.2. */
import type { WalletBinding } from '../engine/dkls23/contexts.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { Frame } from '../engine/dkls23/frame.ts'
import { assertBelongs, type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import type { WalletState } from '../engine/dkls23/records.ts'
import { agreeOnSigning, answerSign, assertRequestScalars } from '../engine/dkls23/sign.ts'
import { decodeSignRequest, type SignRequest, signRequestKey } from '../engine/dkls23/sign-messages.ts'
import { AnsweredRequests } from './answered-requests.ts'
import type { Link } from './link.ts'
import type { CosignerIntent, CosignerStore } from './party-store.ts'
import { hexOf, type PresignatureMap } from './presignature-map.ts'

/**
 * The digest that this side derives from the typed request, by itself.
 * @throws whatever does not parse, is too large or is for another wallet: the caller of the peer chose it (class A).
 */
export type ReadPayload = (
  payload: Uint8Array,
  walletId: Uint8Array,
) => { readonly digest: Uint8Array; readonly summary: string }

type Deps = {
  readonly link: Link
  readonly store: CosignerStore
  readonly readPayload: ReadPayload
  /** Overwrites the wallet's presignatures and ends a session that holds it. */
  readonly dropWallet: (walletId: Uint8Array) => void
  readonly alert: (what: string, detail: string) => void
}
/** What signing needs of a wallet: no share. */
type KnownWallet = { readonly binding: WalletBinding; readonly state: WalletState }

const MAX_KNOWN_WALLETS = 100_000

export class SignResponder {
  readonly #deps: Deps
  readonly #presignatures: PresignatureMap<Presignature>
  readonly #requests: AnsweredRequests
  readonly #known = new Map<string, KnownWallet>()
  /** How often something was forgotten: what was read before that is not remembered after it. */
  #forgets = 0
  /** Wallets whose suspension is not on disk yet. */
  readonly #stopping = new Set<string>()

  constructor(deps: Deps, presignatures: PresignatureMap<Presignature>) {
    this.#deps = deps
    this.#presignatures = presignatures
    const suspend = this.#suspend.bind(this)
    this.#requests = new AnsweredRequests({ store: deps.store, suspend })
  }

  forgetWallet(walletId: Uint8Array): void {
    this.#forgets += 1
    this.#known.delete(hexOf(walletId))
  }

  /** The body of the response. @throws ProtocolFault; the presignature that the request named is gone in every case. */
  async answer(frame: Frame): Promise<Uint8Array> {
    const request = decodeSignRequest(frame.body, frame.linkId)
    const presignature = this.#presignatures.take(request.presigId)
    try {
      const requestKey = signRequestKey(request)
      return await this.#requests.once(request, requestKey, () =>
        this.#answerTaken(request, requestKey, presignature, frame.lEpoch),
      )
    } finally {
      if (presignature !== undefined) wipePresignature(presignature)
    }
  }

  async #answerTaken(
    request: SignRequest,
    requestKey: Uint8Array,
    presignature: Presignature | undefined,
    lEpoch: number,
  ): Promise<Uint8Array> {
    const { link } = this.#deps
    link.assertUsable('sign')
    const known = await this.#requests.known(request, requestKey, () => this.#walletOf(request))
    if (known !== undefined) return known
    assertRequestScalars(request)
    assertBelongs(presignature, request.linkId, request.walletId, request.wEpoch)
    if (presignature.lEpoch !== lEpoch) throw benign('unknown_presig', 'another link epoch')
    const wallet = await this.#walletOf(request)
    const read = this.#read(request)
    const inputs = { link: link.parties, wallet: wallet.binding, digest: read.digest, path: request.path }
    const context = agreeOnSigning(inputs, request, presignature)
    const intent = { ...intentOf(request, presignature), summary: read.summary }
    return this.#requests.record({ intent, requestKey, sid: presignature.sid }, async () => {
      await this.#walletOf(request)
      link.assertUsable('sign')
      return answerSign(context, request, presignature).body
    })
  }

  #read(request: SignRequest): ReturnType<ReadPayload> {
    try {
      return this.#deps.readPayload(request.payload, request.walletId)
    } catch {
      throw benign('policy_denied', 'the payload is refused')
    }
  }

  /** The wallet stops at once, and for a request that comes before the disk has it; the link goes on. */
  async #suspend(walletId: Uint8Array, sid: Uint8Array | undefined, why: string): Promise<void> {
    const id = walletId.slice()
    const key = hexOf(id)
    this.#stopping.add(key)
    this.#deps.dropWallet(id)
    if (sid !== undefined) this.#presignatures.wipeSession(sid)
    await this.#deps.store.setWalletState(id, 'SUSPENDED', why)
    this.forgetWallet(id)
    this.#deps.dropWallet(id)
    this.#stopping.delete(key)
    this.#deps.alert('wallet_suspended', `wallet ${key}: ${why}`)
  }

  async #walletOf({ walletId, wEpoch }: SignRequest): Promise<KnownWallet> {
    const key = hexOf(walletId)
    if (this.#stopping.has(key)) throw benign('wallet_state', 'the wallet is being suspended')
    const known = this.#known.get(key) ?? (await this.#load(walletId, key))
    if (known === undefined) throw benign('wallet_state', 'no such wallet')
    if (known.state !== 'ACTIVE') throw benign('wallet_state', 'the wallet is not active')
    if (known.binding.wEpoch !== wEpoch) throw benign('wallet_state', 'another wallet epoch')
    return known
  }

  async #load(walletId: Uint8Array, key: string): Promise<KnownWallet | undefined> {
    const before = this.#forgets
    const record = await this.#deps.store.loadWallet(walletId)
    if (record === undefined) return undefined
    const { share, ...binding } = record
    share.fill(0)
    const known = { binding, state: record.state }
    if (this.#forgets !== before) return known
    if (this.#known.size >= MAX_KNOWN_WALLETS) this.#known.clear()
    this.#known.set(key, known)
    return known
  }
}

/** Fields of a request are views of its frame: what outlives the call is copied. */
const intentOf = (request: SignRequest, presignature: Presignature): Omit<CosignerIntent, 'summary'> => ({
  walletId: request.walletId.slice(),
  wEpoch: request.wEpoch,
  presigId: request.presigId.slice(),
  noncePoint: presignature.noncePoint,
  reqId: request.reqId.slice(),
  digest: request.digest.slice(),
  payload: request.payload,
})
