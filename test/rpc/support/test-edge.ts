/** The whole edge on free ports, over use cases and stores that live in this file. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DescService } from '@bufbuild/protobuf'
import type { Client } from '@connectrpc/connect'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node'
import { type Call, delegatePrincipal } from '../../../src/domain/call.ts'
import { failure } from '../../../src/domain/failure.ts'
import type { AccessId, ApiKeyId, GrantId, ProjectId, UserId, WalletId, WebhookId } from '../../../src/domain/ids.ts'
import { readSettings } from '../../../src/domain/project-settings.ts'
import { Secret } from '../../../src/domain/secret.ts'
import type { ApiKeyDirectory, ApiKeyProofs, ApiKeyRecord } from '../../../src/rpc/authenticate.ts'
import type { RegisteredKey, SessionKeyView, SessionUseCases, SignedAction } from '../../../src/rpc/session-use-cases.ts'
import type { DelegationUseCases, ExternalWalletView, SpendView, GrantView, SpendingUseCases } from '../../../src/rpc/delegation-use-cases.ts'
import type { SentView } from '../../../src/rpc/send-use-cases.ts'
import type { DelegatedAccessUseCases, DelegatedAccessView, DelegateView } from '../../../src/rpc/delegated-access-use-cases.ts'
import type { CosignUseCases } from '../../../src/rpc/cosign-use-cases.ts'
import type { DelegateDirectory } from '../../../src/rpc/delegates.ts'
import type { EndUserUseCases, WalletSecretView } from '../../../src/rpc/end-user-use-cases.ts'
import type { AccessToken, EndUserDirectory } from '../../../src/rpc/end-users.ts'
import type { Edge, EdgeListen } from '../../../src/rpc/edge.ts'
import { openEdge } from '../../../src/rpc/edge.ts'
import type { IdempotencyStore, RequestKey } from '../../../src/rpc/idempotency.ts'
import type { CallEvent, Denial } from '../../../src/rpc/pipeline.ts'
import type { ImportedAccessView, OwnKeyView } from '../../../src/rpc/delegate-side-use-cases.ts'
import type { DeliveryView, WebhookView } from '../../../src/rpc/webhook-use-cases.ts'
import type {
  AdminUseCases,
  ApiKeyView,
  AuditUseCases,
  FreezeView,
  ProjectView,
  SignedDigest,
  SigningUseCases,
  UseCases,
  WalletUseCases,
  WalletView,
} from '../../../src/rpc/use-cases.ts'

export const PROJECT = 'default' as ProjectId
export const apiKeyId = (number: number): ApiKeyId => `key_${number.toString(16).padStart(16, '0')}` as ApiKeyId

export type TestKey = { secret: string; record: ApiKeyRecord; isRevoked: boolean }

export const testKey = (
  number: number,
  permissions: readonly string[],
  rest: Partial<ApiKeyRecord> = {},
): TestKey => ({
  secret: `csk_secret-of-${number}`,
  isRevoked: false,
  record: {
    apiKeyId: apiKeyId(number),
    projectId: PROJECT,
    permissions: new Set(permissions),
    requestsPerSecond: 0,
    allowedCidrs: [],
    expireTimeMs: undefined,
    ...rest,
  },
})

export type TestUser = { readonly token: string; readonly facts: AccessToken; isSignedOut: boolean }

/** An end user whose access token has the shape of one. */
export const testUser = (userId: string, rest: Partial<AccessToken> = {}): TestUser => ({
  token: `${Buffer.from(userId).toString('base64url')}.e30.sig`,
  isSignedOut: false,
  facts: {
    projectId: PROJECT,
    userId: userId as UserId,
    tokenId: `token-of-${userId}`,
    authTimeMs: 1,
    expireTimeMs: Date.now() + 3_600_000,
    ...rest,
  },
})

/** Passes for a proof of any request. */
export const WALLET_AUTH = 'an x-wallet-auth'

