import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecureClientSessionOptions } from 'node:http2'
import { connect as tlsConnect } from 'node:tls'
import type { PeerCertificate } from 'node:tls'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { certificateIdentity } from '../../src/rpc/peer.ts'
import type { Issued } from './support/certificates.ts'
import { createAuthority, issue, selfSigned } from './support/certificates.ts'
import { infoOf, reasonOf, refusalOf } from './support/refusal.ts'
import type { TestEdge } from './support/test-edge.ts'
import { apiKeyId, openTestEdge, testKey } from './support/test-edge.ts'

const SPIFFE = 'spiffe://example.org/trading'
const key = testKey(1, ['wallet:read'])
const authority = createAuthority('our authority')
const otherAuthority = createAuthority('our authority')

const PORTS = ['grpc', 'connect'] as const
type Port = (typeof PORTS)[number]

let directory: string
let open: TestEdge
const file = (name: string) => join(directory, name)

const writeServer = (issued: Issued): void => {
  writeFileSync(file('key.pem'), issued.key)
  writeFileSync(file('cert.pem'), issued.cert)
}

const clientOf = (port: Port, tls: SecureClientSessionOptions, secret?: string) => {
  const address = port === 'grpc' ? open.edge.grpcAddress : open.edge.connectAddress
  const options = {
    baseUrl: `https://${address}`,
    nodeOptions: { ca: authority.cert, ...tls },
    interceptors: [
      (next: (request: never) => Promise<never>) => (request: { readonly header: Headers }) => {
        if (secret !== undefined) request.header.set('authorization', `Bearer ${secret}`)
        return next(request as never)
      },
    ] as never,
  }
  const transport =
    port === 'grpc' ? createGrpcTransport(options) : createConnectTransport({ ...options, httpVersion: '2' })
  return createClient(WalletService, transport)
}

