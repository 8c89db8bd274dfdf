/** Every kind of caller asks every RPC of every service, over both ports. */
import { create } from '@bufbuild/protobuf'
import type { DescMethod, DescService } from '@bufbuild/protobuf'
import type { Client } from '@connectrpc/connect'
import { createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { join } from 'node:path'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PERMISSIONS } from '../../src/policy/permissions.ts'
import type { AccessRule } from '../../src/rpc/access.ts'
import { ACCESS, isPublic, SERVICES, usesWallets } from '../../src/rpc/access.ts'
import { reasonOf } from './support/refusal.ts'
import type { TestEdge } from './support/test-edge.ts'
import { openTestEdge, testKey, testUser, WALLET_AUTH, WALLET_KEY } from './support/test-edge.ts'

const UNIX = 'unix'
const everyPermission = PERMISSIONS.filter((name) => name !== 'admin')
const keys = {
  nothing: testKey(1, []),
  everything: testKey(2, everyPermission),
  admin: testKey(3, ['admin']),
  expired: testKey(4, PERMISSIONS, { expireTimeMs: 1 }),
  revoked: { ...testKey(5, PERMISSIONS), isRevoked: true },
  sidecar: testKey(6, everyPermission),
  weakSidecar: testKey(7, []),
}

/** One a protocol, so that none of them asks faster than a person may. */
const people = (['grpc', 'connect', 'grpcWeb', UNIX] as const).flatMap((protocol) =>
  (['endUser', 'endUserWithSecret', 'endUserWithForgery'] as const).map((caller) => ({
    name: `${caller} over ${protocol}`,
    user: testUser(`${caller}-${protocol}`),
  })),
)
const users = {
  endUser: testUser('alice'),
  lateUser: testUser('bob', { expireTimeMs: 1 }),
  signedOutUser: { ...testUser('carol'), isSignedOut: true },
}

const ADDRESS = `0x${'ab'.repeat(20)}`
const SESSION_KEY = `ses_${'cd'.repeat(16)}`
const DIGEST = new Uint8Array(32).fill(1)

const SEND_ID = `snd_${'ab'.repeat(16)}`
const ACCESS_ID = '00000000-0000-4000-8000-000000000001'
const WEBHOOK_ID = `whk_${'ab'.repeat(16)}`

