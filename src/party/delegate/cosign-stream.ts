/**
 * A delegate's end of one `Cosign` stream: the access of one wallet API key. Both sides prove their identity keys before a
 * frame passes. It ends once and for all at the first thing that does not belong there; who uses it opens another.
 */
import { randomBytes } from 'node:crypto'
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream, Metadata, type ServiceError } from '@grpc/grpc-js'
import {
  type CosignChallenge,
  type CosignRequest,
  CosignRequestSchema,
  type CosignResponse,
} from '../../../gen/countersign/v1/delegation_pb.ts'
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts'
import { type Status, StatusSchema } from '../../../gen/google/rpc/status_pb.ts'
import { accessIdFromBytes } from '../../domain/ids.ts'
import { cosignStatement, isCosignProven } from '../../engine/sealing/cosign-proof.ts'
import { PeerUnavailable } from '../counterparty.ts'
import { partyIdOf } from '../party-id.ts'
import { channelTo, COSIGN_RPC, type GrantingAddress } from './cosign-rpc.ts'

/** Who joins, and whom. */
export type CosignIdentity = {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Of a statement of cosign-proof.ts: 64 bytes. */
  readonly sign: (statement: Uint8Array) => Uint8Array
}

export type CosignTarget = GrantingAddress & {
  /** Party id of the daemon, 32 bytes: what its identity key is held to. */
  readonly partyId: Uint8Array
  /** 16 bytes. */
  readonly accessId: Uint8Array
  /** `cdk_…` */
  readonly apiKey: string
}

/** Why the daemon refused, in its own words. */
export type DaemonRefusal = { readonly reason: string; readonly message: string }

export type CosignEvents = {
  /** What party S asks. */
  readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  /** `refusal`: the daemon said why. */
  readonly ended: (why: string, refusal: DaemonRefusal | undefined) => void
}

export type CosignReply = { readonly frame: Uint8Array | undefined; readonly refusal: DaemonRefusal | undefined }
export type Joined = { readonly projectId: string }

type Asked = NonNullable<MessageInitShape<typeof CosignRequestSchema>['content']>
type Waiting = { readonly resolve: (content: CosignResponse['content']) => void; readonly reject: (error: Error) => void }

const JOIN_WITHIN_MS = 8_000
/** The daemon ends streams on which nothing is said for five minutes. */
const PING_MS = 60_000
const MAX_WAITING = 1_024
const MAX_QUESTIONS = 16
const MAX_TEXT = 256
const LAST_ID = 2 ** 32 - 1

export class CosignStream {
  readonly joined: Promise<Joined>
  readonly #client: Client
  readonly #stream: ClientDuplexStream<CosignRequest, CosignResponse>
  readonly #events: CosignEvents
  readonly #waiting = new Map<number, Waiting>()
  readonly #pinging: NodeJS.Timeout
  #nextId = 1
  #questions = 0
  /** The daemon is who it is to be. */
  #isProven = false
  #lastSaidMs = performance.now()
  #end: PeerUnavailable | undefined

