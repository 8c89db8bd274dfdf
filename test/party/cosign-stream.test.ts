/** A delegate's end of Cosign against daemons that are not what they say, or say what they may not. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type CosignRequest, type CosignResponse, CosignResponseSchema } from '../../gen/countersign/v1/delegation_pb.ts'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import { cosignStatement, isCosignProven } from '../../src/engine/sealing/cosign-proof.ts'
import { PeerUnavailable } from '../../src/party/counterparty.ts'
import { COSIGN_RPC } from '../../src/party/delegate/cosign-rpc.ts'
import { CosignStream, type DaemonRefusal } from '../../src/party/delegate/cosign-stream.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { createAuthority, issue, type Issued } from '../rpc/support/certificates.ts'

type Stream = ServerDuplexStream<CosignRequest, CosignResponse>
type Identity = { readonly publicKey: Uint8Array; readonly privateKey: KeyObject; readonly id: Uint8Array }

const newIdentity = (): Identity => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }).subarray(-32))
  return { publicKey: raw, privateKey, id: partyIdOf(raw) }
}

const daemon = newIdentity()
const delegate = newIdentity()
const accessId = new Uint8Array(randomBytes(16))
const say = (stream: Stream, callId: number, content: CosignResponse['content']): void =>
  void stream.write(create(CosignResponseSchema, { callId, content }))

type Behaviour = {
  readonly as?: Identity
  readonly role?: 'daemon' | 'delegate'
  readonly project?: string
  readonly onFrame?: (stream: Stream, request: CosignRequest) => void
  readonly refuse?: DaemonRefusal
  readonly question?: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  /** With a certificate, which the delegate is to trust, or not. */
  readonly tls?: { readonly shown: Issued; readonly trusted: string; readonly host?: string }
}

const credentialsOf = (tls: Behaviour['tls']): ServerCredentials =>
  tls === undefined
    ? ServerCredentials.createInsecure()
    : ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.shown.cert), private_key: Buffer.from(tls.shown.key) }])

/** Answers hello and proof as a daemon does, but for what `behaviour` changes. Remembers what it was proven. */
const serve = async ({ as = daemon, role = 'daemon', project = 'default', onFrame, refuse, question = async (frame) => frame, tls }: Behaviour) => {
  const seen = { keys: [] as unknown[], proven: undefined as boolean | undefined }
  const handle = (stream: Stream): void => {
    seen.keys.push(...stream.metadata.get('authorization'))
    if (refuse !== undefined) {
      const metadata = new Metadata()
      const detail = anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: refuse.reason, domain: 'countersign' }))
      metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code: 7, message: refuse.message, details: [detail] }))))
      stream.emit('error', { code: status.PERMISSION_DENIED, details: refuse.message, metadata })
      return
    }
    let parties: Parameters<typeof cosignStatement>[1] | undefined
    stream.on('data', (request: CosignRequest) => {
      const { callId, content } = request
      if (content.case === 'hello') {
        const nonceS = new Uint8Array(randomBytes(32))
        parties = { idC: partyIdOf(content.value.publicKey), idS: as.id, accessId, nonceC: content.value.nonce, nonceS }
        const signature = sign(null, cosignStatement(role, parties), as.privateKey)
        say(stream, callId, { case: 'challenge', value: { $typeName: 'countersign.v1.CosignChallenge', publicKey: as.publicKey, nonce: nonceS, signature } })
      } else if (content.case === 'proof') {
        seen.proven = isCosignProven('delegate', parties!, delegate.publicKey, content.value)
        say(stream, callId, { case: 'joined', value: { $typeName: 'countersign.v1.CosignJoined', projectId: project, walletId: '' } })
      } else onFrame?.(stream, request)
    })
    stream.on('end', () => stream.end())
    stream.on('error', () => undefined)
  }
  const server = new Server()
  server.register(COSIGN_RPC.path, handle as never, COSIGN_RPC.responseSerialize, COSIGN_RPC.requestDeserialize, 'bidi')
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('0.0.0.0:0', credentialsOf(tls), (error, bound) => (error === null ? resolve(bound) : reject(error))),
  )
  onTestFinished(() => server.forceShutdown())
  const ended: { why: string; refusal: DaemonRefusal | undefined }[] = []
  const stream = new CosignStream(
    { url: `${tls === undefined ? 'http' : 'https'}://${tls?.host ?? '127.0.0.1'}:${port}`, authorities: tls && Buffer.from(tls.trusted), partyId: daemon.id, accessId, apiKey: 'cdk_test' },
    { publicKey: delegate.publicKey, sign: (statement) => new Uint8Array(sign(null, statement, delegate.privateKey)) },
    { question, ended: (why, refusal) => ended.push({ why, refusal }) },
  )
  onTestFinished(() => stream.close())
  return { stream, seen, ended }
}

const frameAnswer = (frame: Uint8Array) => ({ case: 'frame', value: { $typeName: 'countersign.v1.CosignFrame', frame } }) as const

