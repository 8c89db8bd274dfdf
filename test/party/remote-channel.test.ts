/** The channel to a cosigner on a host of its own: who gets in, what may be said there, and what ends it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { create } from '@bufbuild/protobuf'
import {
  ChannelCredentials,
  Client,
  type ClientDuplexStream,
  Server,
  type ServerDuplexStream,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type OpenRequest,
  OpenRequestSchema,
  type OpenResponse,
  OpenResponseSchema,
} from '../../gen/countersign/v1/cosigner_pb.ts'
import { HealthCheckRequestSchema, type HealthCheckResponse } from '../../gen/grpc/health/v1/health_pb.ts'
import { failure } from '../../src/domain/failure.ts'
import { systemClock } from '../../src/party/entropy.ts'
import { refusalOf } from '../../src/party/remote/answered-calls.ts'
import { certificatePem } from '../../src/party/remote/certificate.ts'
import { pinnedClient, pinnedServer } from '../../src/party/remote/channel-credentials.ts'
import { CosignerCaller } from '../../src/party/remote/cosigner-caller.ts'
import { CosignerHost } from '../../src/party/remote/cosigner-host.ts'
import { CosignerListener } from '../../src/party/remote/cosigner-listener.ts'
import { CLIENT_OPTIONS, COSIGNER_RPCS, HEALTH_RPCS } from '../../src/party/remote/cosigner-service.ts'
import { CosignerStream } from '../../src/party/remote/cosigner-stream.ts'
import { type ChannelIdentity, loadIdentity, makeIdentity } from '../../src/party/remote/identity-files.ts'
import { parsePairing } from '../../src/party/remote/pairing.ts'
import { createCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { createDaemonVault } from '../../src/vault/daemon-vault.ts'
import { createRootKeyFile, createRootKeyProvider } from '../../src/vault/root-key-provider.ts'

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

let base: string
let host: CosignerHost
let listener: CosignerListener
let address: string
let cosigner: ChannelIdentity
let daemon: ChannelIdentity
let stranger: ChannelIdentity
const misspoken: string[] = []

const keyAt = (name: string) => {
  const path = join(base, name)
  createRootKeyFile(path)
  return `file:${path}`
}

const daemonIdentity = async (name: string): Promise<ChannelIdentity> => {
  const options = { passphrase: undefined, credentialsDirectory: undefined }
  const provider = createRootKeyProvider(keyAt(`${name}.key`), options)
  await using vault = await createDaemonVault({ path: join(base, `${name}.db`), provider, nowMs: Date.now() })
  makeIdentity(base, 'daemon', vault.signer)
  return loadIdentity(base, 'daemon') as ChannelIdentity
}

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'countersign-channel-'))
  const rootKey = keyAt('cosigner.key')
  const path = join(base, 'cosigner.db')
  const options = { passphrase: undefined, credentialsDirectory: undefined }
  const vault = await createCosignerVault({ path, provider: createRootKeyProvider(rootKey, options), nowMs: Date.now() })
  makeIdentity(base, 'cosigner', vault.signer)
  cosigner = loadIdentity(base, 'cosigner') as ChannelIdentity
  await vault.close()
  daemon = await daemonIdentity('daemon')
  stranger = await daemonIdentity('stranger')
  const data = { path, rootKey, passphrase: undefined, credentialsDirectory: undefined, allowExport: false, allowImport: false, rules: {} }
  const ignore = (): void => undefined
  host = new CosignerHost(data, systemClock, {
    alert: ignore,
    lost: ignore,
    question: async (frame) => listener.session?.question(frame),
    available: ignore,
  })
  const log = (what: string, detail: string): void => void (what === 'misspoke' && misspoken.push(detail))
  const listen = { host: '127.0.0.1', port: 0 }
  listener = new CosignerListener({ identity: cosigner, daemon: daemon.own, listen, host, version: 'test', log })
  address = await listener.listen()
})
afterAll(async () => {
  await listener.close()
  await host.stop()
  rmSync(base, { recursive: true, force: true })
})

const open: (() => void)[] = []
afterEach(async () => {
  for (const close of open.splice(0)) close()
  await vi.waitFor(() => expect(listener.session).toBeUndefined(), 30_000)
})

const as = ({ keyPem, own }: ChannelIdentity, peerCertificate = cosigner.own.certificate) => ({
  keyPem,
  certificate: own.certificate,
  peerCertificate,
})

type Raw = { readonly stream: ClientDuplexStream<OpenRequest, OpenResponse>; readonly ended: Promise<ServiceError> }

/** A stream that says whatever the test says, and answers nothing by itself. */
const rawStream = (credentials: ChannelCredentials): Raw => {
  const client = new Client(address, credentials, { ...CLIENT_OPTIONS, 'grpc.max_send_message_length': -1 })
  const { path, requestSerialize, responseDeserialize } = COSIGNER_RPCS.open
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
  const ended = new Promise<ServiceError>((resolve) => stream.once('error', resolve))
  open.push(() => {
    stream.on('error', () => undefined)
    stream.cancel()
    client.close()
  })
  return { stream, ended }
}
const rawAs = (identity: ChannelIdentity): Raw => rawStream(pinnedClient(as(identity)))