/** One valid request an RPC. */
const REQUESTS: { readonly [S in keyof typeof ACCESS]: { readonly [M in keyof (typeof ACCESS)[S]]: object } } = {
  wallet: {
    createWallet: { userId: 'alice', keyType: 1 },
    getWallet: { wallet: 'alice' },
    listWallets: {},
    signMessage: { wallet: 'alice', content: { case: 'text', value: '' } },
    signTypedData: { wallet: 'alice', typedDataJson: '{}' },
    signTransaction: { wallet: 'alice', transaction: { case: 'evmUnsigned', value: DIGEST } },
    signAuthorization: { wallet: 'alice', chainId: 1n, address: ADDRESS },
    signDigest: { wallet: 'alice', digest: DIGEST },
    verifySignature: {
      signer: { case: 'address', value: ADDRESS },
      content: { case: 'digest', value: DIGEST },
      signature: DIGEST,
    },
    signStream: { itemId: '1', request: { case: 'signDigest', value: { wallet: 'alice', digest: DIGEST } } },
    sendTransaction: { wallet: 'alice', network: 'linea', transaction: { case: 'evm', value: { to: ADDRESS } } },
    getTransaction: { transactionId: SEND_ID },
    listTransactions: {},
    warmPresignatures: { wallet: 'alice' },
    refreshShares: { wallet: 'alice' },
    getImportKeys: {},
    importPrivateKey: {
      userId: 'alice',
      keyType: 1,
      importId: DIGEST.subarray(16),
      expireTime: { seconds: 1n, nanos: 0 },
      publicKey: DIGEST,
      daemonPoint: DIGEST,
      cosignerPoint: DIGEST,
      chainCode: DIGEST,
      daemonEnvelope: new Uint8Array(80),
      cosignerEnvelope: new Uint8Array(80),
    },
    exportPrivateKey: {
      wallet: 'alice',
      exportKey: { case: 'x25519', value: DIGEST },
      expireTime: { seconds: 1n, nanos: 0 },
      nonce: DIGEST,
      consent: { case: 'approvalId', value: DIGEST.subarray(16) },
    },
    archiveWallet: { wallet: 'alice' },
  },
  session: {
    createSessionKey: {
      wallet: 'alice',
      profile: 'hyperliquid',
      network: 'testnet',
      scopes: [1],
      expireTime: { seconds: 4_000_000_000n },
    },
    confirmSessionKey: { sessionKeyId: SESSION_KEY, outcome: 1 },
    getSessionKey: { sessionKeyId: SESSION_KEY },
    listSessionKeys: {},
    rotateSessionKey: { sessionKeyId: SESSION_KEY, expireTime: { seconds: 4_000_000_000n } },
    revokeSessionKey: { sessionKeyId: SESSION_KEY },
    signAction: { sessionKeyId: SESSION_KEY, family: 'order', actionJson: '{}' },
    signActionStream: { itemId: '1', action: { sessionKeyId: SESSION_KEY, family: 'order', actionJson: '{}' } },
    verifyAction: {
      profile: 'derivadex',
      network: 'sepolia',
      family: 'order',
      actionJson: '{}',
      signature: DIGEST,
      wallet: ADDRESS,
    },
    testScope: { sessionKeyId: SESSION_KEY },
    listProfiles: {},
    explainAction: { sessionKeyId: SESSION_KEY, family: 'order', actionJson: '{}' },
    putVenueCredential: { sessionKeyId: SESSION_KEY, name: 'api_key', secret: DIGEST },
    setMarkPrices: { profile: 'hyperliquid', network: 'testnet', prices: [{ market: '1', price: '2' }] },
    recordOutcome: { sessionKeyId: SESSION_KEY, actionSequence: 1n, outcome: 1 },
    watchReceipts: { sessionKeyId: SESSION_KEY },
  },
  delegation: {
    createGrant: { scope: { case: 'userId', value: 'alice' }, expireTime: { seconds: 4_000_000_000n } },
    getGrant: { grantId: `grant_${'ab'.repeat(16)}` },
    listGrants: {},
    revokeGrant: { grantId: `grant_${'ab'.repeat(16)}` },
    registerDelegate: { name: 'bots', identityPublicKey: DIGEST, publicKeyPem: 'x'.repeat(64), kid: 'k1' },
    rotateDelegateKey: { delegateId: `dlg_${'ab'.repeat(16)}`, publicKeyPem: 'x'.repeat(64), kid: 'k2' },
    listDelegates: {},
    delegateAccess: {
      wallet: 'alice',
      delegateId: `dlg_${'ab'.repeat(16)}`,
      expireTime: { seconds: 4_000_000_000n },
      consentExpireTime: { seconds: 1n, nanos: 0 },
      nonce: DIGEST,
      consent: { case: 'approvalId', value: DIGEST.subarray(16) },
    },
    listDelegatedAccess: {},
    revokeDelegatedAccess: { delegatedAccessId: ACCESS_ID },
    getChainConfig: {},
    issueDelegationToken: { userId: 'alice', network: 'linea', address: `0x${'ab'.repeat(20)}` },
    completeEvmDelegation: {
      address: `0x${'ab'.repeat(20)}`, network: 'linea', currency: 'usdc', amount: '5', txHash: `0x${'ab'.repeat(32)}`,
      sigHash: `0x${'ab'.repeat(65)}`, sigMessage: 'x'.repeat(20), token: '00000000-0000-4000-8000-000000000000',
    },
    completeSolanaDelegation: {
      address: 'A'.repeat(44), network: 'solana', currency: 'usdc', amount: '5', txHash: 'A'.repeat(88), sigHash: 'A'.repeat(88),
      sigMessage: 'x'.repeat(20), token: '00000000-0000-4000-8000-000000000000',
    },
    importDelegatedAccess: { content: { case: 'webhookBody', value: Buffer.from('{}') } },
    returnDelegatedAccess: { accessId: '5b1f7a34-0000-4000-8000-000000000000' },
    listImportedAccess: {},
    delegatedSignMessage: { access: `0x${'ab'.repeat(20)}`, content: { case: 'text', value: '' } },
    delegatedSignTypedData: { access: `0x${'ab'.repeat(20)}`, typedDataJson: '{}' },
    delegatedSignTransaction: { access: `0x${'ab'.repeat(20)}`, transaction: { case: 'evmUnsigned', value: DIGEST } },
    listExternalWallets: { userId: 'alice' },
    updateExternalWalletPriorities: { userId: 'alice', priorities: [{ externalWalletId: `ext_${'ab'.repeat(16)}`, priority: 1 }] },
    spendDelegation: { userId: 'alice', network: 'linea', currency: 'usdc', amount: '5', destination: `0x${'ab'.repeat(20)}` },
    getSpend: { spendId: `spd_${'ab'.repeat(16)}` },
    listSpends: {},
    cosign: {
      callId: 1,
      content: { case: 'hello', value: { delegatedAccessId: ACCESS_ID, publicKey: DIGEST, nonce: DIGEST } },
    },
  },
  endUser: {
    authenticateWithJwt: { projectId: 'default', jwt: 'a.b.c' },
    startEmailCode: { projectId: 'default', email: 'a@example.com' },
    verifyEmailCode: { projectId: 'default', flowId: 'flow', code: '12345678' },
    startOidc: { projectId: 'default', provider: 'google' },
    authenticateWithOidc: { projectId: 'default', flowId: 'flow', proof: { case: 'idToken', value: 'a.b.c' } },
    refreshAccessToken: { projectId: 'default', refreshToken: 'crt' },
    signOut: { projectId: 'default', refreshToken: 'crt' },
    validateAccessToken: { accessToken: 'a.b.c' },
    getEndUser: { userId: 'alice' },
    registerWalletSecret: { publicKey: 'A'.repeat(124), validUntil: { seconds: 1n } },
    listWalletSecrets: {},
    revokeWalletSecret: { walletSecretId: 'device' },
  },
  audit: { listEvents: {}, watchEvents: {}, verifyChain: {}, getCheckpoint: {} },
  admin: {
    createProject: { projectId: 'p' },
    getProject: { projectId: 'p' },
    listProjects: {},
    updateProject: { project: { projectId: 'p' }, updateMask: { paths: ['display_name'] } },
    createApiKey: { permissions: [{ name: 'wallet:read' }] },
    getApiKey: { apiKeyId: 'key_0000000000000001' },
    listApiKeys: {},
    rotateApiKey: { apiKeyId: 'key_0000000000000001' },
    revokeApiKey: { apiKeyId: 'key_0000000000000001' },
    createWebhook: { url: 'https://receiver.example/' },
    listWebhooks: {},
    updateWebhook: { webhook: { webhookId: WEBHOOK_ID }, rotateSecret: true },
    deleteWebhook: { webhookId: WEBHOOK_ID },
    listWebhookDeliveries: { webhookId: WEBHOOK_ID },
    redeliverWebhook: { webhookId: WEBHOOK_ID, eventId: '5b1f7a34-0000-4000-8000-000000000000' },
    createDelegateKey: {},
    listDelegateKeys: {},
    deleteDelegateKey: { kid: 'k' },
    freeze: { scope: 4 },
    unfreeze: { scope: 4 },
    createBackup: {},
    rotateVaultKey: { vault: 1 },
    getStatus: {},
  },
  health: { check: {}, list: {}, watch: {} },
  reflection: { serverReflectionInfo: {} },
  reflectionAlpha: { serverReflectionInfo: {} },
}