const usersOf = (users: readonly TestUser[]): EndUserDirectory => ({
  verifyAccessToken: (token, nowMs) => {
    const user = users.find((one) => one.token === token && !one.isSignedOut)
    if (user === undefined) throw failure('ACCESS_TOKEN_INVALID', {})
    const { expireTimeMs } = user.facts
    if (expireTimeMs <= nowMs) throw failure('ACCESS_TOKEN_EXPIRED', { expireTime: new Date(expireTimeMs).toISOString() })
    return user.facts
  },
  proveWalletSecret: async (_caller, { token }) => {
    if (token !== WALLET_AUTH) throw failure('WALLET_AUTH_INVALID', { detail: 'signature' })
    return { walletSecretId: 'device', keyHash: '00' }
  },
  proveNewWalletSecret: async (_publicKey, { token }) => {
    if (token !== WALLET_AUTH) throw failure('WALLET_AUTH_INVALID', { detail: 'signature' })
  },
  assertStands: ({ accessTokenId }) => {
    if (users.some(({ facts, isSignedOut }) => isSignedOut && facts.tokenId === accessTokenId))
      throw failure('ACCESS_TOKEN_INVALID', {})
  },
})

const directoryOf = (keys: readonly TestKey[]): ApiKeyDirectory => {
  const good = (key: TestKey | undefined) => (key === undefined || key.isRevoked ? undefined : key.record)
  return {
    findBySecret: (presented) => good(keys.find(({ secret }) => secret === presented)),
    findById: (id) => good(keys.find(({ record }) => record.apiKeyId === id)),
  }
}

type Stored = { bodyHash: Uint8Array; response: Uint8Array | undefined }

export const memoryStore = (): IdempotencyStore & { readonly rows: Map<string, Stored> } => {
  const rows = new Map<string, Stored>()
  const name = (key: RequestKey) => `${key.caller} ${key.method} ${key.requestId}`
  return {
    rows,
    claim: async (key, bodyHash) => {
      const row = rows.get(name(key))
      if (row === undefined) {
        rows.set(name(key), { bodyHash, response: undefined })
        return { kind: 'claimed' }
      }
      if (Buffer.compare(row.bodyHash, bodyHash) !== 0)
        throw failure('IDEMPOTENCY_MISMATCH', { requestId: key.requestId })
      return row.response === undefined ? { kind: 'reclaimed' } : { kind: 'done', response: row.response }
    },
    finish: async (key, response) => {
      const row = rows.get(name(key))
      if (row !== undefined) row.response = response
    },
    abandon: async (key) => {
      rows.delete(name(key))
    },
    interrupt: async () => {},
    assertReleasable: () => {},
  }
}

export const WALLET: WalletView = {
  walletId: `wal_${'ab'.repeat(16)}` as WalletId,
  userId: 'alice',
  projectId: PROJECT,
  keyType: 'secp256k1',
  ownerType: 'project',
  label: '',
  address: '0x00000000219ab540356cBB839Cbe05303d7705Fa',
  publicKeyHex: `04${'11'.repeat(64)}`,
  state: 'active',
  origin: 'generated',
  createTimeMs: 1_700_000_000_123,
  walletEpoch: 0,
  exportTimeMs: undefined,
}

const bytes = (length: number, fill: number) => new Uint8Array(length).fill(fill)

const RECEIPT = { sequence: 7n, hash: bytes(32, 4), signature: bytes(64, 5), keyId: 'audit-1' }
const IMPORT_KEY = { partyId: bytes(32, 6), identityKey: bytes(32, 7), key: bytes(32, 8), expireMs: 1, signature: bytes(64, 9) }
const SHARE = { partyId: bytes(32, 6), point: bytes(33, 7), envelope: bytes(80, 8) }
export const SIGNED = {
  signature: { r: bytes(32, 1), s: bytes(32, 2), yParity: 1 },
  digest: bytes(32, 3),
  receipt: RECEIPT,
} as const satisfies SignedDigest