const say = ({ stream }: Raw, callId: number, content: Parameters<typeof create<typeof OpenRequestSchema>>[1]): boolean =>
  stream.write(create(OpenRequestSchema, { callId, ...content }))
const heard = ({ stream }: Raw): Promise<OpenResponse> => new Promise((resolve) => stream.once('data', resolve))

const OPEN = { content: { case: 'open', value: {} } } as const
const pairAs = ({ own }: ChannelIdentity) => ({ content: { case: 'pair' as const, value: { partyId: own.partyId, shards: [0] } } })

const joined = async (identity = daemon): Promise<{ stream: CosignerStream; ended: Promise<string> }> => {
  const { promise: ended, resolve } = Promise.withResolvers<string>()
  const events = {
    question: async () => undefined,
    alert: () => undefined,
    lost: () => undefined,
    rotate: () => undefined,
    ended: (why: Error) => resolve(why.message),
  }
  const stream = new CosignerStream(address, as(identity), events)
  open.push(() => stream.close())
  await stream.call('open', undefined)
  await stream.pair({ idC: identity.own.partyId, shards: [0, 1] }, new Uint8Array())
  return { stream, ended }
}

describe('the handshake', () => {
  const refused = async (credentials: ChannelCredentials): Promise<void> => {
    const { ended } = rawStream(credentials)
    expect((await ended).code).toBe(status.UNAVAILABLE)
    expect(listener.session).toBeUndefined()
  }

  it('refuses who shows no certificate', () =>
    refused(ChannelCredentials.createSsl(Buffer.from(certificatePem(cosigner.own.certificate)))))

  it('refuses a certificate that is not pinned, of a daemon too', () => refused(pinnedClient(as(stranger))))

  it('is refused by a daemon that pinned another cosigner', () =>
    refused(pinnedClient(as(daemon, stranger.own.certificate))))

  it('is of TLS 1.3 alone', async () => {
    const { own, keyPem } = daemon
    const [hostName, port] = address.split(':') as [string, string]
    const error = await new Promise((resolve) => {
      const socket = connectTls({
        host: hostName,
        port: Number(port),
        cert: certificatePem(own.certificate),
        key: keyPem,
        ca: certificatePem(cosigner.own.certificate),
        maxVersion: 'TLSv1.2',
        checkServerIdentity: () => undefined,
      })
      socket.once('secureConnect', () => resolve(undefined))
      socket.once('error', resolve)
    })
    expect(error).toMatchObject({ code: expect.stringMatching(/PROTOCOL_VERSION|ECONNRESET/) as string })
  })
})