type Row = { readonly service: keyof typeof ACCESS; readonly method: DescMethod }
const ROWS: Row[] = (Object.keys(SERVICES) as (keyof typeof SERVICES)[]).flatMap((service) =>
  SERVICES[service].methods.map((method) => ({ service, method })),
)

/** What the table and the key's permissions make of a caller; undefined when the call gets through. */
const expected = ({ service, method }: Row, caller: string): string | undefined => {
  const rule = ACCESS[service][method.localName as never] as AccessRule
  if (rule === 'anyone' || isPublic(rule)) return undefined
  if (caller === 'delegate') return rule.delegates === true ? undefined : 'CALLER_NOT_ALLOWED'
  if (caller === 'strangeDelegate') return 'WALLET_API_KEY_INVALID'
  if (caller === 'anonymous') return 'API_KEY_MISSING'
  if (caller === 'stranger' || caller === 'revoked') return 'API_KEY_INVALID'
  if (caller === 'expired') return 'API_KEY_EXPIRED'
  if (caller === 'forgedUser' || caller === 'signedOutUser') return 'ACCESS_TOKEN_INVALID'
  if (caller === 'lateUser') return 'ACCESS_TOKEN_EXPIRED'
  if (caller === 'endUser' || caller === 'endUserWithSecret' || caller === 'endUserWithForgery') {
    if (rule.endUsers === 'never') return 'CALLER_NOT_ALLOWED'
    // What is shown is looked at, whether or not it is asked for.
    if (caller === 'endUserWithForgery') return 'WALLET_AUTH_INVALID'
    return rule.endUsers === 'token' || caller === 'endUserWithSecret' ? undefined : 'WALLET_SECRET_REQUIRED'
  }
  if (rule.permissions.length === 0) return 'CALLER_NOT_ALLOWED'
  const held: ReadonlySet<string> = keys[caller as keyof typeof keys].record.permissions
  return rule.permissions.some((name) => held.has(name)) ? undefined : 'PERMISSION_MISSING'
}

