/** The listener of a cosigner on its own host: mutual TLS, one daemon, and the cosigner's own operator. */
import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import {
  logVerbosity,
  type handleUnaryCall,
  Server,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js'
import {
  CosignerFreezeSchema,
  CosignerServiceCreateBackupResponseSchema,
  CosignerServiceFreezeResponseSchema,
  CosignerServiceRotateVaultKeyResponseSchema,
  CosignerServiceUnfreezeResponseSchema,
  GetInfoResponseSchema,
} from '../../../gen/countersign/v1/cosigner_pb.ts'
import { VaultParty } from '../../../gen/countersign/v1/admin_pb.ts'
import type { HealthCheckRequest } from '../../../gen/grpc/health/v1/health_pb.ts'
import { failure, invalidField, isFailure } from '../../domain/failure.ts'
import type { CosignerFreeze } from '../cosigner-freezes.ts'
import { Lock } from '../lock.ts'
import { asFailure } from '../party-failure.ts'
import { hexOf } from '../presignature-map.ts'
import { partyOf, pinnedServer } from './channel-credentials.ts'
import { CosignerHealth, type Watch } from './cosigner-health.ts'
import type { CosignerHost } from './cosigner-host.ts'
import { COSIGNER_RPCS, HEALTH_RPCS, KEEP_ALIVE, widenWindows } from './cosigner-service.ts'
import { DaemonSession, type DaemonStream } from './daemon-session.ts'
import type { LostMaterial } from '../cosigner-links.ts'
import { readNote, readSubject, scopeToWire } from './freeze-words.ts'
import type { ChannelIdentity } from './identity-files.ts'
import { ParkedDaemon } from './parked-daemon.ts'
import type { PairedParty } from './pairing.ts'

export type CosignerListenerOptions = {
  readonly identity: ChannelIdentity
  /** The daemon; undefined before the pairing: then only the operator gets in. */
  readonly daemon: PairedParty | undefined
  readonly listen: { readonly host: string; readonly port: number }
  readonly host: CosignerHost
  readonly version: string
  readonly log: (what: 'joined' | 'left' | 'misspoke', detail: string) => void
  /** How old a stream gets; unless given, as old as every other. */
  readonly maxStreamMs?: number
  /** How long what was made with a daemon outlives its stream. */
  readonly keepMs?: number
}

/** How long an earlier stream has to show that it is there. */
const PROOF_MS = 2_000
const FREEZES_SHOWN = 100
const MAX_STREAM_MS = 12 * 3_600_000

type Unary = handleUnaryCall<unknown, unknown>
type Caller = 'daemon' | 'operator'
type Named = { readonly getAuthContext: () => { readonly sslPeerCertificate?: { readonly raw?: Buffer } } }

export class CosignerListener {
  readonly #options: CosignerListenerOptions
  readonly #server: Server
  readonly #turns = new Lock()
  readonly #parked: ParkedDaemon
  #session: DaemonSession | undefined
  readonly #health = new CosignerHealth()

  constructor(options: CosignerListenerOptions) {
    // It writes to stderr by itself; what it has to say arrives here as errors.
    setLogVerbosity(logVerbosity.NONE)
    this.#options = options
    this.#parked = new ParkedDaemon(options.host, options.keepMs)
    this.#server = new Server({ ...KEEP_ALIVE, 'grpc-node.max_session_memory': 32 })
    this.#server.addService(COSIGNER_RPCS, {
      open: (stream: DaemonStream) => void this.#open(stream),
      getInfo: this.#unary(() => this.#info()),
      freeze: this.#unary((caller, request) => this.#freeze(caller, request as never)),
      unfreeze: this.#unary((caller, request) => this.#unfreeze(caller, request as never)),
      createBackup: this.#ofOperator(() => this.#backup()),
      rotateVaultKey: this.#ofOperator(() => this.#rotateKey()),
    })
    this.#server.addService(HEALTH_RPCS, {
      check: this.#unary(async (_, request) => {
        const found = this.#health.check(request as HealthCheckRequest)
        if (found === undefined) throw { code: status.NOT_FOUND, details: 'unknown service' }
        return found
      }),
      watch: (stream: Watch) => this.#health.watch(stream),
    })
  }

  /** The address that it listens at. @throws LISTEN_FAILED */
  listen(): Promise<string> {
    const { identity, listen } = this.#options
    const address = listen.host.includes(':') ? `[${listen.host}]` : listen.host
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`${address}:${listen.port}`, pinnedServer(identity, this.#pinned), (error, port) => {
        if (error !== null) return reject(failure('LISTEN_FAILED', { address: `${address}:${listen.port}`, why: error.message }))
        widenWindows(this.#server)
        resolve(`${address}:${port}`)
      })
    })
  }

  /** What the cosigner's thread says to its daemon. */
  get session(): DaemonSession | undefined {
    return this.#session
  }

  /** The cosigner's thread has lost something. A daemon that is not there to hear of it does not go on with the rest. */
  lost(lost: LostMaterial): void {
    if (this.#session?.isJoined === true) this.#session.lost(lost)
    else void this.#parked.clear()
  }

  setAvailable(isAvailable: boolean): void {
    this.#health.set(isAvailable)
    if (!isAvailable) this.#session?.close(status.UNAVAILABLE, 'the cosigner is not available')
  }

  async close(): Promise<void> {
    this.#health.end()
    this.#session?.close(status.UNAVAILABLE, 'the cosigner stops')
    const late = setTimeout(() => this.#server.forceShutdown(), 1_000)
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()))
    clearTimeout(late)
  }

  get #pinned(): readonly PairedParty[] {
    const { daemon, identity } = this.#options
    return daemon === undefined ? [identity.own] : [identity.own, daemon]
  }

  #callerOf(call: Named): Caller | undefined {
    const party = partyOf(call.getAuthContext().sslPeerCertificate as never, this.#pinned)
    if (party === undefined) return undefined
    return party === this.#options.identity.own ? 'operator' : 'daemon'
  }

  #unary(answer: (caller: Caller, request: unknown) => Promise<unknown>): Unary {
    return (call, done) => {
      const caller = this.#callerOf(call)
      if (caller === undefined) return done({ code: status.UNAUTHENTICATED, details: 'not a party that is known' })
      answer(caller, call.request).then(
        (response) => done(null, response),
        (error: unknown) => done(grpcError(error)),
      )
    }
  }

  /** One at a time: the one before has its say first. */
  #open(stream: DaemonStream): Promise<void> {
    stream.on('error', () => undefined)
    const refuse = (code: status, details: string): void => void stream.emit('error', { code, details })
    const { daemon, host, log, maxStreamMs = MAX_STREAM_MS } = this.#options
    if (daemon === undefined || this.#callerOf(stream) !== 'daemon') {
      refuse(status.PERMISSION_DENIED, 'for the daemon that it is paired with')
      return Promise.resolve()
    }
    return this.#turns.run(async () => {
      const former = this.#session
      if (former !== undefined) {
        if (await former.isAlive(PROOF_MS)) return refuse(status.ALREADY_EXISTS, 'the daemon has a stream that answers')
        former.close(status.ABORTED, 'it did not answer, and another one came')
        await former.ended
        await this.#leave(former)
      }
      if (stream.cancelled) return
      const onMisspoke = (what: string): void => log('misspoke', what)
      const { partyId: daemonId } = daemon
      const session = new DaemonSession(stream, { host, parked: this.#parked, daemonId, maxAgeMs: maxStreamMs, onMisspoke })
      this.#session = session
      log('joined', stream.getPeer())
      void session.ended.then(() => this.#leave(session))
    })
  }

  /** What was made with a daemon that left for good goes from memory; else it waits for that daemon for a while. */
  async #leave(session: DaemonSession): Promise<void> {
    if (this.#session !== session) return
    this.#session = undefined
    this.#options.log('left', '')
    const { resumable } = session
    if (resumable !== undefined) this.#parked.keep(resumable.cosigner, resumable.token)
    else if (session.wasPaired) await this.#options.host.renew()
  }

  async #info() {
    const { host, daemon, version } = this.#options
    const { calls, opened } = await host.ready()
    const { freezes, head } = await calls.call('standing', { limit: FREEZES_SHOWN }, { timeoutMs: 10_000 })
    return create(GetInfoResponseSchema, {
      cosignerId: hexOf(opened.ownId),
      daemonId: daemon === undefined ? '' : hexOf(daemon.partyId),
      connected: this.#session?.isJoined === true,
      version,
      auditSequence: head.sequence,
      freezes: freezes.map(freezeView),
    })
  }

  async #freeze(caller: Caller, request: { readonly scope: number; readonly id: string; readonly note: string }) {
    const { host } = this.#options
    const subject = requireSubject(request)
    const { calls } = await host.ready()
    const actor = { kind: caller, id: '' }
    const freeze = { ...subject, reason: readNote(request.note), actor, createMs: host.nowMs }
    const method = caller === 'operator' ? 'freezeAsOperator' : 'freeze'
    await calls.call(method, { freeze }, { timeoutMs: 10_000 })
    const view = freezeView({ ...freeze, byOperator: caller === 'operator' })
    return create(CosignerServiceFreezeResponseSchema, { freeze: view })
  }

  async #unfreeze(caller: Caller, request: { readonly scope: number; readonly id: string }) {
    const { host } = this.#options
    const subject = requireSubject(request)
    const { calls } = await host.ready()
    const method = caller === 'operator' ? 'unfreezeAsOperator' : 'unfreeze'
    await calls.call(method, { subject, timeMs: host.nowMs }, { timeoutMs: 10_000 })
    return create(CosignerServiceUnfreezeResponseSchema, {})
  }

  #ofOperator(answer: () => Promise<unknown>): Unary {
    return this.#unary(async (caller) => {
      if (caller !== 'operator') throw { code: status.PERMISSION_DENIED, details: "for the cosigner's own operator" }
      return answer()
    })
  }

  async #backup() {
    const { fileName, bytes, auditSequence, createMs } = await this.#options.host.backup()
    const made = { fileName, sizeBytes: BigInt(bytes), auditSequence, createTime: timestampFromMs(createMs) }
    return create(CosignerServiceCreateBackupResponseSchema, { backup: { ...made, vault: VaultParty.COSIGNER } })
  }

  async #rotateKey() {
    const { provider, shares } = await this.#options.host.rotateKey()
    return create(CosignerServiceRotateVaultKeyResponseSchema, { provider, shareCount: BigInt(shares) })
  }
}

const freezeView = ({ scope, id, reason, byOperator, createMs }: CosignerFreeze) =>
  create(CosignerFreezeSchema, { scope: scopeToWire(scope), id, note: reason, byOperator, createTime: timestampFromMs(createMs) })

const requireSubject = (request: { readonly scope: number; readonly id: string }) => {
  const subject = readSubject(request)
  if (subject !== undefined) return subject
  throw invalidField('id', 'names a wallet, a project or everything')
}

const CODES: Readonly<Record<string, status>> = {
  FREEZE_NOT_FOUND: status.NOT_FOUND,
  INVALID_REQUEST: status.INVALID_ARGUMENT,
  BACKUP_NOT_CONFIGURED: status.FAILED_PRECONDITION,
}

/** What is refused to a caller alone, in gRPC's own words. */
const isGrpc = (error: unknown): error is { code: status; details: string } =>
  typeof (error as { code?: unknown }).code === 'number' && !(error instanceof Error)

const grpcError = (error: unknown): { code: status; details: string } => {
  if (isGrpc(error)) return error
  const known = asFailure(error)
  if (!isFailure(known)) return { code: status.INTERNAL, details: 'internal error' }
  return { code: CODES[known.reason] ?? status.UNAVAILABLE, details: known.reason }
}
