/** A running daemon gives delegates access: registered, consented to, judged by the cosigner, delivered, refused. */
import { createHmac, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { FreezeScope, WebhookFormat } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { DeliveredEnvelope } from '../../gen/countersign/v1/delegate_side_pb.ts'
import { type Delegate, DelegatedAccessState, DelegatedPermission } from '../../gen/countersign/v1/delegated_access_pb.ts'
import { OwnerType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { delegateAccess, type DelegateAccessOptions, DelegationMismatch } from '../../src/client/delegate-access.ts'
import { proveWalletSecret, type WalletSecret } from '../../src/client/wallet-secret.ts'
import type { SealedEnvelope } from '../../src/domain/sealed-envelope.ts'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { decodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { openDynamicEnvelope } from '../../src/engine/sealing/dynamic-envelope.ts'
import { runCli } from '../commands/run-cli.ts'
import { listenReceiver, type Receiver } from '../delegation/webhook-receiver.ts'
import { detailOf, headSequence, rowsOfKind } from './audit-rows.ts'
import { connect, newKey, reasonOf, refusalOf } from './callers.ts'
import { connectAs, makePeople, newDevice, type Person } from './end-users.ts'
import { fresh } from './fresh.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const DAY_MS = 86_400_000
const ARGS = ['--egress-allow', '127.0.0.1/32', '--max-grant-days', '30']
const base = makeDataDir()
const phone = newDevice()
const rsa = [0, 1].map(() => generateKeyPairSync('rsa', { modulusLength: 3_072 }))
const [firstRsa, secondRsa] = rsa as [(typeof rsa)[0], (typeof rsa)[0]]
const pemOf = ({ publicKey }: { publicKey: KeyObject }): string => publicKey.export({ format: 'pem', type: 'spki' })
const identity = () => Uint8Array.from(generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
const pinned = { identityPublicKey: identity(), publicKeyPem: pemOf(firstRsa) }

let daemon: TestDaemon
let admin: CountersignClient
let anna: CountersignClient
let bert: CountersignClient
let people: readonly Person[]
let cosignerId: string
let wallet: Wallet
let solana: Wallet
let receiver: Receiver
let hook: { readonly webhookId: string; readonly secret: string }
let bots: Delegate

const walletSecret: WalletSecret = {
  publicKey: new Uint8Array(Buffer.from(phone.publicKey, 'base64')),
  sign: phone.sign,
}
const soon = (): Date => new Date(Date.now() + DAY_MS)
const asked = (changes: Partial<DelegateAccessOptions> = {}): DelegateAccessOptions => ({
  wallet: wallet.walletId,
  cosignerId,
  delegateId: bots.delegateId,
  delegate: pinned,
  consent: { walletSecret },
  expireTime: soon(),
  ...changes,
})
const isCreated = (body: string): boolean => body.includes('"eventName":"wallet.delegation.created"')
const opened = (envelope: SealedEnvelope | DeliveredEnvelope | undefined, key = firstRsa.privateKey): string =>
  Buffer.from(openDynamicEnvelope(key, envelope as SealedEnvelope) ?? '').toString('utf8')

beforeAll(async () => {
  await ed25519Ready()
  people = await makePeople(base, ['anna', 'bert'])
  daemon = await startDaemon({ dataDir: base, keepData: true, args: ARGS })
  admin = connect(daemon, daemon.adminKey)
  anna = connectAs(daemon, people[0]!, phone)
  bert = connectAs(daemon, people[1]!)
  cosignerId = (await admin.admin.getStatus({})).status?.cosignerId ?? ''
  await anna.endUsers.registerWalletSecret({ publicKey: phone.publicKey, validUntil: timestampFromMs(Date.now() + 3_600_000) })
  const first = await proveWalletSecret({ cosignerId, projectId: 'default', userId: 'anna' }, walletSecret)
  const make = async (keyType: KeyType, rest: object = {}) =>
    (await anna.wallets.createWallet({ userId: 'anna', keyType, ownerType: OwnerType.END_USER, ...rest })).wallet as Wallet
  wallet = await make(KeyType.SECP256K1, { walletSecret: first })
  solana = await make(KeyType.ED25519)
  receiver = await listenReceiver()
  const { webhook, secret } = await admin.admin.createWebhook({ url: receiver.url, format: WebhookFormat.DYNAMIC })
  hook = { webhookId: webhook?.webhookId ?? '', secret }
})
afterAll(async () => {
  for (const client of [admin, anna, bert]) client.close()
  receiver.close()
  await daemon.kill('SIGKILL')
  rmSync(base, { recursive: true, force: true })
})

describe('delegates', () => {
  it('are registered once, with keys that can be sealed to and a webhook that tells them', async () => {
    const request = {
      name: 'bots',
      identityPublicKey: pinned.identityPublicKey,
      publicKeyPem: pinned.publicKeyPem,
      kid: 'k1',
      webhookId: hook.webhookId,
      requestId: randomUUID(),
    }
    const small = pemOf(generateKeyPairSync('rsa', { modulusLength: 2_048 }))
    const { webhook: other } = await admin.admin.createWebhook({ url: receiver.url, format: WebhookFormat.COUNTERSIGN })
    const wrong = [
      [{ publicKeyPem: small }, 'DELEGATE_KEY_INVALID'],
      [{ publicKeyPem: `-----BEGIN PUBLIC KEY-----${'A'.repeat(80)}` }, 'DELEGATE_KEY_INVALID'],
      [{ webhookId: other?.webhookId ?? '' }, 'WEBHOOK_NOT_FOUND'],
      [{ webhookId: `whk_${'00'.repeat(16)}` }, 'WEBHOOK_NOT_FOUND'],
      [{ kid: 'not a kid' }, 'INVALID_REQUEST'],
      [{ identityPublicKey: new Uint8Array(31) }, 'INVALID_REQUEST'],
    ] as const
    for (const [change, reason] of wrong) {
      expect(await reasonOf(admin.delegation.registerDelegate({ ...request, ...change, requestId: '' }))).toBe(reason)
    }
    bots = (await admin.delegation.registerDelegate(request)).delegate as Delegate
    expect(bots).toMatchObject({ name: 'bots', webhookId: hook.webhookId, keys: [{ kid: 'k1', active: true, publicKeyPem: pinned.publicKeyPem }] })
    expect([bots.partyId.length, bots.linkId.length]).toEqual([32, 16])
    expect((await admin.delegation.registerDelegate(request)).delegate?.delegateId).toBe(bots.delegateId)
    expect(await reasonOf(admin.delegation.registerDelegate({ ...request, requestId: '' }))).toBe('DELEGATE_ALREADY_EXISTS')
  })

  it('are the whole project’s: a permission narrowed to wallets registers none; end users see them', async () => {
    const narrowed = await newKey(admin, [{ name: 'delegation:create', wallets: [wallet.walletId] }])
    const client = connect(daemon, narrowed.secret)
    const request = { name: 'more', identityPublicKey: identity(), publicKeyPem: pinned.publicKeyPem, kid: 'k1' }
    expect(await reasonOf(client.delegation.registerDelegate(request))).toBe('PERMISSION_MISSING')
    expect(await reasonOf(anna.delegation.registerDelegate(request))).toBe('CALLER_NOT_ALLOWED')
    expect((await anna.delegation.listDelegates({})).delegates.map(({ name }) => name)).toEqual(['bots'])
    const reader = connect(daemon, (await newKey(admin, [{ name: 'wallet:read' }])).secret)
    expect(await reasonOf(reader.delegation.listDelegates({}))).toBe('PERMISSION_MISSING')
    for (const one of [client, reader]) one.close()
  })
})

describe('an end user', () => {
  it('gives a delegate a share that only the delegate opens, told by its webhook and in the answer', async () => {
    const { access, encryptedDelegatedShare, encryptedWalletApiKey, receipt } = await delegateAccess(
      anna,
      asked({ includeEnvelopes: true, limits: { chains: ['eip155:1'], maxPerDay: [{ chain: 'eip155:1', token: '', amount: '5' }] } }),
    )
    expect(access).toMatchObject({
      walletId: wallet.walletId,
      userId: 'anna',
      address: wallet.address,
      delegateId: bots.delegateId,
      kid: 'k1',
      grantId: '',
      state: DelegatedAccessState.PENDING,
      permissions: [DelegatedPermission.SIGN_MESSAGE, DelegatedPermission.SIGN_TYPED_DATA, DelegatedPermission.SIGN_TRANSACTION],
      limits: { chains: ['eip155:1'], maxPerDay: [{ chain: 'eip155:1', token: 'native', amount: '5' }] },
    })
    const read = decodeDelegatedShare(Buffer.from(opened(encryptedDelegatedShare)))
    if (read.kind !== 'own') throw new Error(read.kind)
    expect(Buffer.from(read.share.walletId).toString('hex')).toBe(access?.delegatedAccessId.replaceAll('-', ''))
    expect(Buffer.from(read.share.idG)).toEqual(Buffer.from(bots.partyId))
    expect(Buffer.from(read.share.linkId)).toEqual(Buffer.from(bots.linkId))
    expect(JSON.parse(opened(encryptedDelegatedShare))).toMatchObject({ pubkey: wallet.publicKey })
    expect(opened(encryptedWalletApiKey)).toMatch(/^cdk_[A-Za-z0-9_-]{43}$/)
    expect(encryptedDelegatedShare).toMatchObject({ alg: 'HYBRID-RSA-AES-256', kid: 'k1' })

    await vi.waitFor(() => expect(receiver.received.some(({ body }) => isCreated(body))).toBe(true), { timeout: 20_000 })
    const { body, headers } = receiver.received.find((one) => isCreated(one.body))!
    expect(headers['x-dynamic-signature-256']).toBe(`sha256=${createHmac('sha256', hook.secret).update(body).digest('hex')}`)
    const told = JSON.parse(body) as { data: Record<string, SealedEnvelope> }
    expect(told.data).toMatchObject({ chain: 'EVM', walletId: access?.delegatedAccessId, publicKey: wallet.address, userId: 'anna' })
    expect(opened(told.data['encryptedDelegatedShare'])).toBe(opened(encryptedDelegatedShare))
    expect(opened(told.data['encryptedWalletApiKey'])).toBe(opened(encryptedWalletApiKey))

    const [row] = (await rowsOfKind(admin, 'delegated_access.created', 0n)).toReversed()
    expect(row?.sequence).toBe(receipt?.sequence)
    expect([detailOf(row!, 'consent'), detailOf(row!, 'delegate')]).toEqual(['wallet_secret', bots.delegateId])
    // The wallet signs as before.
    expect((await anna.wallets.signMessage({ wallet: wallet.walletId, content: { case: 'text', value: 'mine' } })).signature).toBeDefined()
  })

  it('one of Ed25519 as well, with digests only where they are asked for', async () => {
    const { access, encryptedDelegatedShare } = await delegateAccess(
      anna,
      asked({ wallet: solana.address, includeEnvelopes: true, permissions: [DelegatedPermission.SIGN_DIGEST] }),
    )
    expect(access).toMatchObject({ keyType: KeyType.ED25519, permissions: [DelegatedPermission.SIGN_DIGEST] })
    expect(decodeDelegatedShare(Buffer.from(opened(encryptedDelegatedShare))).kind).toBe('own')
  })

  it('asks again under one request id and is answered the same; a consent is good for nothing else', async () => {
    let sent: Parameters<typeof anna.delegation.delegateAccess>[0] | undefined
    const noting = { ...anna, delegation: { ...anna.delegation, delegateAccess: (request: typeof sent) => ((sent = request), anna.delegation.delegateAccess(request!)) } }
    const first = await delegateAccess(noting, asked({ includeEnvelopes: true, requestId: randomUUID() }))
    const again = await anna.delegation.delegateAccess(sent!)
    expect(again.access?.delegatedAccessId).toBe(first.access?.delegatedAccessId)
    expect(again.encryptedDelegatedShare).toEqual(first.encryptedDelegatedShare)
    expect(await reasonOf(anna.delegation.delegateAccess({ ...sent!, requestId: '' }))).toBe('DELEGATION_REFUSED')
    expect(await reasonOf(anna.delegation.delegateAccess({ ...sent!, requestId: '', nonce: new Uint8Array(32) }))).toBe('DELEGATION_REFUSED')
    expect(await reasonOf(anna.delegation.delegateAccess({ ...sent!, walletEpoch: 7, requestId: '' }))).toBe('WALLET_EPOCH_MISMATCH')
    const late = { ...sent!, requestId: '', consentExpireTime: timestampFromMs(Date.now() + 400_000) }
    expect(await reasonOf(anna.delegation.delegateAccess(late))).toBe('CONSENT_EXPIRED')
  })

  it('is refused by the cosigner whatever the daemon says: another key, delegate, link or secret than was signed for', async () => {
    const lies: readonly Partial<DelegateAccessOptions>[] = [
      { delegate: { ...pinned, publicKeyPem: pemOf(secondRsa) } },
      { cosignerId: 'ab'.repeat(32) },
      { consent: { approvalId: new Uint8Array(16) } },
      { consent: { walletSecret: { publicKey: walletSecret.publicKey, sign: newDevice().sign } } },
    ]
    for (const lie of lies) expect(await reasonOf(delegateAccess(anna, asked({ ...lie, includeEnvelopes: true })))).toBe('DELEGATION_REFUSED')
    await expect(delegateAccess(anna, asked({ delegate: { ...pinned, identityPublicKey: identity() } }))).rejects.toThrow(DelegationMismatch)
    await expect(delegateAccess(anna, asked({ cosignerId: '' }))).rejects.toThrow(TypeError)
    await expect(delegateAccess(anna, asked({ address: `0x${'00'.repeat(20)}` }))).rejects.toThrow(DelegationMismatch)
  })

  it('of another wallet finds nothing, and lists nothing', async () => {
    const mine = await anna.delegation.listDelegatedAccess({ pageSize: 2 })
    expect([mine.accesses.length, mine.nextPageToken === '']).toEqual([2, false])
    const rest = await anna.delegation.listDelegatedAccess({ pageSize: 2, pageToken: mine.nextPageToken })
    expect(rest.accesses.length).toBeGreaterThan(0)
    expect((await anna.delegation.listDelegatedAccess({ walletId: solana.walletId, openOnly: true })).accesses).toHaveLength(1)
    expect((await bert.delegation.listDelegatedAccess({})).accesses).toEqual([])
    expect((await bert.delegation.listDelegatedAccess({ userId: 'anna' })).accesses).toEqual([])
    const reader = connect(daemon, (await newKey(admin, [{ name: 'wallet:read', wallets: [solana.walletId] }])).secret)
    expect((await reader.delegation.listDelegatedAccess({})).accesses.map(({ walletId }) => walletId)).toEqual([solana.walletId])
    reader.close()
  })
})

describe('a project', () => {
  it('delegates a wallet of an end user under a grant and on that user’s word, and the access names the grant', async () => {
    const key = await newKey(admin, [{ name: 'delegation:create' }, { name: 'wallet:read' }])
    const client = connect(daemon, key.secret)
    expect(await reasonOf(delegateAccess(client, asked()))).toBe('DELEGATION_NOT_ENABLED')
    await admin.admin.updateProject({ project: { projectId: 'default', delegationEnabled: true }, updateMask: { paths: ['delegation_enabled'] } })
    expect(await reasonOf(delegateAccess(client, asked()))).toBe('GRANT_NOT_FOUND')
    const { grant } = await anna.delegation.createGrant({ scope: { case: 'userId', value: 'anna' }, expireTime: timestampFromMs(Date.now() + DAY_MS) })
    const { access } = await delegateAccess(client, asked())
    expect(access?.grantId).toBe(grant?.grantId)
    expect(await reasonOf(delegateAccess(client, asked({ consent: { approvalId: new Uint8Array(16) } })))).toBe('DELEGATION_REFUSED')
    const reader = connect(daemon, (await newKey(admin, [{ name: 'wallet:read' }])).secret)
    expect(await reasonOf(delegateAccess(reader, asked()))).toBe('PERMISSION_MISSING')
    for (const one of [client, reader]) one.close()
  })

  it('is held to the delegate, the time and the way of delivery', async () => {
    const { delegate: silent } = await admin.delegation.registerDelegate({ name: 'silent', identityPublicKey: identity(), publicKeyPem: pinned.publicKeyPem, kid: 'k1' })
    const other = { ...pinned, identityPublicKey: silent!.identityPublicKey }
    const refusal = await refusalOf(delegateAccess(anna, asked({ delegateId: silent!.delegateId, delegate: other })))
    expect([refusal.reason, refusal.message]).toEqual(['INVALID_REQUEST', expect.stringContaining('include_envelopes')])
    const unknown = { ...(await requestOf()), delegateId: `dlg_${'00'.repeat(16)}` }
    expect(await reasonOf(anna.delegation.delegateAccess(unknown))).toBe('DELEGATE_NOT_FOUND')
    for (const expireTime of [new Date(Date.now() - 1_000), new Date(Date.now() + 31 * DAY_MS)]) {
      expect(await reasonOf(delegateAccess(anna, asked({ expireTime })))).toBe('INVALID_REQUEST')
    }
    expect(await reasonOf(delegateAccess(anna, asked({ limits: { chains: ['eip155:1', 'eip155:1'] } })))).toBe('INVALID_REQUEST')
  })

  it('seals to the key that took the place of another, and to none that was before', async () => {
    const rotated = await admin.delegation.rotateDelegateKey({ delegateId: bots.delegateId, publicKeyPem: pemOf(secondRsa), kid: 'k2' })
    expect(rotated.delegate?.keys.map(({ kid, active }) => [kid, active])).toEqual([['k2', true], ['k1', false]])
    const again = { delegateId: bots.delegateId, publicKeyPem: pinned.publicKeyPem, kid: 'k3' }
    expect(await reasonOf(admin.delegation.rotateDelegateKey(again))).toBe('DELEGATE_ALREADY_EXISTS')
    expect(await reasonOf(delegateAccess(anna, asked()))).toBe('DELEGATION_REFUSED')
    const delegate = { ...pinned, publicKeyPem: pemOf(secondRsa) }
    const { access, encryptedWalletApiKey } = await delegateAccess(anna, asked({ delegate, includeEnvelopes: true }))
    expect(access?.kid).toBe('k2')
    expect(opened(encryptedWalletApiKey, secondRsa.privateKey)).toMatch(/^cdk_/)
  })
})

describe('what stops signing', () => {
  it('stops delegating: a freeze, and an archived wallet', async () => {
    const delegate = { ...pinned, publicKeyPem: pemOf(secondRsa) }
    await admin.admin.freeze({ scope: FreezeScope.WALLET, id: wallet.walletId })
    expect(await reasonOf(delegateAccess(anna, asked({ delegate })))).toBe('FROZEN')
    await admin.admin.unfreeze({ scope: FreezeScope.WALLET, id: wallet.walletId })
    await anna.wallets.archiveWallet({ wallet: solana.walletId })
    expect(await reasonOf(delegateAccess(anna, asked({ wallet: solana.walletId, delegate })))).toBe('WALLET_ARCHIVED')
    expect((await delegateAccess(anna, asked({ delegate }))).access?.state).toBe(DelegatedAccessState.PENDING)
  })
})

describe('taking back', () => {
  const delegate = { ...pinned, publicKeyPem: pemOf(secondRsa) }
  const give = async (changes: Partial<DelegateAccessOptions> = {}) => {
    const { access, encryptedWalletApiKey } = await delegateAccess(anna, asked({ delegate, includeEnvelopes: true, ...changes }))
    return { id: access!.delegatedAccessId, apiKey: opened(encryptedWalletApiKey, secondRsa.privateKey) }
  }
  const stateOf = async (id: string): Promise<DelegatedAccessState | undefined> =>
    (await anna.delegation.listDelegatedAccess({ pageSize: 500 })).accesses.find(({ delegatedAccessId }) => delegatedAccessId === id)?.state
  const isTold = (id: string): boolean =>
    receiver.received.some(({ body }) => body.includes('"eventName":"wallet.delegation.revoked"') && body.includes(id))

  it('is for the end user, a key with grant:revoke and the delegate itself; the delegate is told', async () => {
    const after = await headSequence(admin)
    const [byUser, byProject, byItself] = [await give(), await give(), await give()]
    const revoke = (client: CountersignClient, id: string) => client.delegation.revokeDelegatedAccess({ delegatedAccessId: id })
    expect(await reasonOf(revoke(bert, byUser.id))).toBe('DELEGATED_ACCESS_NOT_FOUND')
    const reader = connect(daemon, (await newKey(admin, [{ name: 'wallet:read' }])).secret)
    expect(await reasonOf(revoke(reader, byUser.id))).toBe('PERMISSION_MISSING')
    const narrowed = connect(daemon, (await newKey(admin, [{ name: 'grant:revoke', wallets: [solana.walletId] }])).secret)
    expect(await reasonOf(revoke(narrowed, byUser.id))).toBe('PERMISSION_MISSING')
    expect((await revoke(anna, byUser.id)).access?.state).toBe(DelegatedAccessState.REVOKED)
    const project = connect(daemon, (await newKey(admin, [{ name: 'grant:revoke' }])).secret)
    expect((await revoke(project, byProject.id)).access?.state).toBe(DelegatedAccessState.REVOKED)
    const bot = connect(daemon, byItself.apiKey)
    expect(await reasonOf(revoke(bot, byUser.id))).toBe('DELEGATED_ACCESS_NOT_FOUND')
    expect(await reasonOf(bot.wallets.listWallets({}))).toBe('CALLER_NOT_ALLOWED')
    expect((await revoke(bot, byItself.id)).access?.state).toBe(DelegatedAccessState.REVOKED)
    expect(await reasonOf(revoke(bot, byItself.id))).toBe('DELEGATED_ACCESS_REVOKED')
    // Once more changes nothing.
    expect((await revoke(anna, byUser.id)).access?.state).toBe(DelegatedAccessState.REVOKED)
    const rows = await rowsOfKind(admin, 'delegated_access.revoked', after)
    expect(rows.map(({ reason }) => reason)).toEqual(['user', 'project', 'delegate'])
    await vi.waitFor(() => expect([byUser, byProject, byItself].map(({ id }) => isTold(id))).toEqual([true, true, true]), { timeout: 20_000 })
    for (const client of [reader, narrowed, project, bot]) client.close()
  })

  it('comes by itself with the time, and with the end of the grant it was made under', async () => {
    const brief = await give({ expireTime: new Date(Date.now() + 1_500) })
    const { grants } = await anna.delegation.listGrants({})
    const under = (await anna.delegation.listDelegatedAccess({ openOnly: true })).accesses.filter(({ grantId }) => grantId !== '')
    expect(under.length).toBeGreaterThan(0)
    await anna.delegation.revokeGrant({ grantId: grants[0]!.grantId })
    for (const { delegatedAccessId } of under) expect(await stateOf(delegatedAccessId)).toBe(DelegatedAccessState.REVOKED)
    await vi.waitFor(async () => expect(await rowsOfKind(admin, 'delegated_access.expired', 0n)).toHaveLength(1), { timeout: 20_000 })
    expect(await stateOf(brief.id)).toBe(DelegatedAccessState.EXPIRED)
    const bot = connect(daemon, brief.apiKey)
    expect(await reasonOf(bot.delegation.revokeDelegatedAccess({ delegatedAccessId: brief.id }))).toBe('DELEGATED_ACCESS_EXPIRED')
    bot.close()
    await vi.waitFor(() => expect(isTold(brief.id)).toBe(true), { timeout: 20_000 })
  })
})

describe('the operator of the cosigner', () => {
  it('approves a wallet of the project, which has no owner to sign, for a delegate of its own register, once', async () => {
    const { wallet: treasury } = await admin.wallets.createWallet({ userId: fresh('treasury'), keyType: KeyType.SECP256K1 })
    const id = treasury!.walletId
    const delegate = { ...pinned, publicKeyPem: pemOf(secondRsa) }
    const give = (approvalId: Uint8Array) =>
      delegateAccess(admin, asked({ wallet: id, delegate, consent: { approvalId }, includeEnvelopes: true }))
    expect(await reasonOf(delegateAccess(admin, asked({ wallet: id, delegate })))).toBe('DELEGATION_REFUSED')
    await daemon.kill('SIGTERM')
    const pem = join(base, 'bots.pem')
    writeFileSync(pem, delegate.publicKeyPem)
    const atCosigner = async (...args: string[]): Promise<string> => {
      const { exitCode, out } = await runCli('cosigner', 'delegate', ...args, '--data-dir', daemon.dataDir)
      expect(exitCode).toBe(0)
      return out
    }
    const identity = Buffer.from(pinned.identityPublicKey).toString('hex')
    expect(await atCosigner('add', '--name', 'bots', '--identity-key', identity, '--rsa-key-file', pem)).toBe(Buffer.from(bots.partyId).toString('hex'))
    const approval = Uint8Array.from(Buffer.from(await atCosigner('approve', '--delegate', 'bots', '--wallet', id), 'hex'))
    daemon = await startDaemon({ dataDir: base, keepData: true, args: ARGS })
    admin.close()
    admin = connect(daemon, daemon.adminKey)
    const { access, encryptedDelegatedShare } = await give(approval)
    expect(access).toMatchObject({ walletId: id, userId: treasury!.userId, grantId: '', kid: 'k2' })
    expect(opened(encryptedDelegatedShare, secondRsa.privateKey)).toContain(treasury!.publicKey)
    expect(await reasonOf(give(approval))).toBe('DELEGATION_REFUSED')
  })
})

/** A request as the library makes one, that is not sent. */
const requestOf = async () => {
  let sent: Parameters<typeof anna.delegation.delegateAccess>[0] | undefined
  const keeping = { ...anna, delegation: { ...anna.delegation, delegateAccess: async (request: typeof sent) => ((sent = request), {}) } }
  await delegateAccess(keeping as unknown as CountersignClient, asked())
  return sent!
}