const SIGNED_IN = {
  endUser: { projectId: PROJECT, userId: 'alice' as UserId, createTimeMs: 1, identities: [] },
  isNewEndUser: false,
  accessToken: 'a.b.c',
  accessTokenExpireMs: 1_700_000_000_000,
  refreshToken: { token: new Secret('crt_refresh'), expireMs: 4_000_000_000_000 },
} as const

const PROJECT_VIEW: ProjectView = {
  projectId: PROJECT,
  displayName: '',
  settings: readSettings({}),
  createTimeMs: 1,
  updateTimeMs: 2,
  etag: 'e1',
}
const KEY_VIEW: ApiKeyView = {
  apiKeyId: apiKeyId(99),
  projectId: PROJECT,
  name: 'a key',
  grants: [],
  allowedCidrs: [],
  requestsPerSecond: 0,
  expireTimeMs: undefined,
  createTimeMs: 1,
  rotateTimeMs: undefined,
  revokeTimeMs: undefined,
  publicKey: undefined,
  needsDeveloperAuth: false,
  state: 'active',
}
const SECRET: WalletSecretView = { walletSecretId: 'device', publicKey: 'MFkw', validUntilMs: 2, createTimeMs: 1 }
const FREEZE: FreezeView = { scope: 'wallet', id: WALLET.walletId, note: '', actor: 'api_key:x', createTimeMs: 1 }

const SPEND: SpendView = {
  spendId: `spd_${'ab'.repeat(16)}`, sendId: `snd_${'ab'.repeat(16)}`, userId: 'alice', externalWalletId: `ext_${'ab'.repeat(16)}`,
  network: 'linea', currency: 'usdc', amount: '5', destination: `0x${'ab'.repeat(20)}`, state: 'pending', reason: '', transactionHash: '',
  deliveredAmount: undefined, createTimeMs: 1, updateTimeMs: 2,
}
const DELEGATE: DelegateView = {
  delegateId: `dlg_${'ab'.repeat(16)}`,
  projectId: PROJECT,
  name: 'bots',
  identityKey: bytes(32, 1),
  partyId: bytes(32, 2),
  linkId: bytes(16, 3),
  webhookId: undefined,
  keys: [{ kid: 'k1', publicKeyPem: 'pem', isActive: true, createTimeMs: 1_700_000_000_123, retireTimeMs: undefined }],
  createTimeMs: 1_700_000_000_123,
}

export const DELEGATED: DelegatedAccessView = {
  accessId: '00000000-0000-4000-8000-000000000000',
  walletId: `wal_${'ab'.repeat(16)}`,
  userId: 'alice',
  keyType: 'secp256k1',
  address: '0x0000000000000000000000000000000000000001',
  delegateId: DELEGATE.delegateId,
  kid: 'k1',
  terms: { operations: ['message', 'digest'], narrowing: { chains: ['eip155:1'], max_per_day: { 'eip155:1/native': '5' } } },
  expireTimeMs: 1_700_000_000_456,
  grantId: undefined,
  state: 'pending',
  createTimeMs: 1_700_000_000_123,
  activateTimeMs: undefined,
  endTimeMs: undefined,
}

const EXTERNAL_WALLET: ExternalWalletView = {
  externalWalletId: `ext_${'ab'.repeat(16)}`, userId: 'alice', network: 'linea', currency: 'usdc', address: `0x${'01'.repeat(20)}`,
  spenderAddress: `0x${'02'.repeat(20)}`, tokenAddress: `0x${'03'.repeat(20)}`, state: 'active', priority: 1, limit: '5',
  standing: undefined, createTimeMs: 1_700_000_000_123,
}

export const GRANT: GrantView = {
  grantId: `grant_${'cd'.repeat(16)}` as GrantId,
  userId: 'alice',
  address: undefined,
  state: 'active',
  expireTimeMs: 1_800_000_000_000,
  createTimeMs: 1_700_000_000_123,
  revokeTimeMs: undefined,
}

