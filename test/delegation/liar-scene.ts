/**
 * A sidecar (vault, threads and the engine that signs with what was delegated) and daemons that delegated to it, over real
 * `Cosign` streams. What such a daemon answers, and how it speaks on its streams, a test can bend.
 */
import { randomBytes, sign } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { type CosignRequest, type CosignResponse, CosignResponseSchema } from '../../gen/countersign/v1/delegation_pb.ts'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import { delegatedSignMessage, type DelegatedSignNeeds } from '../../src/delegation/delegated-signing.ts'
import { accessIdFromBytes, type ProjectId } from '../../src/domain/ids.ts'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { decompress } from '../../src/engine/curve/secp256k1.ts'
import { decodeLinkRecord, type WalletRecord } from '../../src/engine/dkls23/records.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { cosignStatement } from '../../src/engine/sealing/cosign-proof.ts'
import { COSIGN_RPC } from '../../src/party/delegate/cosign-rpc.ts'
import { DelegateEngine, type Granting } from '../../src/party/delegate/delegate-engine.ts'
import { delegateLinkOf } from '../../src/party/delegate-links.ts'
import { systemClock } from '../../src/party/entropy.ts'
import { Link, newLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore } from '../../src/party/memory-store.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { readEd25519Payload, readSigningPayload } from '../../src/party/read-payload.ts'
import { Responder } from '../../src/party/responder.ts'
import { sealRecord, ShareSeal } from '../../src/party/share-sealing.ts'
import { Fences } from '../../src/signing/fences.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { getImportedAccess, insertImportedAccess, setImportedState } from '../../src/vault/imported-accesses.ts'
import { putImportedSecret, sealImportedSecret } from '../../src/vault/imported-secrets.ts'
import { getLink } from '../../src/vault/links.ts'
import { activateShare, getShare } from '../../src/vault/wallet-shares.ts'
import { type Bends, MaliciousS } from '../party/malicious-s.ts'
import { entropy, type InThreadLink, type TwoParties } from '../party/two-parties.ts'
import { callerOf, callOf } from '../signing/call.ts'
import { newIdentity, openOwnVault } from './granting-scene.ts'

export type Stream = ServerDuplexStream<CosignRequest, CosignResponse>
export type Answering = (frame: Uint8Array) => Promise<Uint8Array | undefined>
type Content = CosignResponse['content']

const PROJECT = 'default' as ProjectId

export const say = (stream: Stream, callId: number, content: Content): void =>
  void stream.write(create(CosignResponseSchema, { callId, content }))

export const frameContent = (frame: Uint8Array | undefined): Content => ({
  case: 'frame',
  value: { $typeName: 'countersign.v1.CosignFrame', ...(frame === undefined ? {} : { frame }) },
})

export type Liar = Awaited<ReturnType<typeof openLiar>>