const ask = async (client: Client<DescService>, { service, method }: Row): Promise<void> => {
  const request = create(method.input, REQUESTS[service][method.localName as never])
  const rpc: unknown = client[method.localName]
  const call = rpc as (request: unknown) => AsyncIterable<unknown> & Promise<unknown>
  if (method.methodKind === 'unary') {
    await call(request)
    return
  }
  async function* once() {
    yield request
  }
  for await (const _ of call(method.methodKind === 'bidi_streaming' ? once() : request)) return
}

describe('the access table', () => {
  it('speaks of permissions that can be granted', () => {
    for (const rules of Object.values(ACCESS))
      for (const rule of Object.values<AccessRule>(rules))
        if (rule !== 'anyone' && !isPublic(rule)) for (const name of rule.permissions) expect(PERMISSIONS).toContain(name)
  })

  it('reserves a lane for what stops things and what tells how they are', () => {
    const reserved = Object.entries(ACCESS.admin).filter(([, rule]) => rule.lane === 'reserved')
    expect(reserved.map(([name]) => name)).toEqual(['revokeApiKey', 'freeze', 'unfreeze', 'getStatus'])
  })
})

it('asks for a second factor where wallets are used', () => {
  const asked = (service: keyof typeof ACCESS): string[] =>
    Object.entries<AccessRule>(ACCESS[service]).flatMap(([name, rule]) =>
      rule !== 'anyone' && !isPublic(rule) && rule.permissions.length > 0 && usesWallets(rule) ? [name] : [],
    )
  const reads = /^(?:get|list|verify|watch|explain|test|validate)[A-Z]/
  for (const service of ['wallet', 'delegation', 'session', 'endUser', 'audit'] as const)
    for (const [name, rule] of Object.entries<AccessRule>(ACCESS[service]))
      if (rule !== 'anyone' && !isPublic(rule) && rule.permissions.length > 0 && rule.lane === 'normal')
        expect(asked(service).includes(name), name).toBe(!reads.test(name))
  expect(asked('admin')).toEqual([])
})