const SESSION_KEY: SessionKeyView = {
  sessionKeyId: `ses_${'cd'.repeat(16)}`,
  walletId: WALLET.walletId,
  publicKeyHex: `04${'22'.repeat(64)}`,
  address: WALLET.address,
  profile: 'hyperliquid',
  network: 'testnet',
  scopes: ['order'],
  expireTimeMs: 1_800_000_000_000,
  state: 'active',
  extraFamilies: [],
  limits: {},
  parameters: {},
  profileHash: bytes(32, 9),
  requireSession: false,
  clientHeld: false,
  createTimeMs: 1_700_000_000_123,
  replaces: '',
  retireTimeMs: undefined,
  credentials: [],
  payloadLessCount: 0,
  grantId: '',
}

const REGISTERED: RegisteredKey = {
  sessionKey: SESSION_KEY,
  payload: bytes(3, 1),
  registration: undefined,
  receipt: RECEIPT,
}

const SIGNED_ACTION: SignedAction = {
  signature: bytes(65, 1),
  digest: bytes(32, 3),
  signedActionJson: '{}',
  nonce: 1n,
  http: undefined,
  receipt: RECEIPT,
}

/** A call that reached a use case, by its name. */
export type Reached = { readonly name: string; readonly call: Call; readonly args: unknown }

const SENT: SentView = {
  sendId: `snd_${'ab'.repeat(16)}`,
  walletId: WALLET.walletId,
  network: 'linea',
  chain: 'eip155:59144',
  nonce: 7n,
  state: 'INCLUDED',
  reason: '',
  minedVersion: 1,
  block: 9n,
  blockHash: '0a'.repeat(32),
  depth: 2,
  isStuck: false,
  confirmations: 3,
  transactionHash: `0x${'08'.repeat(32)}`,
  versions: [],
  createTimeMs: 1_000,
  updateTimeMs: 2_000,
  receipt: RECEIPT,
}