describe('a stream', () => {
  it('is for the daemon: the cosigner’s own operator opens none', async () => {
    expect((await rawAs(cosigner).ended).code).toBe(status.PERMISSION_DENIED)
  })

  it('ends where the daemon says what it may not', async () => {
    const cases: [string, (raw: Raw) => unknown][] = [
      ['a call before it is paired', (raw) => say(raw, 1, { content: { case: 'getStatus', value: {} } })],
      ['an id that is not of its certificate', async (raw) => {
        say(raw, 1, OPEN)
        await heard(raw)
        say(raw, 2, pairAs(stranger))
      }],
      ['a call that there is not', (raw) => say(raw, 1, {})],
      ['a freeze of nothing', async (raw) => {
        say(raw, 1, OPEN)
        await heard(raw)
        say(raw, 2, pairAs(daemon))
        await heard(raw)
        say(raw, 3, { content: { case: 'freeze', value: { scope: 4, id: 'operator:' } } })
      }],
      ['a wallet id of another length', async (raw) => {
        say(raw, 1, OPEN)
        await heard(raw)
        say(raw, 2, pairAs(daemon))
        await heard(raw)
        say(raw, 3, { content: { case: 'stopWallet', value: new Uint8Array(17) } })
      }],
    ]
    for (const [name, speak] of cases) {
      const before = misspoken.length
      const raw = rawAs(daemon)
      await speak(raw)
      expect([name, (await raw.ended).code]).toEqual([name, status.INVALID_ARGUMENT])
      expect([name, misspoken.length]).toEqual([name, before + 1])
      await vi.waitFor(() => expect(listener.session).toBeUndefined(), 30_000)
    }
  })

  it('pairs once, also where several pairings wait for the cosigner to open', async () => {
    const former = await joined()
    const renew = vi.spyOn(host, 'renew')
    await former.stream.leave()
    former.stream.close()
    await vi.waitFor(() => expect(renew).toHaveBeenCalled(), { timeout: 10_000, interval: 1 })
    const raw = rawAs(daemon)
    say(raw, 1, OPEN)
    for (const callId of [2, 3, 4]) say(raw, callId, pairAs(daemon))
    expect((await raw.ended).code).toBe(status.INVALID_ARGUMENT)
    renew.mockRestore()
  })

  it('that is gone while the cosigner opens leaves it unpaired', async () => {
    const former = await joined()
    const { calls } = await host.ready()
    let release = (): void => undefined
    const ready = vi.spyOn(host, 'ready')
    await former.stream.leave()
    former.stream.close()
    await vi.waitFor(async () => expect((await host.ready()).calls).not.toBe(calls), 30_000)
    const opened = await host.ready()
    const paired = vi.spyOn(opened.calls, 'call')
    const gate = new Promise<void>((resolve) => (release = resolve))
    ready.mockImplementation(() => gate.then(() => opened))
    const raw = rawAs(daemon)
    say(raw, 1, OPEN)
    say(raw, 2, pairAs(daemon))
    await vi.waitFor(() => expect(ready.mock.calls.length).toBeGreaterThanOrEqual(4), 30_000)
    raw.stream.on('error', () => undefined)
    raw.stream.cancel()
    await vi.waitFor(() => expect(listener.session).toBeUndefined(), 30_000)
    release()
    await gate
    ready.mockRestore()
    await (await joined()).stream.call('status', undefined)
    expect(paired.mock.calls.filter(([method]) => method === 'pair')).toHaveLength(1)
    paired.mockRestore()
  })

  it('ends at a message over 4 MiB, and the next one is served', async () => {
    const raw = rawAs(daemon)
    say(raw, 1, { content: { case: 'frame', value: new Uint8Array(5 * 1024 * 1024) } })
    expect((await raw.ended).code).toBe(status.RESOURCE_EXHAUSTED)
    const { stream } = await joined()
    expect((await stream.call('status', undefined)).links).toHaveLength(2)
  })

  it('survives frames that are none, and answers what the protocol says', async () => {
    const { stream } = await joined()
    const ERROR_FRAME = 0x7f
    for (const length of [0, 1, 63, 64, 4_096]) {
      const answer = await stream.frame(new Uint8Array(length).fill(0x43)).catch((error: unknown) => error)
      if (answer instanceof Uint8Array) expect(answer[5]).toBe(ERROR_FRAME)
      else expect(answer === undefined || answer instanceof Error).toBe(true)
    }
    expect((await stream.call('status', undefined)).links).toHaveLength(2)
  })

  it('is the only one while it answers, and gives way when it does not', async () => {
    const first = await joined()
    const second = rawAs(daemon)
    expect((await second.ended).code).toBe(status.ALREADY_EXISTS)
    await first.stream.call('status', undefined)
    first.stream.close()
    await vi.waitFor(() => expect(listener.session).toBeUndefined(), 30_000)
    const mute = rawAs(daemon)
    say(mute, 1, OPEN)
    await heard(mute)
    const { stream } = await joined()
    expect((await mute.ended).code).toBe(status.ABORTED)
    expect((await stream.call('status', undefined)).links).toHaveLength(2)
  })
})