/** A daemon that delegated: honest party S until a test says otherwise. */
export const openLiar = async (idG: Uint8Array) => {
  const identity = newIdentity()
  const parties = delegateLinkOf(idG, identity.idC)
  const store = createMemoryStore()
  const record = newLinkRecord(parties, ROLE_S, BigInt(Date.now()))
  await store.saveLinks([record])
  const alerts: string[] = []
  const alert = (what: string, detail: string): void => void alerts.push(`${what}: ${detail}`)
  const link = new Link(parties, record, store, systemClock, { alert, wipeSessions: () => party.wipeSessions() }) as InThreadLink
  const streams = new Set<Stream>()
  const party: Responder = new Responder({
    link, store, entropy, clock: systemClock, incarnationId: new Uint8Array(randomBytes(16)),
    readPayload: readSigningPayload, readEdPayload: readEd25519Payload, ask: async () => undefined, alert,
  })
  const honest: Answering = (frame) => party.answer(frame)
  const liar = {
    identity, parties, store, link, alerts, streams, honest,
    /** What it has heard since it was last emptied. */
    heard: [] as Uint8Array[],
    answering: honest,
    /** Says something else than the frame's answer; true when it did. */
    speaking: undefined as ((stream: Stream, request: CosignRequest) => boolean) | undefined,
    /** With S's share and material, bending what it computes. */
    evil: (bends: Bends): Answering => new MaliciousS({ linkS: link, storeS: store } as unknown as TwoParties, bends).answer,
    /** Ends a stream with one of the daemon's own reasons. */
    refuse: (stream: Stream, reason: string): void => {
      const detail = anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: 'countersign' }))
      const metadata = new Metadata()
      metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code: 7, message: 'no', details: [detail] }))))
      stream.emit('error', { code: status.PERMISSION_DENIED, details: 'no', metadata })
    },
    url: '',
    close: () => server.forceShutdown(),
  }
  const server = new Server()
  const speak = (stream: Stream): void => {
    streams.add(stream)
    stream.on('close', () => streams.delete(stream))
    stream.on('error', () => undefined)
    stream.on('end', () => stream.end())
    let accessId: Uint8Array | undefined
    stream.on('data', (request: CosignRequest) => {
      if (liar.speaking?.(stream, request) === true) return
      const { callId, content } = request
      if (content.case === 'hello') {
        accessId = Uint8Array.from(Buffer.from(content.value.delegatedAccessId.replaceAll('-', ''), 'hex'))
        const nonceS = new Uint8Array(randomBytes(32))
        const said = { idC: idG, idS: identity.idC, accessId, nonceC: content.value.nonce, nonceS }
        const signature = sign(null, cosignStatement('daemon', said), identity.privateKey)
        const { publicKey } = identity
        say(stream, callId, { case: 'challenge', value: { $typeName: 'countersign.v1.CosignChallenge', publicKey, nonce: nonceS, signature } })
      } else if (content.case === 'proof') {
        say(stream, callId, { case: 'joined', value: { $typeName: 'countersign.v1.CosignJoined', projectId: PROJECT, walletId: '' } })
      } else if (content.case === 'frame') {
        const frame = Uint8Array.from(content.value)
        liar.heard.push(frame)
        void liar.answering(frame.slice()).then((answer) => say(stream, callId, frameContent(answer)))
      }
    })
  }
  server.register(COSIGN_RPC.path, speak as never, COSIGN_RPC.responseSerialize, COSIGN_RPC.requestDeserialize, 'bidi')
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))),
  )
  liar.url = `http://127.0.0.1:${port}`
  return liar
}

/** Both halves of a key that is delegated, as a decided fork leaves them. */
const forkedHalves = (alg: Alg, linkId: Uint8Array) => {
  const group = groupOf(alg)
  const scalar = (): Uint8Array => {
    const bytes = new Uint8Array(randomBytes(32))
    bytes[31] = alg === ALG_ED25519 ? 0x0f : 0x7f
    bytes[0] = (bytes[0] ?? 0) | 1
    return bytes
  }
  const [shareC, shareS] = [scalar(), scalar()]
  const [pointC, pointS] = [group.mulBase(shareC), group.mulBase(shareS)]
  const publicKey = group.addPoints([pointC, pointS])
  if (publicKey === undefined) throw new Error('the shares cancel')
  const common = {
    alg, walletId: new Uint8Array(randomBytes(16)), wEpoch: 0, pointC, pointS, publicKey, chainCode: new Uint8Array(randomBytes(32)),
    linkId, minLinkEpoch: 0, state: 'FORKED', origin: 'fork', createdAtMs: BigInt(Date.now()), refreshCount: 0,
  } as const
  const c: WalletRecord = { ...common, role: ROLE_C, share: shareC }
  const s: WalletRecord = { ...common, role: ROLE_S, share: shareS }
  return { c, s }
}

export type Sidecar = Awaited<ReturnType<typeof openSidecar>>