const defaultUseCases = (): UseCases => ({
  wallets: {
    createWallet: async () => WALLET,
    getWallet: async () => WALLET,
    listWallets: async () => ({ items: [WALLET], nextCursor: undefined }),
    refreshShares: async () => ({ wallet: WALLET, refreshCount: 1, refreshTimeMs: WALLET.createTimeMs, receipt: RECEIPT }),
    getImportKeys: async () => ({ daemon: IMPORT_KEY, cosigner: IMPORT_KEY }),
    importPrivateKey: async () => WALLET,
    exportPrivateKey: async () => ({ wallet: WALLET, daemonShare: SHARE, cosignerShare: SHARE, receipt: RECEIPT }),
    archiveWallet: async () => ({ ...WALLET, state: 'archived' }),
    warmPresignatures: async () => ({ depth: 64, capacity: 4_096, fillRate: 500 }),
  },
  signing: {
    signMessage: async () => SIGNED,
    signTypedData: async () => SIGNED,
    signTransaction: async () => ({
      signedTransaction: bytes(3, 9),
      transactionHash: `0x${'08'.repeat(32)}`,
      signature: SIGNED.signature,
      receipt: RECEIPT,
    }),
    signAuthorization: async (_call, { chainId, address, nonce }) => ({
      ...SIGNED,
      authorization: { chainId, address, nonce, signature: SIGNED.signature },
    }),
    signDigest: async () => SIGNED,
    verifySignature: async () => ({
      valid: true,
      signerKind: 'eoa',
      recoveredAddress: WALLET.address,
      digest: SIGNED.digest,
      block: undefined,
    }),
  },
  sending: {
    sendTransaction: async function* send() {
      yield SENT
    },
    getTransaction: async () => SENT,
    listTransactions: async () => ({ items: [SENT], nextCursor: undefined }),
  },
  session: {
    createSessionKey: async () => REGISTERED,
    rotateSessionKey: async () => REGISTERED,
    confirmSessionKey: async () => SESSION_KEY,
    getSessionKey: async () => SESSION_KEY,
    listSessionKeys: async () => ({ items: [SESSION_KEY], nextCursor: undefined }),
    revokeSessionKey: async () => ({ ...SESSION_KEY, state: 'revoked' }),
    putVenueCredential: async () => SESSION_KEY,
    signAction: async () => SIGNED_ACTION,
    verifyAction: async () => ({
      signerKind: 'session',
      signer: SESSION_KEY.address,
      sessionKeyId: SESSION_KEY.sessionKeyId,
      expireTimeMs: SESSION_KEY.expireTimeMs,
      receipt: RECEIPT,
    }),
    testScope: async () => ({ families: [{ family: 'order', accepted: true, reason: '', message: '' }] }),
    listProfiles: async () => [],
    explainAction: async () => ({
      sentence: 'buy',
      canonicalJson: '{}',
      unsignedFields: [],
      accepted: true,
      reason: '',
      message: '',
    }),
    setMarkPrices: async () => RECEIPT,
    recordOutcome: async () => RECEIPT,
    watchReceipts: async function* () {
      yield { sequence: 1n, hash: bytes(32, 1), timeMs: 1, kind: 'session.action', detailsJson: '{}' }
    },
  },
  delegation: {
    createGrant: async () => GRANT,
    getGrant: async () => GRANT,
    listGrants: async () => ({ items: [GRANT], nextCursor: undefined }),
    revokeGrant: async () => ({ ...GRANT, state: 'revoked', revokeTimeMs: 1_700_000_000_456 }),
    getChainConfig: async () => [],
    issueDelegationToken: async () => ({ token: 'token', nonce: 'nonce', expireTimeMs: 1_700_000_000_456 }),
    completeEvmDelegation: async () => EXTERNAL_WALLET,
    completeSolanaDelegation: async () => EXTERNAL_WALLET,
    listExternalWallets: async () => [EXTERNAL_WALLET],
    updateExternalWalletPriorities: async () => [EXTERNAL_WALLET],
    spendDelegation: async () => SPEND,
    getSpend: async () => SPEND,
    listSpends: async () => ({ items: [SPEND], nextCursor: undefined }),
    registerDelegate: async () => DELEGATE,
    rotateDelegateKey: async () => DELEGATE,
    listDelegates: async () => ({ items: [DELEGATE], nextCursor: undefined }),
    delegateAccess: async () => ({ access: DELEGATED, envelopes: undefined, receipt: RECEIPT }),
    revokeDelegatedAccess: async () => DELEGATED,
    listDelegatedAccess: async () => ({ items: [DELEGATED], nextCursor: undefined }),
    openCosign: () => ({
      hello: () => ({ publicKey: bytes(32, 1), nonce: bytes(32, 2), signature: bytes(64, 3) }),
      prove: async () => ({ projectId: PROJECT, walletId: 'wal', expireTimeMs: 1_700_000_000_456 }),
      answerBytes: () => 0,
      frame: async (frame) => () => ({ frame }),
      close: () => {},
    }),
  },
  endUsers: {
    authenticateWithJwt: async () => SIGNED_IN,
    startEmailCode: async () => ({ flowId: 'flow', expireMs: 1_700_000_000_000 }),
    verifyEmailCode: async () => SIGNED_IN,
    startOidc: async () => ({ flowId: 'flow', state: 's', nonce: 'n', authorizationUrl: '', expireMs: 1_700_000_000_000 }),
    authenticateWithOidc: async () => SIGNED_IN,
    refreshAccessToken: async () => SIGNED_IN,
    signOut: async () => {},
    validateAccessToken: async () => ({ endUser: SIGNED_IN.endUser, method: 'jwt', authTimeMs: 1, expireTimeMs: 2 }),
    getEndUser: async () => SIGNED_IN.endUser,
    registerWalletSecret: async () => SECRET,
    listWalletSecrets: async () => [SECRET],
    revokeWalletSecret: async () => SECRET,
  },
  audit: {
    listEvents: async () => [],
    async *watchEvents() {},
    verifyChain: async () => ({ checkedCount: 0n, headSequence: 0n, headHash: bytes(32, 0), firstBad: undefined }),
    getCheckpoint: async () => ({
      ...RECEIPT,
      timeMs: 1,
      publicKey: bytes(32, 1),
      cosignerSequence: 7n,
      vaultId: bytes(16, 2),
    }),
  },
  admin: {
    createProject: async () => PROJECT_VIEW,
    getProject: async () => PROJECT_VIEW,
    listProjects: async () => ({ items: [PROJECT_VIEW], nextCursor: undefined }),
    updateProject: async () => PROJECT_VIEW,
    createApiKey: async () => ({ apiKey: KEY_VIEW, secret: `csk_${randomUUID()}` }),
    getApiKey: async () => KEY_VIEW,
    listApiKeys: async () => ({ items: [KEY_VIEW], nextCursor: undefined }),
    rotateApiKey: async () => ({ apiKey: KEY_VIEW, secret: `csk_${randomUUID()}` }),
    revokeApiKey: async () => ({ ...KEY_VIEW, state: 'revoked' }),
    freeze: async () => FREEZE,
    unfreeze: async () => FREEZE,
    getStatus: async () => ({
      mode: 'split at rest, one host',
      version: '0.1.0',
      protocolVersion: 1,
      vaultSchemaVersion: 1,
      startTimeMs: 1,
      cosignerAvailable: true,
      cosignerId: 'ab',
      links: [{ shard: 0, state: 'ready', renewTimeMs: 1, presignatureCount: 0n }],
      freezes: [FREEZE],
      walletCount: 1n,
      auditSequence: 7n,
      presignatureCount: 0n,
      backups: [],
      restore: undefined,
      webhooks: { pending: 2, oldestMs: 5, delivered: 3, failedAttempts: 4 },
      chains: [{ network: 'linea', state: 'usable', chainId: 59_144n, block: 9n, detail: '', openSends: 0, stuckSends: 0, oldestSendMs: undefined }],
      delegates: { active: 2, suspended: 0, burned: 1, open: 1, presignatures: 6, stopped: [{ peerId: 'cd', state: 'burned', burns: 2 }] },
      grantingDaemons: { active: 0, suspended: 0, burned: 0, open: 0, presignatures: 0, stopped: [] },
    }),
    createBackup: async () => [],
    rotateVaultKey: async () => ({ vault: 'daemon', provider: 'file:x', shareCount: 0 }),
  },
  delegate: {
    createDelegateKey: async () => DELEGATE_KEY,
    listDelegateKeys: async () => ({ keys: [DELEGATE_KEY], identityPublicKey: bytes(32, 1), partyId: bytes(32, 2) }),
    deleteDelegateKey: async () => undefined,
    importDelegatedAccess: async () => IMPORTED_ACCESS,
    returnDelegatedAccess: async () => IMPORTED_ACCESS,
    delegatedSignMessage: async () => SIGNED,
    delegatedSignTypedData: async () => SIGNED,
    delegatedSignTransaction: async () => ({
      signedTransaction: bytes(3, 9),
      transactionHash: `0x${'08'.repeat(32)}`,
      signature: SIGNED.signature,
      receipt: RECEIPT,
    }),
    listImportedAccess: async () => ({ items: [IMPORTED_ACCESS], nextCursor: undefined }),
  },
  webhooks: {
    createWebhook: async () => ({ webhook: WEBHOOK_VIEW, secret: 'whsec_test' }),
    listWebhooks: async () => ({ items: [WEBHOOK_VIEW], nextCursor: undefined }),
    updateWebhook: async () => ({ webhook: WEBHOOK_VIEW, secret: undefined }),
    deleteWebhook: async () => undefined,
    listWebhookDeliveries: async () => ({ items: [DELIVERY_VIEW], nextCursor: undefined }),
    redeliverWebhook: async () => DELIVERY_VIEW,
  },
})