  constructor(target: CosignTarget, identity: CosignIdentity, events: CosignEvents) {
    this.#events = events
    const { host, credentials, options } = channelTo(target)
    this.#client = new Client(host, credentials, options)
    const { path, requestSerialize, responseDeserialize } = COSIGN_RPC
    const metadata = new Metadata()
    metadata.set('authorization', `Bearer ${target.apiKey}`)
    this.#stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata)
    this.#stream.on('data', (response) => this.#take(response))
    this.#stream.on('error', (error: ServiceError) => this.#lose(whyOf(error.code), refusalIn(error)))
    this.#stream.on('end', () => this.#lose('it closed the stream'))
    this.#pinging = setInterval(() => this.#ping(), PING_MS).unref()
    const late = setTimeout(() => this.#lose('it does not answer in time'), JOIN_WITHIN_MS).unref()
    this.joined = this.#join(target, identity).finally(() => clearTimeout(late))
    this.joined.catch((error: unknown) => this.#lose(error instanceof PeerUnavailable ? error.message : 'joining it failed'))
  }

  get isOver(): boolean {
    return this.#end !== undefined
  }

  /** A frame of party C, and what the daemon answers. Rejects with PeerUnavailable: the outcome is then unknown. */
  async frame(frame: Uint8Array): Promise<CosignReply> {
    const { frame: reply, refusal } = valueOf(await this.#ask({ case: 'frame', value: frame }), 'frame')
    return {
      frame: reply === undefined ? undefined : new Uint8Array(reply),
      refusal: refusal === undefined ? undefined : readStatus(refusal),
    }
  }

  close(): void {
    if (this.#end === undefined) this.#stream.end()
    this.#lose('it is closed')
  }

  async #join({ accessId, partyId }: CosignTarget, { publicKey, sign }: CosignIdentity): Promise<Joined> {
    const nonce = new Uint8Array(randomBytes(32))
    const hello = { delegatedAccessId: accessIdFromBytes(accessId), publicKey, nonce }
    const challenge: CosignChallenge = valueOf(await this.#ask({ case: 'hello', value: hello }), 'challenge')
    const parties = { idC: partyIdOf(publicKey), idS: partyId, accessId, nonceC: nonce, nonceS: challenge.nonce }
    const isProven = challenge.nonce.length === 32 && isCosignProven('daemon', parties, challenge.publicKey, challenge.signature)
    if (!isProven) throw new PeerUnavailable('it is not the daemon that delegated')
    this.#isProven = true
    const proof = sign(cosignStatement('delegate', parties))
    const { projectId } = valueOf(await this.#ask({ case: 'proof', value: proof }), 'joined')
    if (!/^[a-z][a-z0-9-]{0,62}$/.test(projectId)) throw new PeerUnavailable('it names no project')
    return { projectId }
  }

  #ask(content: Asked): Promise<CosignResponse['content']> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(this.#end)
      if (this.#waiting.size >= MAX_WAITING) return reject(new PeerUnavailable('too much waits for it'))
      const callId = this.#nextId
      this.#nextId = callId >= LAST_ID ? 1 : callId + 1
      this.#waiting.set(callId, { resolve, reject })
      this.#send(callId, content)
    })
  }

  #send(callId: number, content: Asked, left: () => void = () => undefined): void {
    if (this.#end !== undefined) return
    this.#lastSaidMs = performance.now()
    this.#stream.write(create(CosignRequestSchema, { callId, content }), left)
  }

  #ping(): void {
    if (performance.now() - this.#lastSaidMs < PING_MS) return
    this.#ask({ case: 'ping', value: {} }).catch(() => undefined)
  }

  #take({ callId, content }: CosignResponse): void {
    if (this.#end !== undefined) return
    if (content.case === 'question') return this.#answer(callId, content.value)
    const waiting = this.#waiting.get(callId)
    if (waiting === undefined) return this.#lose('it answered what nobody asked')
    this.#waiting.delete(callId)
    waiting.resolve(content)
  }

  #answer(callId: number, frame: Uint8Array): void {
    if (!this.#isProven) return this.#lose('it asks before it has proven who it is')
    if (this.#questions >= MAX_QUESTIONS) return this.#lose('it asks too much')
    this.#questions += 1
    // Open until the answer has left: what a daemon does not read is not piled up for it.
    const reply = (answer: { readonly frame?: Uint8Array }): void =>
      this.#send(callId, { case: 'questionAnswer', value: answer }, () => (this.#questions -= 1))
    this.#events.question(new Uint8Array(frame)).then(
      (answer) => reply(answer === undefined ? {} : { frame: answer }),
      () => reply({}),
    )
  }

  #lose(why: string, refusal?: DaemonRefusal): void {
    if (this.#end !== undefined) return
    const end = new PeerUnavailable(why)
    this.#end = end
    clearInterval(this.#pinging)
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject } of waiting) reject(end)
    this.#stream.cancel()
    this.#client.close()
    this.#events.ended(why, refusal)
  }
}

type Content = CosignResponse['content']
type ValueOf<C extends Content['case']> = Extract<Content, { case: C }>['value']

/** What does not answer what was asked ends the stream. */
const valueOf = <C extends 'challenge' | 'joined' | 'frame'>(content: Content, expected: C): ValueOf<C> => {
  if (content.case !== expected) throw new PeerUnavailable('it answered something else')
  return content.value as ValueOf<C>
}

const REASON = /^[A-Z][A-Z0-9_]{0,63}$/

const readStatus = ({ message, details }: Status): DaemonRefusal => {
  const info = details.find(({ typeUrl }) => typeUrl.endsWith('/google.rpc.ErrorInfo'))
  const told = info === undefined ? '' : reasonIn(info.value)
  return { reason: REASON.test(told) ? told : 'UNKNOWN', message: message.slice(0, MAX_TEXT) }
}

/** A refusal whose details do not decode is one all the same. */
const reasonIn = (bytes: Uint8Array): string => {
  try {
    return fromBinary(ErrorInfoSchema, bytes).reason
  } catch {
    return ''
  }
}

/** What the daemon says as it ends a stream or a call. */
export const refusalIn = ({ metadata }: ServiceError): DaemonRefusal | undefined => {
  const [bytes] = metadata?.get('grpc-status-details-bin') ?? []
  if (!(bytes instanceof Uint8Array)) return undefined
  try {
    return readStatus(fromBinary(StatusSchema, bytes))
  } catch {
    return undefined
  }
}

/** gRPC's codes; the text that comes with them is the other side's. */
const WHYS: Readonly<Record<number, string>> = {
  4: 'it does not answer in time',
  7: 'it does not let this delegate in',
  8: 'a message is too large, or too many come',
  12: 'it does not delegate',
  14: 'it cannot be reached',
  16: 'it does not know the wallet API key',
}

export const whyOf = (code: number | undefined): string => WHYS[code ?? -1] ?? 'the stream to it ended'