describe('each caller at each RPC', () => {
  const directory = mkdtempSync(join(tmpdir(), 'matrix-'))
  const socketOf = (name: string) => join(directory, `${name}.sock`)
  let open: TestEdge

  beforeAll(async () => {
    open = await openTestEdge({
      keys: Object.values(keys),
      users: [...Object.values(users), ...people.map(({ user }) => user)],
      listen: {
        socket: socketOf('plain'),
        boundSockets: [
          { path: socketOf('sidecar'), apiKeyId: keys.sidecar.record.apiKeyId },
          { path: socketOf('weakSidecar'), apiKeyId: keys.weakSidecar.record.apiKeyId },
        ],
      },
    })
  })
  afterAll(async () => {
    await open[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  const overSocket = (desc: DescService, path: string, secret?: string, walletAuth?: string) =>
    createClient(
      desc,
      createGrpcTransport({
        baseUrl: 'http://localhost',
        nodeOptions: { path },
        interceptors: [
          (next) => (request) => {
            if (secret !== undefined) request.header.set('authorization', `Bearer ${secret}`)
            if (walletAuth !== undefined) request.header.set('x-wallet-auth', walletAuth)
            return next(request)
          },
        ],
      }),
    )

  const check = async (client: Client<DescService>, row: Row, caller: string): Promise<void> => {
    const before = open.reached.length
    const wanted = expected(row, caller)
    if (wanted === undefined) await ask(client, row)
    else {
      expect(await reasonOf(ask(client, row)), `${caller} ${row.method.name}`).toBe(wanted)
      expect(open.reached.length, `${caller} ${row.method.name} stops short of the use case`).toBe(before)
    }
  }

  const secrets = {
    anonymous: undefined,
    stranger: 'csk_nobody',
    nothing: keys.nothing.secret,
    everything: keys.everything.secret,
    admin: keys.admin.secret,
    expired: keys.expired.secret,
    revoked: keys.revoked.secret,
    endUser: users.endUser.token,
    endUserWithSecret: users.endUser.token,
    endUserWithForgery: users.endUser.token,
    lateUser: users.lateUser.token,
    signedOutUser: users.signedOutUser.token,
    forgedUser: `${users.endUser.token}x`,
    delegate: WALLET_KEY,
    strangeDelegate: `${WALLET_KEY}x`,
  }

  const walletAuths = { endUserWithSecret: WALLET_AUTH, endUserWithForgery: `${WALLET_AUTH}x` }

  for (const [caller, secret] of Object.entries(secrets)) {
    const walletAuth = caller in walletAuths ? walletAuths[caller as keyof typeof walletAuths] : undefined
    it.each(['grpc', 'connect', 'grpcWeb', UNIX] as const)(`${caller} over %s`, async (protocol) => {
      const person = people.find(({ name }) => name === `${caller} over ${protocol}`)
      const token = person?.user.token ?? secret
      for (const row of ROWS) {
        if (row.method.methodKind === 'bidi_streaming' && protocol !== 'grpc' && protocol !== UNIX) continue
        const desc: DescService = SERVICES[row.service]
        const client =
          protocol === UNIX
            ? overSocket(desc, socketOf('plain'), token, walletAuth)
            : open.client(desc, token, protocol, walletAuth)
        await check(client, row, caller)
      }
    })
  }

  it.each(['sidecar', 'weakSidecar'] as const)('%s by its socket, whatever key it shows', async (caller) => {
    for (const row of ROWS) {
      const desc: DescService = SERVICES[row.service]
      await check(overSocket(desc, socketOf(caller)), row, caller)
      await check(overSocket(desc, socketOf(caller), keys.admin.secret), row, caller)
    }
    const last = open.reached.at(-1)
    if (caller === 'sidecar')
      expect(last?.call.caller).toMatchObject({ kind: 'sidecar', apiKeyId: keys.sidecar.record.apiKeyId })
  })

  it('is a bound socket whatever access token comes with it', async () => {
    const client = overSocket(SERVICES.wallet, socketOf('sidecar'), users.endUser.token)
    await ask(client, { service: 'wallet', method: SERVICES.wallet.method.getWallet })
    expect(open.reached.at(-1)?.call.caller).toMatchObject({ kind: 'sidecar' })
  })

  it('records what an authenticated caller was denied', () => {
    const denied = new Set(open.denials.map(({ caller, reason }) => `${caller.principal} ${reason}`))
    expect(denied).toContain(`${keys.nothing.record.apiKeyId} PERMISSION_MISSING`)
    expect(denied).toContain(`${keys.admin.record.apiKeyId} PERMISSION_MISSING`)
    expect(denied).toContain('user:default/endUser-grpc CALLER_NOT_ALLOWED')
    expect(denied).toContain('user:default/endUser-grpc WALLET_SECRET_REQUIRED')
    expect(denied).toContain('user:default/endUserWithForgery-grpc WALLET_AUTH_INVALID')
  })
})