const IMPORTED_ACCESS: ImportedAccessView = {
  accessId: '5b1f7a34-0000-4000-8000-000000000000' as AccessId,
  projectId: PROJECT,
  keyType: 'secp256k1',
  address: `0x${'ab'.repeat(20)}`,
  publicKey: bytes(65, 4),
  userId: 'alice',
  state: 'active',
  grantingDaemon: 'home',
  createTimeMs: 1,
  revokeTimeMs: undefined,
}

const DELEGATE_KEY: OwnKeyView = {
  kid: 'k',
  publicKey: bytes(64, 3),
  bits: 3072,
  state: 'ACTIVE',
  createMs: 1,
  retireMs: undefined,
}

const WEBHOOK_VIEW: WebhookView = {
  webhookId: `whk_${'ab'.repeat(16)}` as WebhookId,
  projectId: PROJECT,
  name: '',
  url: 'https://receiver.example/',
  format: 'COUNTERSIGN',
  subscriptions: ['wallet.*'],
  state: 'active',
  createTimeMs: 1,
  updateTimeMs: 2,
  previousSecretExpireTimeMs: undefined,
  etag: 'r1',
}

const DELIVERY_VIEW: DeliveryView = {
  webhookId: WEBHOOK_VIEW.webhookId,
  eventId: '5b1f7a34-0000-4000-8000-000000000000',
  type: 'wallet.created',
  eventMs: 1,
  state: 'PENDING',
  attempts: 1,
  round: 0,
  nextAttemptMs: 15_001,
  lastAttemptMs: 1,
  lastStatus: 503,
  lastError: '',
  excerpt: 'later',
}