const ask = (port: Port, tls: SecureClientSessionOptions, secret?: string) =>
  clientOf(port, tls, secret).getWallet({ wallet: 'alice' })

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tls-'))
  writeServer(issue(authority, { commonName: 'localhost' }))
  writeFileSync(file('ca.pem'), authority.cert)
})
afterEach(async () => {
  await open[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

const tlsFiles = (withClients: boolean) => ({
  certFile: file('cert.pem'),
  keyFile: file('key.pem'),
  clientCaFile: withClients ? file('ca.pem') : undefined,
})

const identities = [
  { identity: SPIFFE, apiKeyId: key.record.apiKeyId },
  { identity: 'CN=trading-backend', apiKeyId: key.record.apiKeyId },
]

describe('a TLS listener', () => {
  beforeEach(async () => {
    open = await openTestEdge({ keys: [key], listen: { tls: tlsFiles(false) } })
  })

  it.each(PORTS)('serves callers with an API key on the %s port', async (port) => {
    expect((await ask(port, {}, key.secret)).wallet?.userId).toBe('alice')
    expect(await reasonOf(ask(port, {}))).toBe('API_KEY_MISSING')
  })

  it.each(PORTS)('speaks TLS 1.3 and nothing older on the %s port', async (port) => {
    const error = await refusalOf(ask(port, { maxVersion: 'TLSv1.2' }, key.secret))
    expect(infoOf(error)).toBeUndefined()
    expect(open.reached).toHaveLength(0)
  })

  it('serves a new certificate without a restart, and keeps the old one when the new one is broken', async () => {
    const serialNow = (address: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const [host, port] = address.split(':')
        const socket = tlsConnect({
          host,
          port: Number(port),
          ca: authority.cert,
          servername: 'localhost',
          ALPNProtocols: ['h2'],
        })
        socket.once('secureConnect', () => {
          const certificate: PeerCertificate = socket.getPeerCertificate()
          socket.destroy()
          resolve(certificate.fingerprint256)
        })
        socket.once('error', reject)
      })
    const both = () => Promise.all([serialNow(open.edge.grpcAddress), serialNow(open.edge.connectAddress)])
    const [before] = await both()
    writeServer(issue(authority, { commonName: 'localhost' }))
    await expect.poll(() => open.reloads.length).toBeGreaterThan(0)
    await expect.poll(async () => new Set([...(await both()), before]).size).toBe(2)
    const [renewed] = await both()
    expect(renewed).not.toBe(before)
    writeFileSync(file('cert.pem'), 'not a certificate')
    await expect.poll(() => open.reloads.at(-1)).toBe(`refused ${file('cert.pem')}`)
    expect(await both()).toEqual([renewed, renewed])
    expect((await ask('grpc', {}, key.secret)).wallet?.userId).toBe('alice')
    const old = await refusalOf(ask('grpc', { maxVersion: 'TLSv1.2' }, key.secret))
    expect(infoOf(old)).toBeUndefined()
  })
})

describe('a listener that takes identities from certificates', () => {
  beforeEach(async () => {
    open = await openTestEdge({ keys: [key], listen: { tls: tlsFiles(true), tlsIdentities: identities } })
  })

  const accepted: readonly [string, () => Issued][] = [
    ['a SPIFFE id', () => issue(authority, { commonName: 'whatever', uris: [SPIFFE] })],
    ['a common name', () => issue(authority, { commonName: 'trading-backend' })],
  ]
  it.each(PORTS.flatMap((port) => accepted.map(([what, make]) => [what, port, make] as const)))(
    'knows a caller by %s on the %s port, without a key',
    async (_what, port, make) => {
      await ask(port, make())
      expect(open.reached.at(-1)?.call.caller.principal).toBe(apiKeyId(1))
    },
  )

  const unmapped: readonly [string, () => Issued][] = [
    ['an unmapped common name', () => issue(authority, { commonName: 'somebody' })],
    [
      'an unmapped SPIFFE id beside a mapped common name',
      () => issue(authority, { commonName: 'trading-backend', uris: ['spiffe://example.org/other'] }),
    ],
    [
      'two URI names',
      () => issue(authority, { commonName: 'trading-backend', uris: [SPIFFE, 'spiffe://example.org/b'] }),
    ],
    [
      'a URI name that is two when read carelessly',
      () => issue(authority, { commonName: 'x', uris: [`https://a.example/, URI:${SPIFFE}`] }),
    ],
  ]
  it.each(PORTS.flatMap((port) => unmapped.map(([what, make]) => [what, port, make] as const)))(
    'does not take %s for a caller on the %s port, even with a key',
    async (_what, port, make) => {
      expect(await reasonOf(ask(port, make(), key.secret))).toBe('API_KEY_INVALID')
      expect(open.reached).toHaveLength(0)
    },
  )

  const refused: readonly [string, () => Partial<Issued>][] = [
    ['no certificate', () => ({})],
    ['a self-signed one of the same name', () => selfSigned({ commonName: 'trading-backend', uris: [SPIFFE] })],
    ['one of another authority of the same name', () => issue(otherAuthority, { commonName: 'trading-backend' })],
    ['an expired one', () => issue(authority, { commonName: 'trading-backend', notAfterMs: -3_600_000 })],
  ]
  it.each(PORTS.flatMap((port) => refused.map(([what, make]) => [what, port, make] as const)))(
    'ends the handshake with %s on the %s port',
    async (_what, port, make) => {
      const error = await refusalOf(ask(port, make(), key.secret))
      expect(infoOf(error)).toBeUndefined()
      expect(open.reached).toHaveLength(0)
    },
  )
})

describe('the identity in a certificate', () => {
  const certificate = (subjectaltname: string | undefined, CN: string) => ({ subject: { CN }, subjectaltname })
  it.each([
    [certificate(`URI:${SPIFFE}`, 'cn'), SPIFFE],
    [certificate(`DNS:a, URI:${SPIFFE}, IP Address:127.0.0.1`, 'cn'), SPIFFE],
    [certificate('DNS:a', 'cn'), 'CN=cn'],
    [certificate(undefined, 'cn'), 'CN=cn'],
    [certificate(undefined, ''), undefined],
    [certificate('URI:https://example.org', 'cn'), undefined],
    [certificate(`URI:${SPIFFE}, URI:${SPIFFE}`, 'cn'), undefined],
    [certificate(`DNS:"a, URI:${SPIFFE}"`, 'cn'), undefined],
    [certificate('URI:spiffe://Example.org/a', 'cn'), undefined],
  ])('%j → %s', (input, wanted) => {
    expect(certificateIdentity(input)).toBe(wanted)
  })
})
