/** What passes between the two parties of a test goes over mutual TLS and the real ends of the cosigner's stream. */
import { Server } from '@grpc/grpc-js'
import { pinnedServer } from '../../src/party/remote/channel-credentials.ts'
import type { CosignerHost } from '../../src/party/remote/cosigner-host.ts'
import { COSIGNER_RPCS } from '../../src/party/remote/cosigner-service.ts'
import { CosignerStream } from '../../src/party/remote/cosigner-stream.ts'
import { DaemonSession, type DaemonStream } from '../../src/party/remote/daemon-session.ts'
import { ParkedDaemon } from '../../src/party/remote/parked-daemon.ts'
import type { pairedVaults } from './remote-scene.ts'
import type { TwoParties } from './two-parties.ts'

export type Answering = (frame: Uint8Array) => Promise<Uint8Array | undefined>

/** `parties.answering`: who sits at the cosigner's end; the honest S at first. */
export const wiredParties = async (two: TwoParties, { cosigner, daemon }: Awaited<ReturnType<typeof pairedVaults>>) => {
  const honest: Answering = two.s.answer.bind(two.s)
  const parties = { answering: honest, misspoke: [] as string[], ended: [] as string[] }
  const head = { sequence: 1n, hash: new Uint8Array(32) }
  const calls = { open: { ownId: cosigner.own.partyId, publicKey: cosigner.own.auditKey, head }, pair: { head: undefined } }
  const hosted = {
    calls: { call: async (method: keyof typeof calls) => calls[method] },
    frames: { call: async (_: 'frame', frame: Uint8Array) => parties.answering(frame) },
  }
  const host = { ready: async () => hosted, renew: async () => undefined, nowMs: 0 } as unknown as CosignerHost
  const server = new Server()
  const serve = (stream: DaemonStream): void => {
    stream.on('error', () => undefined)
    const onMisspoke = (what: string): void => void parties.misspoke.push(what)
    const needs = { host, parked: new ParkedDaemon(host), daemonId: daemon.own.partyId, maxAgeMs: 3_600_000, onMisspoke }
    void new DaemonSession(stream, needs)
  }
  server.addService({ open: COSIGNER_RPCS.open }, { open: serve })
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = pinnedServer(cosigner, [daemon.own])
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)))
  })
  const identity = { keyPem: daemon.keyPem, certificate: daemon.own.certificate, peerCertificate: cosigner.own.certificate }
  const ignore = (): void => undefined
  const stream = new CosignerStream(`127.0.0.1:${port}`, identity, {
    question: (frame) => two.c.answerQuestion(frame),
    alert: ignore,
    lost: ignore,
    rotate: ignore,
    ended: (why) => void parties.ended.push(why.message),
  })
  await stream.call('open', undefined)
  await stream.pair({ idC: daemon.own.partyId, shards: [0] }, new Uint8Array())
  two.s.answer = (frame) => stream.frame(frame)
  const close = (): void => {
    stream.close()
    server.forceShutdown()
  }
  return Object.assign(parties, { honest, close })
}
export type Wired = Awaited<ReturnType<typeof wiredParties>>