describe('joining a daemon that delegated', () => {
  it('shows the wallet API key, proves both sides, and carries frames', async () => {
    const { stream, seen } = await serve({ onFrame: (s, { callId, content }) => content.case === 'frame' && say(s, callId, frameAnswer(content.value)) })
    expect(await stream.joined).toEqual({ projectId: 'default' })
    expect(seen).toEqual({ keys: ['Bearer cdk_test'], proven: true })
    const frames = [1, 2, 3].map((byte) => new Uint8Array(80).fill(byte))
    const replies = await Promise.all(frames.map((frame) => stream.frame(frame)))
    expect(replies.map(({ frame }) => frame)).toEqual(frames)
  })

  it.each([
    ['another daemon', { as: newIdentity() }],
    ['the pinned one, by a signature of another role', { role: 'delegate' as const }],
  ])('is given up before anything is proven to %s', async (_what, behaviour) => {
    const { stream, seen, ended } = await serve(behaviour)
    await expect(stream.joined).rejects.toThrow('it is not the daemon that delegated')
    await expect(stream.frame(new Uint8Array(80))).rejects.toThrow(PeerUnavailable)
    expect(seen.proven).toBeUndefined()
    expect(ended).toHaveLength(1)
  })

  it('ends where the daemon names no project', async () => {
    const { stream } = await serve({ project: 'Not a project' })
    await expect(stream.joined).rejects.toThrow('no project')
  })

  it('hears why it is refused, in the words of the catalogue', async () => {
    const refusal = { reason: 'DELEGATED_ACCESS_REVOKED', message: 'the access was taken back' }
    const { stream, ended } = await serve({ refuse: refusal })
    await expect(stream.joined).rejects.toThrow(PeerUnavailable)
    expect(ended).toEqual([{ why: 'it does not let this delegate in', refusal }])
  })
})

describe('over TLS', () => {
  const authority = createAuthority('home')
  const shown = issue(authority, { commonName: 'daemon' })

  it('joins under the authorities it was given', async () => {
    const { stream } = await serve({ tls: { shown, trusted: authority.cert } })
    expect(await stream.joined).toEqual({ projectId: 'default' })
  })

  it('joins under a name, too', async () => {
    const { stream } = await serve({ tls: { shown, trusted: authority.cert, host: 'localhost' } })
    expect(await stream.joined).toEqual({ projectId: 'default' })
  })

  it('shows its key to nobody with a certificate for another place', async () => {
    const { stream, seen } = await serve({ tls: { shown, trusted: authority.cert, host: '127.0.0.2' } })
    await expect(stream.joined).rejects.toThrow('it cannot be reached')
    expect(seen.keys).toEqual([])
  })

  it('shows its key to nobody else', async () => {
    const { stream, seen } = await serve({ tls: { shown, trusted: createAuthority('another').cert } })
    await expect(stream.joined).rejects.toThrow('it cannot be reached')
    expect(seen.keys).toEqual([])
  })
})

describe('a daemon that says what it may not', () => {
  const answering = async (onFrame: NonNullable<Behaviour['onFrame']>) => {
    const served = await serve({ onFrame })
    await served.stream.joined
    return served
  }

  it('is not heard any more once it answers what nobody asked', async () => {
    const { stream, ended } = await answering((s, { callId }) => say(s, callId + 1, frameAnswer(new Uint8Array(1))))
    await expect(stream.frame(new Uint8Array(80))).rejects.toThrow(PeerUnavailable)
    expect(ended).toMatchObject([{ why: 'it answered what nobody asked' }])
    expect(stream.isOver).toBe(true)
  })

  it('is not believed where it answers a frame with something else', async () => {
    const { stream } = await answering((s, { callId }) => say(s, callId, { case: 'pong', value: { $typeName: 'countersign.v1.CosignPing' } }))
    await expect(stream.frame(new Uint8Array(80))).rejects.toThrow('something else')
  })

  it('is answered its questions', async () => {
    let asked = 0
    const answers: Uint8Array[] = []
    const { stream, ended } = await answering((s, { callId, content }) => {
      if (content.case !== 'questionAnswer') {
        asked = callId
        return say(s, 7, { case: 'question', value: Uint8Array.of(7) })
      }
      answers.push(Uint8Array.from(content.value.frame ?? []))
      say(s, asked, frameAnswer(new Uint8Array(1)))
    })
    await stream.frame(new Uint8Array(80))
    expect(answers).toEqual([Uint8Array.of(7)])
    expect(ended).toEqual([])
  })

  it('is left when it asks without end', async () => {
    const { stream, ended } = await serve({
      question: () => new Promise(() => undefined),
      onFrame: (s) => {
        for (let id = 1; id <= 17; id++) say(s, id, { case: 'question', value: Uint8Array.of(id) })
      },
    })
    await stream.joined
    await expect(stream.frame(new Uint8Array(80))).rejects.toThrow('it asks too much')
    expect(ended).toMatchObject([{ why: 'it asks too much' }])
  })
})
