/** What the services make of requests and answers, and what the rules of the proto files let through to them. */
import { describe, expect, it } from 'vitest'
import { AdminService, ApiKeyState, ChainState, FreezeScope, LinkState } from '../../gen/countersign/v1/admin_pb.ts'
import { AuditOutcome, AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import {
  EvmTransactionType,
  OwnerType,
  SignerKind,
  WalletService,
  WalletState,
} from '../../gen/countersign/v1/wallet_pb.ts'
import { BadRequestSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { parsePermissionGrants } from '../../src/policy/parse-grants.ts'
import type { AuditEventView, PermissionGrantJson } from '../../src/rpc/use-cases.ts'
import { infoOf, reasonOf, refusalOf } from './support/refusal.ts'
import { openTestEdge, SIGNED, testKey, WALLET } from './support/test-edge.ts'

const signer = testKey(1, [
  'wallet:create',
  'wallet:read',
  'wallet:sign',
  'sign:authorization',
  'sign:digest',
  'audit:read',
])
const admin = testKey(2, ['admin', 'audit:read'])
const ADDRESS = '0x00000000219ab540356cBB839Cbe05303d7705Fa'
const PROTOCOLS = ['grpc', 'connect', 'grpcWeb'] as const

const fieldsOf = (error: Awaited<ReturnType<typeof refusalOf>>) =>
  error.findDetails(BadRequestSchema)[0]?.fieldViolations.map(({ field }) => field)

describe('WalletService', () => {
  it('shows a wallet in the contract’s form', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const { wallet } = await open
      .client(WalletService, signer.secret)
      .createWallet({ userId: 'alice', keyType: KeyType.SECP256K1 })
    expect(wallet).toMatchObject({
      walletId: WALLET.walletId,
      address: ADDRESS,
      publicKey: WALLET.publicKeyHex,
      keyType: KeyType.SECP256K1,
      ownerType: OwnerType.PROJECT,
      state: WalletState.ACTIVE,
      createTime: { seconds: 1_700_000_000n, nanos: 123_000_000 },
    })
    expect(open.reached[0]?.args).toEqual({
      userId: 'alice',
      keyType: 'secp256k1',
      ownerType: 'project',
      label: '',
    })
  })

  it('shows an Ed25519 signature raw and in base58, and nothing of ECDSA', async () => {
    const raw = new Uint8Array(64).fill(7)
    const signing = { signMessage: async () => ({ ...SIGNED, signature: { raw }, digest: new Uint8Array() }) }
    await using open = await openTestEdge({ keys: [signer], signing })
    const client = open.client(WalletService, signer.secret)
    const { signature, digest } = await client.signMessage({ wallet: 'alice', content: { case: 'text', value: '' } })
    const empty = new Uint8Array()
    expect(signature).toMatchObject({ r: empty, s: empty, hex: '', raw, base58: encodeBase58(raw) })
    expect([signature?.v, signature?.yParity, digest]).toEqual([undefined, undefined, empty])
  })

  it('shows a signature in every form at once', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const client = open.client(WalletService, signer.secret)
    const { signature, digest, receipt } = await client.signMessage({
      wallet: 'alice',
      content: { case: 'text', value: '' },
    })
    expect(signature).toMatchObject({
      r: SIGNED.signature.r,
      s: SIGNED.signature.s,
      v: 28,
      yParity: 1,
      base58: '',
    })
    expect(signature?.hex).toBe(`0x${'01'.repeat(32)}${'02'.repeat(32)}1c`)
    expect(Buffer.from(signature?.raw ?? []).toString('hex')).toBe(signature?.hex.slice(2))
    expect(digest).toEqual(SIGNED.digest)
    expect(receipt).toMatchObject({ sequence: 7n, keyId: 'audit-1' })
    expect(open.reached[0]?.args).toEqual({
      walletRef: 'alice',
      content: { kind: 'text', text: '' },
      isFormatted: false,
    })
  })

  it('hands a transaction’s fields on as they came', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const hash = new Uint8Array(32).fill(1)
    await open.client(WalletService, signer.secret).signTransaction({
      wallet: 'alice',
      transaction: {
        case: 'evm',
        value: {
          type: EvmTransactionType.SET_CODE,
          chainId: 1n,
          nonce: 2n,
          gasLimit: 21_000n,
          maxFeePerGas: '30000000000',
          maxPriorityFeePerGas: '0',
          to: ADDRESS,
          value: '115792089237316195423570985008687907853269984665640564039457584007913129639935',
          data: new Uint8Array([1]),
          accessList: [{ address: ADDRESS, storageKeys: [hash] }],
          authorizationList: [{ chainId: 0n, address: ADDRESS, nonce: 3n, yParity: 1, r: hash, s: hash }],
        },
      },
    })
    expect(open.reached[0]?.args).toMatchObject({
      transaction: {
        kind: 'evm',
        fields: {
          type: 'set_code',
          chainId: 1n,
          gasPrice: undefined,
          maxFeePerGas: 30_000_000_000n,
          maxPriorityFeePerGas: 0n,
          value: 2n ** 256n - 1n,
          to: ADDRESS,
          accessList: [{ address: ADDRESS, storageKeys: [hash] }],
          authorizationList: [{ chainId: 0n, nonce: 3n, signature: { r: hash, s: hash, yParity: 1 } }],
        },
      },
    })
  })

  it('answers the other signing calls in full', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const client = open.client(WalletService, signer.secret)
    const authorized = await client.signAuthorization({
      wallet: 'alice',
      chainId: 1n,
      address: ADDRESS,
      nonce: 4n,
    })
    expect(authorized.authorization).toMatchObject({ chainId: 1n, address: ADDRESS, nonce: 4n, yParity: 1 })
    expect(authorized.signature?.v).toBe(28)
    const digest = await client.signDigest({ wallet: 'alice', digest: new Uint8Array(32).fill(1) })
    expect(digest.receipt?.sequence).toBe(7n)
    const verified = await client.verifySignature({
      signer: { case: 'wallet', value: 'alice' },
      content: { case: 'typedDataJson', value: '{}' },
      signature: new Uint8Array(65),
    })
    expect(verified).toMatchObject({ valid: true, signerKind: SignerKind.EOA, recoveredAddress: ADDRESS })
  })

  it('pages, and binds its tokens to the caller and the filter', async () => {
    const other = testKey(3, ['wallet:read'])
    await using open = await openTestEdge({
      keys: [signer, other],
      wallets: {
        listWallets: async (_call, { cursor, pageSize }) => {
          const from = Number(cursor ?? 0)
          const items = Array.from({ length: Math.min(pageSize, 7 - from) }, (_, index) => ({
            ...WALLET,
            label: `${from + index}`,
          }))
          return { items, nextCursor: from + pageSize < 7 ? `${from + pageSize}` : undefined }
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    const labels: string[] = []
    let pageToken = ''
    do {
      const page = await client.listWallets({ pageSize: 3, pageToken, userId: 'alice' })
      labels.push(...page.wallets.map(({ label }) => label))
      pageToken = page.nextPageToken
    } while (pageToken !== '')
    expect(labels).toEqual(['0', '1', '2', '3', '4', '5', '6'])
    const { nextPageToken } = await client.listWallets({ pageSize: 3, userId: 'alice' })
    expect(
      (await client.listWallets({ pageSize: 2, pageToken: nextPageToken, userId: 'alice' })).wallets,
    ).toHaveLength(2)
    for (const [asking, request] of [
      [client, { pageToken: nextPageToken }],
      [client, { pageToken: nextPageToken, userId: 'bob' }],
      [open.client(WalletService, other.secret), { pageToken: nextPageToken, userId: 'alice' }],
      [client, { pageToken: 'nonsense' }],
    ] as const)
      expect(await reasonOf(asking.listWallets(request))).toBe('PAGE_TOKEN_INVALID')
    await client.listWallets({})
    expect(open.reached.at(-1)?.args).toMatchObject({ pageSize: 50, cursor: undefined })
  })

  const bad: readonly [string, (client: ReturnType<typeof clientType>) => Promise<unknown>, string][] = [
    ['no key type', (client) => client.createWallet({ userId: 'alice' }), 'key_type'],
    [
      'an unknown key type',
      (client) => client.createWallet({ userId: 'alice', keyType: 9 as KeyType }),
      'key_type',
    ],
    ['an empty user id', (client) => client.createWallet({ keyType: KeyType.SECP256K1 }), 'user_id'],
    [
      'a user id with a space',
      (client) => client.createWallet({ userId: 'a b', keyType: KeyType.SECP256K1 }),
      'user_id',
    ],
    [
      'a user id with a line end',
      (client) => client.createWallet({ userId: 'a\n', keyType: KeyType.SECP256K1 }),
      'user_id',
    ],
    [
      'a request id that is no UUID',
      (client) => client.signMessage({ wallet: 'a', content: { case: 'text', value: '' }, requestId: '1' }),
      'request_id',
    ],
    ['no wallet', (client) => client.signMessage({ content: { case: 'text', value: '' } }), 'wallet'],
    ['no content', (client) => client.signMessage({ wallet: 'a' }), 'content'],
    ['no transaction', (client) => client.signTransaction({ wallet: 'a' }), 'transaction'],
    ['a digest of 31 bytes', (client) => client.signDigest({ wallet: 'a', digest: new Uint8Array(31) }), 'digest'],
    ['a page of 501', (client) => client.listWallets({ pageSize: 501 }), 'page_size'],
    ['a page of -1', (client) => client.listWallets({ pageSize: -1 }), 'page_size'],
    ['an amount in hex', (client) => signFields(client, { value: '0x1' }), 'evm.value'],
    ['an amount with a leading zero', (client) => signFields(client, { gasPrice: '01' }), 'evm.gas_price'],
    ['a transaction for every chain', (client) => signFields(client, { chainId: 0n }), 'evm.chain_id'],
    ['a short address', (client) => signFields(client, { to: '0x12' }), 'evm.to'],
    [
      'a storage key of 31 bytes',
      (client) => signFields(client, { accessList: [{ address: ADDRESS, storageKeys: [new Uint8Array(31)] }] }),
      'evm.access_list[0].storage_keys[0]',
    ],
  ]
  it.each(bad)('refuses %s, naming the field, on both ports', async (_what, ask, field) => {
    await using open = await openTestEdge({ keys: [signer] })
    for (const protocol of PROTOCOLS) {
      const error = await refusalOf(ask(open.client(WalletService, signer.secret, protocol)))
      expect(infoOf(error)?.reason).toBe('INVALID_REQUEST')
      expect(fieldsOf(error)).toContain(field)
    }
    expect(open.reached).toHaveLength(0)
  })
})

const clientType = () => ({}) as import('@connectrpc/connect').Client<typeof WalletService>

const signFields = (client: ReturnType<typeof clientType>, fields: object) =>
  client.signTransaction({
    wallet: 'a',
    transaction: {
      case: 'evm',
      value: { type: EvmTransactionType.LEGACY, chainId: 1n, gasLimit: 21_000n, ...fields },
    },
  })

describe('AuditService', () => {
  const event = (sequence: bigint): AuditEventView => ({
    sequence,
    timeMs: 5,
    kind: 'sign.intent',
    projectId: 'default',
    actor: 'api_key:key_1',
    subject: 'wallet:wal_1',
    method: 'countersign.v1.WalletService/SignMessage',
    requestId: '',
    outcome: 'allowed',
    reason: '',
    detailsJson: '{}',
    prevHash: new Uint8Array(32).fill(1),
    hash: new Uint8Array(32).fill(2),
  })

  it('pages through a caller’s own project, and through all for an operator', async () => {
    await using open = await openTestEdge({
      keys: [signer, admin],
      audit: {
        listEvents: async (_call, { afterSequence, limit }) =>
          Array.from({ length: Math.min(limit, 5 - Number(afterSequence)) }, (_, index) =>
            event(afterSequence + BigInt(index) + 1n),
          ),
      },
    })
    const client = open.client(AuditService, signer.secret)
    const first = await client.listEvents({ pageSize: 3 })
    expect(first.events.map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n])
    expect(first.events[0]).toMatchObject({ outcome: AuditOutcome.ALLOWED, actor: 'api_key:key_1' })
    const second = await client.listEvents({ pageSize: 3, pageToken: first.nextPageToken })
    expect(second.events.map(({ sequence }) => sequence)).toEqual([4n, 5n])
    expect(second.nextPageToken).toBe('')
    expect(open.reached[0]?.args).toMatchObject({
      filter: { projectId: 'default', kind: undefined, subjectId: undefined },
    })
    expect(await reasonOf(client.listEvents({ projectId: 'other' }))).toBe('PERMISSION_MISSING')
    await open.client(AuditService, admin.secret).listEvents({ kind: 'x' })
    expect(open.reached.at(-1)?.args).toMatchObject({ filter: { projectId: undefined, kind: 'x' } })
    await open.client(AuditService, admin.secret).listEvents({ projectId: 'other' })
    expect(open.reached.at(-1)?.args).toMatchObject({ filter: { projectId: 'other' } })
  })

  it('streams, and keeps to the same rule', async () => {
    await using open = await openTestEdge({
      keys: [signer],
      audit: {
        async *watchEvents(_call, { afterSequence }) {
          yield event(afterSequence + 1n)
          yield event(afterSequence + 2n)
        },
      },
    })
    for (const protocol of PROTOCOLS) {
      const client = open.client(AuditService, signer.secret, protocol)
      const seen: (bigint | undefined)[] = []
      for await (const { event: told } of client.watchEvents({ afterSequence: 8n })) seen.push(told?.sequence)
      expect(seen).toEqual([9n, 10n])
      const foreign = (async () => {
        for await (const _ of client.watchEvents({ projectId: 'other' })) continue
      })()
      expect(await reasonOf(foreign)).toBe('PERMISSION_MISSING')
    }
  })

  it('says where a chain breaks', async () => {
    const found = { checkedCount: 9n, headSequence: 9n, headHash: new Uint8Array(32) }
    await using open = await openTestEdge({
      keys: [signer],
      audit: {
        verifyChain: async () => ({ ...found, firstBad: { sequence: 4n, description: 'its hash does not fit' } }),
      },
    })
    const answer = await open.client(AuditService, signer.secret).verifyChain({})
    expect(answer).toMatchObject({
      valid: false,
      firstBadSequence: 4n,
      description: 'its hash does not fit',
      checkedCount: 9n,
    })
  })
})

describe('AdminService', () => {
  it('stores permissions in the form the policy reads, and shows them again as they were', async () => {
    let stored: readonly PermissionGrantJson[] = []
    await using open = await openTestEdge({
      keys: [admin],
      admin: {
        createApiKey: async (_call, { grants, allowedCidrs, expireTimeMs }) => {
          stored = grants
          return {
            secret: 'csk_x',
            apiKey: {
              apiKeyId: admin.record.apiKeyId,
              projectId: admin.record.projectId,
              name: '',
              grants,
              allowedCidrs,
              requestsPerSecond: 3,
              expireTimeMs,
              createTimeMs: 1,
              rotateTimeMs: undefined,
              revokeTimeMs: undefined,
              publicKey: undefined,
              needsDeveloperAuth: false,
              state: 'active',
            },
          }
        },
      },
    })
    const permissions = [
      {
        name: 'wallet:sign',
        wallets: [WALLET.walletId],
        chains: ['eip155:1', 'eip155:0'],
        destinations: [ADDRESS],
        maxPerTransaction: [
          { chain: 'eip155:1', token: 'native', amount: '10' },
          { chain: 'eip155:1', token: 'fee', amount: '5' },
        ],
        maxPerDay: [{ chain: 'eip155:1', token: ADDRESS.toLowerCase(), amount: '20' }],
        requestsPerSecond: 7,
      },
      { name: 'wallet:read' },
    ]
    const { apiKey, secret } = await open.client(AdminService, admin.secret).createApiKey({
      permissions,
      allowedCidrs: ['10.0.0.0/8', '::1/128'],
      expireTime: { seconds: 4_000_000_000n, nanos: 0 },
    })
    expect(secret).toBe('csk_x')
    expect(apiKey).toMatchObject({
      permissions,
      allowedCidrs: ['10.0.0.0/8', '::1/128'],
      state: ApiKeyState.ACTIVE,
    })
    expect(apiKey?.expireTime?.seconds).toBe(4_000_000_000n)
    expect(apiKey?.revokeTime).toBeUndefined()
    const [grant] = parsePermissionGrants(stored)
    expect(grant?.narrowing.maxPerTransaction?.get('eip155:1/native')).toBe(10n)
    expect(stored[1]).toEqual({ permission: 'wallet:read', narrowing: {} })
  })

  it('refuses a cap that is listed twice, in any letter case', async () => {
    await using open = await openTestEdge({ keys: [admin] })
    const cap = (token: string) => ({ chain: 'eip155:1', token, amount: '1' })
    for (const [one, two] of [
      ['', 'native'],
      [ADDRESS, ADDRESS.toLowerCase()],
    ]) {
      const maxPerDay = [cap(one ?? ''), cap(two ?? '')]
      const error = await refusalOf(
        open
          .client(AdminService, admin.secret)
          .createApiKey({ permissions: [{ name: 'wallet:sign', maxPerDay }] }),
      )
      expect(infoOf(error)?.reason).toBe('INVALID_REQUEST')
      expect(fieldsOf(error)).toEqual(['permissions[0].max_per_day'])
    }
  })

  it.each([
    ['no permission', { permissions: [] }],
    ['an unknown permission', { permissions: [{ name: 'wallet:steal' }] }],
    ['a malformed network', { permissions: [{ name: 'admin' }], allowedCidrs: ['10.0.0.0'] }],
    ['a network with host bits', { permissions: [{ name: 'admin' }], allowedCidrs: ['10.0.0.1/8'] }],
    ['an expiry in the past', { permissions: [{ name: 'admin' }], expireTime: { seconds: 1n, nanos: 0 } }],
    ['a malformed chain', { permissions: [{ name: 'wallet:sign', chains: ['1'] }] }],
  ])('makes no key with %s', async (_what, request) => {
    await using open = await openTestEdge({ keys: [admin] })
    expect(await reasonOf(open.client(AdminService, admin.secret).createApiKey(request))).toBe('INVALID_REQUEST')
    expect(open.reached).toHaveLength(0)
  })

  it('changes what the mask names, and asks for one', async () => {
    await using open = await openTestEdge({ keys: [admin] })
    const client = open.client(AdminService, admin.secret)
    const project = { projectId: 'default', displayName: 'New', etag: 'e0' }
    await client.updateProject({ project, updateMask: { paths: ['display_name'] } })
    expect(open.reached[0]?.args).toEqual({ projectId: 'default', etag: 'e0', changes: { displayName: 'New' } })
    await client.updateProject({ project: { projectId: 'p', delegationEnabled: true }, updateMask: { paths: ['delegation_enabled'] } })
    expect(open.reached[1]?.args).toEqual({ projectId: 'p', etag: undefined, changes: { delegationEnabled: true } })
    for (const request of [
      { project },
      { project, updateMask: { paths: [] } },
      { project, updateMask: { paths: ['etag'] } },
      { updateMask: { paths: ['display_name'] } },
    ])
      expect(await reasonOf(client.updateProject(request))).toBe('INVALID_REQUEST')
    expect(open.reached).toHaveLength(2)
  })

  it('freezes what is named', async () => {
    await using open = await openTestEdge({ keys: [admin] })
    const client = open.client(AdminService, admin.secret)
    await client.freeze({ scope: FreezeScope.EVERYTHING, note: 'drill' })
    await client.unfreeze({ scope: FreezeScope.WALLET, id: WALLET.walletId })
    expect(open.reached.map(({ args }) => args)).toEqual([
      { scope: 'all', id: '*', note: 'drill' },
      { scope: 'wallet', id: WALLET.walletId },
    ])
    for (const request of [{}, { scope: FreezeScope.WALLET }, { scope: FreezeScope.EVERYTHING, id: 'x' }])
      expect(await reasonOf(client.freeze(request))).toBe('INVALID_REQUEST')
  })

  it('tells how the daemon is', async () => {
    await using open = await openTestEdge({ keys: [admin] })
    const { status } = await open.client(AdminService, admin.secret).getStatus({})
    expect(status).toMatchObject({
      mode: 'split at rest, one host',
      cosignerAvailable: true,
      links: [{ shard: 0, state: LinkState.READY }],
      freezes: [{ scope: FreezeScope.WALLET, id: WALLET.walletId }],
      auditSequence: 7n,
      chains: [{ network: 'linea', state: ChainState.USABLE, chainId: 59_144n, blockNumber: 9n }],
    })
  })
})
