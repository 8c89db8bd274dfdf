/** The edge over a real vault with people who have signed in, and requests as their devices sign them. */
import { toBinary } from '@bufbuild/protobuf'
import type { DescService } from '@bufbuild/protobuf'
import type { Client, Interceptor } from '@connectrpc/connect'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node'
import { createEndUserDirectory } from '../../../src/commands/wire-end-users.ts'
import type { UserId } from '../../../src/domain/ids.ts'
import type { SigningEngine } from '../../../src/party/signing-engine.ts'
import { createAccessTokens } from '../../../src/user/access-tokens.ts'
import { listWalletSecrets, registerWalletSecret, revokeWalletSecret } from '../../../src/user/wallet-secrets.ts'
import type { DaemonVault } from '../../../src/vault/daemon-vault.ts'
import { findOrCreateEndUser } from '../../../src/vault/end-users.ts'
import { insertSession } from '../../../src/vault/user-sessions.ts'
import { makeToken, requestClaims, type RequestClaims, type WalletKey } from '../../user/tokens.ts'
import { openTestEdge, PROJECT, type TestEdge, type TestEdgeOptions } from './test-edge.ts'

export const CLOCK = { nowMs: () => Date.now(), monotonicNs: () => process.hrtime.bigint() }

/** An access token for somebody of the default project. */
export const signIn = async (vault: DaemonVault, name: string): Promise<string> => {
  const nowMs = Date.now()
  const tokens = createAccessTokens(vault)
  const userId = name as UserId
  const draft = await vault.commit((tx) => {
    findOrCreateEndUser(tx, { project: PROJECT, method: 'jwt', subject: name, userId, nowMs })
    const session = insertSession(tx, { project: PROJECT, userId, method: 'jwt', nowMs, expireMs: nowMs + 3_600_000 })
    return tokens.draft(tx, session, nowMs)
  })
  return tokens.sign(draft)
}

export const openSignedEdge = (vault: DaemonVault, options: Partial<TestEdgeOptions> = {}): Promise<TestEdge> => {
  // No cosigner is asked here.
  const engine = { owners: {} } as Pick<SigningEngine, 'owners'>
  const needs = { vault, clock: CLOCK, engine }
  return openTestEdge({
    keys: [],
    directoryOfUsers: createEndUserDirectory(vault, createAccessTokens(vault), CLOCK),
    endUsers: {
      registerWalletSecret: (call, args) => registerWalletSecret(needs, call, args),
      listWalletSecrets: async (call) => listWalletSecrets(needs, call),
      revokeWalletSecret: (call, args) => revokeWalletSecret(needs, call, args),
    },
    ...options,
  })
}

export type Protocol = 'grpc' | 'grpcOnConnect' | 'grpcWeb' | 'connectBinary' | 'connectJson'
export const PROTOCOLS = ['grpc', 'grpcOnConnect', 'grpcWeb', 'connectBinary', 'connectJson'] as const

export const addressOf = ({ edge }: TestEdge, protocol: Protocol): string =>
  protocol === 'grpc' ? edge.grpcAddress : edge.connectAddress

export type Device = {
  readonly token: string
  /** Signs every request; undefined for a device without a wallet secret. */
  readonly key?: WalletKey | undefined
  readonly claims?: RequestClaims
  readonly headers?: Readonly<Record<string, string>>
  /** The request that is signed, where it is not the one that is sent. */
  readonly body?: (sent: Uint8Array) => Uint8Array
}

const sortedJson = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sortedJson)
  if (value === null || typeof value !== 'object') return value
  const names = Object.keys(value).toSorted((a, b) => (a < b ? -1 : 1))
  return Object.fromEntries(names.map((name) => [name, sortedJson((value as Record<string, unknown>)[name])]))
}

export const canonicalJson = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(sortedJson(json)))

const signing =
  (authority: string, device: Device): Interceptor =>
  (next) =>
  async (request) => {
    request.header.set('authorization', `Bearer ${device.token}`)
    for (const [name, text] of Object.entries(device.headers ?? {})) request.header.set(name, text)
    if (device.key === undefined || request.stream) return next(request)
    const { method, message } = request
    const bytes = toBinary(method.input, message)
    const uri = `POST ${authority}/${method.parent.typeName}/${method.name}`
    const claims = requestClaims(uri, device.body?.(bytes) ?? bytes, Date.now(), device.claims)
    request.header.set('x-wallet-auth', makeToken(device.key, { claims }))
    return next(request)
  }

/** A client on somebody's device. JSON is not for it: see `callJson`. */
export const deviceClient = <D extends DescService>(
  open: TestEdge,
  desc: D,
  device: Device,
  protocol: Exclude<Protocol, 'connectJson'> = 'grpc',
): Client<D> => {
  const authority = addressOf(open, protocol)
  const options = { baseUrl: `http://${authority}`, interceptors: [signing(authority, device)] }
  switch (protocol) {
    case 'grpc':
    case 'grpcOnConnect':
      return createClient(desc, createGrpcTransport(options))
    case 'grpcWeb':
      return createClient(desc, createGrpcWebTransport({ ...options, httpVersion: '2' }))
    case 'connectBinary':
      return createClient(desc, createConnectTransport({ ...options, httpVersion: '1.1', useBinaryFormat: true }))
  }
}

export type JsonAnswer = { readonly status: number; readonly reason: string | undefined; readonly body: Record<string, unknown> }

/** Posts a JSON text as it is, over Connect. */
export const callJson = async (
  authority: string,
  path: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<JsonAnswer> => {
  const response = await fetch(`http://${authority}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
  const answer = (await response.json()) as Record<string, unknown>
  const details = answer['details'] as readonly { readonly debug?: { readonly reason?: string } }[] | undefined
  const reason = details?.map(({ debug }) => debug?.reason).find((text) => text !== undefined)
  return { status: response.status, reason, body: answer }
}