describe('freezes', () => {
  it('of the operator are not for the daemon to take back, and the other way round', async () => {
    using operator = new CosignerCaller(address, as(cosigner))
    using other = new CosignerCaller(address, as(daemon))
    const everything = { scope: 'all', id: '' } as const
    const frozen = async () => (await operator.info()).freezes.map(({ byOperator }) => byOperator)
    await operator.freeze(everything, 'by hand')
    await expect(other.unfreeze(everything)).rejects.toMatchObject({ reason: 'FREEZE_NOT_FOUND' })
    const { stream } = await joined()
    await expect(stream.call('unfreeze', { subject: everything, timeMs: 0 })).rejects.toMatchObject({ reason: 'FREEZE_NOT_FOUND' })
    await other.freeze(everything, 'by the daemon')
    await other.freeze(everything, 'once more')
    expect((await operator.info()).freezes.map(({ note }) => note).sort()).toEqual(['by hand', 'by the daemon'])
    expect(new Set(await frozen())).toEqual(new Set([false, true]))
    await operator.unfreeze(everything)
    expect(await frozen()).toEqual([false])
    await other.unfreeze(everything)
    expect(await frozen()).toEqual([])
  })
})

describe('what only the operator may do', () => {
  it('is refused to the daemon, and is refused for what is missing to the operator', async () => {
    using operator = new CosignerCaller(address, as(cosigner))
    using other = new CosignerCaller(address, as(daemon))
    await expect(other.backup()).rejects.toMatchObject({ code: status.PERMISSION_DENIED })
    await expect(other.rotateKey()).rejects.toMatchObject({ code: status.PERMISSION_DENIED })
    await expect(operator.backup()).rejects.toMatchObject({ reason: 'BACKUP_NOT_CONFIGURED' })
  })
})

describe('health', () => {
  it('is told once it changes, and of what is not served that it is unknown', async () => {
    const client = new Client(address, pinnedClient(as(daemon)), CLIENT_OPTIONS)
    open.push(() => client.close())
    const { path, requestSerialize, responseDeserialize } = HEALTH_RPCS.watch
    const watch = (service: string) => {
      const seen: number[] = []
      const request = create(HealthCheckRequestSchema, { service })
      const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)
      stream.on('data', (answer: HealthCheckResponse) => void seen.push(answer.status))
      stream.on('error', () => undefined)
      open.push(() => stream.cancel())
      return seen
    }
    const [own, unknown] = [watch('countersign.v1.CosignerService'), watch('no.such.Service')]
    await vi.waitFor(() => expect([own, unknown]).toEqual([[1], [3]]), 30_000)
    listener.setAvailable(false)
    listener.setAvailable(false)
    listener.setAvailable(true)
    await vi.waitFor(() => expect([own, unknown]).toEqual([[1, 2, 1], [3]]), 30_000)
  })
})