/** Of the one delegate there is. */
export const WALLET_KEY = `cdk_${'A'.repeat(43)}`
const DELEGATES: DelegateDirectory = {
  findByKey: (presented) => {
    if (presented !== WALLET_KEY) throw failure('WALLET_API_KEY_INVALID', {})
    const accessId = '00000000-0000-4000-8000-000000000001' as AccessId
    return { kind: 'delegate', principal: delegatePrincipal(accessId), projectId: PROJECT, accessId }
  },
  assertStands: () => {},
}

const recording = <Group extends object>(group: Group, reached: Reached[]): Group =>
  Object.fromEntries(
    Object.entries(group).map(([name, run]) => [
      name,
      (call: Call, args: unknown): unknown => {
        reached.push({ name, call, args })
        return run(call, args)
      },
    ]),
  ) as Group

export type TestEdgeOptions = {
  readonly keys: readonly TestKey[]
  readonly users?: readonly TestUser[]
  /** In place of one that knows `users`. */
  readonly directoryOfUsers?: EndUserDirectory
  readonly endUsers?: Partial<EndUserUseCases>
  readonly keyProofs?: ApiKeyProofs
  readonly delegates?: DelegateDirectory
  readonly wallets?: Partial<WalletUseCases>
  readonly signing?: Partial<SigningUseCases>
  readonly delegation?: Partial<DelegationUseCases & SpendingUseCases & CosignUseCases & DelegatedAccessUseCases>
  readonly session?: Partial<SessionUseCases>
  readonly audit?: Partial<AuditUseCases>
  readonly admin?: Partial<AdminUseCases>
  readonly listen?: Partial<EdgeListen>
  readonly idempotency?: IdempotencyStore
}

type Protocol = 'grpc' | 'connect' | 'grpcWeb'