/** `count`: of daemons that delegate to it. */
export const openSidecar = async (count: number) => {
  await ed25519Ready()
  const own = await openOwnVault()
  const { vault } = own
  const idG = partyIdOf(vault.signer.publicKey)
  const liars = await Promise.all(Array.from({ length: count }, () => openLiar(idG)))
  const alerts: string[] = []
  const granting: Granting[] = liars.map(({ url, identity }, i) => ({ name: `daemon-${i}`, url, partyId: identity.idC, authorities: undefined }))
  const delegateEngine = new DelegateEngine({
    vault,
    clock: systemClock,
    pool: { batch: 2, lowWater: 0, highWater: 1, ttlMs: 600_000, capacity: 16 },
    granting,
    onAlert: (what, detail) => void alerts.push(`${what}: ${detail}`),
    activated: (tx, accessId) => void setImportedState(tx, accessId, 'ACTIVE', Date.now()),
  })
  const needs: DelegatedSignNeeds = {
    vault, delegateEngine, fences: new Fences(), grants: new GrantCache(), rates: new RateLimiter(() => 0), clock: systemClock,
    onAlert: (what, detail) => void alerts.push(`${what}: ${detail}`),
  }
  const key = await vault.commit((tx) => {
    const permissions = ['wallet:sign'].map((permission) => ({ permission, narrowing: {} })) as never
    return createApiKey(tx, { project: PROJECT, name: 'k', permissions, nowMs: Date.now() }).key
  })

  /** An access of this daemon, as a delivery leaves it. */
  const delegate = async ({ parties, store, identity }: Liar, alg: Alg = ALG_SECP256K1): Promise<Uint8Array> => {
    const { c, s } = forkedHalves(alg, parties.linkId)
    const { walletId } = s
    await store.savePending({ sid: new Uint8Array(32), records: [s] })
    await store.activate(walletId, 0)
    await store.setWalletState(walletId, 'FORKED', '')
    const seal = new ShareSeal(vault.shareKey(), vault.vaultId)
    const share = sealRecord(seal, c, 1n)
    seal.close()
    const apiKey = sealImportedSecret(vault.shareKey(), vault.vaultId, { accessId: walletId, name: 'api-key', recordVersion: 1n }, Buffer.from(`cdk_${'A'.repeat(43)}`))
    await vault.commit((tx) => {
      const nowMs = Date.now()
      const isEd = alg === ALG_ED25519
      insertImportedAccess(tx, {
        accessId: walletId, project: PROJECT, grantingId: identity.idC, keyType: isEd ? 'ed25519' : 'secp256k1',
        address: `0x${randomBytes(20).toString('hex')}`, publicKey: isEd ? c.publicKey : decompress(c.publicKey), userId: '',
        state: 'PENDING', grantedMs: nowMs, createMs: nowMs,
      })
      activateShare(tx, { share, linkId: parties.linkId, state: 'FORKED', timeMs: nowMs })
      putImportedSecret(tx, apiKey)
    })
    return walletId
  }

  const signAs = (accessId: Uint8Array, text = 'x', deadlineMs = Date.now() + 20_000) => {
    const call = callOf(callerOf(key, 'wallet:sign'), 'DelegationService/DelegatedSignMessage', { deadlineMs })
    const content = { kind: 'text', text } as never
    return delegatedSignMessage(needs, call, { access: accessIdFromBytes(accessId), content, isFormatted: false })
  }

  /** Joined, and its first share replaced. */
  const ready = async (accessId: Uint8Array): Promise<void> => {
    const access = getImportedAccess(vault.read, accessId)
    if (access === undefined) throw new Error('no such access')
    await delegateEngine.ready(access, AbortSignal.timeout(20_000))
  }

  /** How it stands at the sidecar, by its files. */
  const stored = ({ parties }: Liar, accessId: Uint8Array) => {
    const row = getLink(vault.read, parties.linkId)
    const link = row && decodeLinkRecord(row.control)
    const share = getShare(vault.read, accessId)
    return {
      link: link?.state ?? 'NONE',
      strikes: link?.strikeAtMs.filter((at) => at !== 0n).length ?? 0,
      access: getImportedAccess(vault.read, accessId)?.state,
      share: share?.state,
      wEpoch: share?.wEpoch,
    }
  }

  const close = async (): Promise<void> => {
    await delegateEngine.stop()
    for (const liar of liars) liar.close()
    await vault.close()
    own.remove()
  }
  return { vault, liars, alerts, needs, delegateEngine, delegate, signAs, ready, stored, close }
}