describe('a caller', () => {
  it('goes to the cosigner itself, whatever proxy the environment names', async () => {
    vi.stubEnv('http_proxy', 'http://127.0.0.1:1')
    vi.stubEnv('grpc_proxy', 'http://127.0.0.1:1')
    try {
      using operator = new CosignerCaller(address, as(cosigner))
      expect((await operator.info()).version).toBe('test')
    } finally {
      vi.unstubAllEnvs()
    }
  })
})

describe('a cosigner that lies', () => {
  const NOTICES = 20_000
  const lying = async (content: OpenResponse['content']) => {
    const server = new Server()
    const speak = (stream: ServerDuplexStream<OpenRequest, OpenResponse>): void => {
      stream.on('error', () => undefined)
      for (let n = 0; n < NOTICES; n++) stream.write(create(OpenResponseSchema, { callId: 1, content }))
      stream.write(create(OpenResponseSchema, { callId: 1, content: { case: 'done', value: {} } }))
    }
    server.addService({ open: COSIGNER_RPCS.open }, { open: speak })
    const port = await new Promise<number>((resolve, reject) => {
      const credentials = pinnedServer(cosigner, [daemon.own])
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)))
    })
    open.push(() => server.forceShutdown())
    const seen = { alert: 0, lost: 0 }
    const ended = new Promise<string>((resolve) => {
      const stream = new CosignerStream(`127.0.0.1:${port}`, as(daemon), {
        question: async () => undefined,
        alert: () => void (seen.alert += 1),
        lost: () => void (seen.lost += 1),
        rotate: () => undefined,
        ended: (why) => resolve(why.message),
      })
      open.push(() => stream.close())
    })
    return { seen, ended }
  }

  it('does not fill the daemon with alerts', async () => {
    const { seen, ended } = await lying({ case: 'alert', value: { what: 'x', detail: 'y' } as never })
    await ended
    expect(seen.alert).toBeLessThan(2_000)
  })

  it('does not fill the daemon with losses', async () => {
    const { seen, ended } = await lying({ case: 'lost', value: { shard: 0, epoch: 1 } as never })
    await ended
    expect(seen.lost).toBeLessThan(2_000)
  })
})

describe('a refusal', () => {
  it('tells a daemon nothing of the host', () => {
    const path = '/var/lib/secret-place/root.key'
    const told = [failure('ROOT_KEY_UNREADABLE', { provider: path, why: path }), failure('VAULT_MISSING', { path })]
    for (const refusal of told) expect(JSON.stringify(refusalOf(refusal))).not.toContain('secret-place')
    const { value } = refusalOf(failure('FREEZE_NOT_FOUND', { scope: 'all', id: '' }))
    expect(value).toMatchObject({ reason: 'FREEZE_NOT_FOUND', facts: { scope: 'all', id: '' } })
  })
})

describe('a pairing text', () => {
  it('is one only whole, and vouched for by the party that it names', () => {
    const text = readFileSync(join(base, 'channel.pair'), 'utf8').trim()
    expect(parsePairing(` ${text}\n`)?.role).toBe('daemon')
    const bytes = Buffer.from(text.slice(8), 'base64url')
    for (const at of [0, 1, 40, 97, bytes.length - 1]) {
      const bent = Buffer.from(bytes)
      bent[at] = (bent[at] as number) ^ 1
      expect([at, parsePairing(`cspair1.${bent.toString('base64url')}`)]).toEqual([at, undefined])
    }
    const longer = Buffer.concat([bytes, Buffer.from([0])])
    for (const wrong of ['', 'cspair1.', text.slice(8), `${text}A`, `cspair1.${longer.toString('base64url')}`]) {
      expect(parsePairing(wrong)).toBeUndefined()
    }
  })
})