export type TestEdge = AsyncDisposable & {
  readonly edge: Edge
  readonly directory: string
  readonly reached: Reached[]
  readonly events: CallEvent[]
  readonly internal: unknown[]
  readonly denials: Denial[]
  readonly reloads: string[]
  /** `walletAuth`: sent as `x-wallet-auth`. */
  readonly client: <D extends DescService>(desc: D, secret?: string, protocol?: Protocol, walletAuth?: string) => Client<D>
}

const LOOPBACK = { host: '127.0.0.1', port: 0 }

const baseUrl = (edge: Edge, protocol: Protocol) =>
  `http://${protocol === 'grpc' ? edge.grpcAddress : edge.connectAddress}`

const transportTo = (edge: Edge, protocol: Protocol, secret: string | undefined, walletAuth: string | undefined) => {
  const options = {
    baseUrl: baseUrl(edge, protocol),
    interceptors: [
      (next: (request: never) => Promise<never>) => (request: { readonly header: Headers }) => {
        if (secret !== undefined) request.header.set('authorization', `Bearer ${secret}`)
        if (walletAuth !== undefined) request.header.set('x-wallet-auth', walletAuth)
        return next(request as never)
      },
    ] as never,
  }
  if (protocol === 'grpc') return createGrpcTransport(options)
  if (protocol === 'grpcWeb') return createGrpcWebTransport({ ...options, httpVersion: '2' })
  return createConnectTransport({ ...options, httpVersion: '1.1' })
}

export const openTestEdge = async (options: TestEdgeOptions): Promise<TestEdge> => {
  const directory = mkdtempSync(join(tmpdir(), 'edge-'))
  const reached: Reached[] = []
  const events: CallEvent[] = []
  const internal: unknown[] = []
  const denials: Denial[] = []
  const reloads: string[] = []
  const base = defaultUseCases()
  const edge = await openEdge({
    useCases: {
      wallets: recording({ ...base.wallets, ...options.wallets }, reached),
      signing: recording({ ...base.signing, ...options.signing }, reached),
      delegation: recording({ ...base.delegation, ...options.delegation }, reached),
      sending: recording(base.sending, reached),
      session: recording({ ...base.session, ...options.session }, reached),
      endUsers: recording({ ...base.endUsers, ...options.endUsers }, reached),
      audit: recording({ ...base.audit, ...options.audit }, reached),
      admin: recording({ ...base.admin, ...options.admin }, reached),
      webhooks: recording(base.webhooks, reached),
      delegate: recording(base.delegate, reached),
    },
    directory: directoryOf(options.keys),
    keyProofs: options.keyProofs,
    users: options.directoryOfUsers ?? usersOf(options.users ?? []),
    delegates: options.delegates ?? DELEGATES,
    idempotency: options.idempotency ?? memoryStore(),
    recordDenial: async (denial) => {
      denials.push(denial)
    },
    events: {
      onCall: (event) => events.push(event),
      onInternalError: (_method, error) => internal.push(error),
      onReloaded: ({ file }) => reloads.push(`reloaded ${file}`),
      onRefused: ({ file }) => reloads.push(`refused ${file}`),
      onStaleSocketRemoved: (path) => reloads.push(`stale ${path}`),
    },
    clock: { nowMs: () => Date.now(), monotonicNs: () => process.hrtime.bigint() },
    certificateIntervalMs: 50,
    listen: {
      grpc: LOOPBACK,
      connect: LOOPBACK,
      boundSockets: [],
      tlsIdentities: [],
      allowPlaintextBeyondLoopback: false,
      maxConcurrentRequests: 64,
      ...options.listen,
    },
  })
  edge.setServing(true)
  return {
    edge,
    directory,
    reached,
    events,
    internal,
    denials,
    reloads,
    client: (desc, secret, protocol = 'grpc', walletAuth) =>
      createClient(desc, transportTo(edge, protocol, secret, walletAuth)),
    [Symbol.asyncDispose]: async () => {
      await edge.stop(0)
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
