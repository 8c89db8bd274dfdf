import { randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { readDelegationEvent, senderOf } from '../../src/delegation/delegation-webhook.ts'
import { importAccess, type ImportAccessNeeds, listImported } from '../../src/delegation/import-access.ts'
import { receiveWebhook, type ReceiveNeeds } from '../../src/delegation/receive-webhook.ts'
import { type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import { Secret } from '../../src/domain/secret.ts'
import { DeliveryOpener } from '../../src/party/delegate/delivery-opener.ts'
import { type DeliveryOrder, openDelivery, recordOf } from '../../src/party/delegate/open-delivery.ts'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { decompress } from '../../src/engine/curve/secp256k1.ts'
import { openRecord, sealRecord, ShareSeal } from '../../src/party/share-sealing.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../../src/payload/address.ts'
import { Fences } from '../../src/signing/fences.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { getImportedAccess } from '../../src/vault/imported-accesses.ts'
import { getImportedSecret, openImportedSecret } from '../../src/vault/imported-secrets.ts'
import { insertOwnDelegateKey, kidOf } from '../../src/vault/own-delegate-keys.ts'
import { activateShare, getShare } from '../../src/vault/wallet-shares.ts'
import { callerOf, callOf } from '../signing/call.ts'
import { NOW, openVaultAt, type Place } from '../vault/fixture.ts'
import { openDelegateScene } from './delegate-scene.ts'
import { API_KEY, delegatedShare, deliveryOf, FOREIGN_SHARE, receiver, signatureOf, uuidOf, webhookBody } from './seal-delivery.ts'

const SECRET = 'dyn_test_secret_of_sixteen'
const PROJECT = 'default' as ProjectId
const GRANTING = new Uint8Array(randomBytes(32))
const KID = kidOf(receiver.publicKey.export({ type: 'spki', format: 'der' }))
const evmAddress = (publicKey: Uint8Array): string => formatEvmAddress(evmAddressOfPublicKey(decompress(publicKey)))

const openScene = async () => {
  const { vault, clock } = await openDelegateScene()
  await vault.commit((tx) =>
    insertOwnDelegateKey(tx, vault.secrets, {
      publicKey: receiver.publicKey.export({ type: 'spki', format: 'der' }),
      pkcs8: receiver.privateKey.export({ type: 'pkcs8', format: 'der' }),
      kid: KID,
      nowMs: NOW,
    }),
  )
  const arrived: string[] = []
  const ended: string[] = []
  const errors: unknown[] = []
  const needs: ReceiveNeeds & ImportAccessNeeds = {
    vault,
    clock,
    fences: new Fences(),
    opener: { open: async (order) => openDelivery(new ShareSeal(vault.shareKey(), vault.vaultId), order) },
    granting: [{ name: 'home', partyId: GRANTING }],
    arrived: ({ accessId }) => arrived.push(uuidOf(accessId)),
    ended: (accessId) => ended.push(uuidOf(accessId)),
    webhooks: [
      { project: 'elsewhere' as ProjectId, secret: new Secret('another secret altogether') },
      { project: PROJECT, secret: new Secret(SECRET) },
    ],
    onInternalError: (error) => errors.push(error),
    grants: new GrantCache(),
    rates: new RateLimiter(() => 0),
  }
  const idG = partyIdOf(vault.signer.publicKey)
  const post = (body: Uint8Array, signature = signatureOf(SECRET, body)) => receiveWebhook(needs, { body, signature })
  return { vault, needs, arrived, ended, errors, idG, post, share: () => delegatedShare(idG, GRANTING) }
}

type Share = ReturnType<typeof delegatedShare>
const createdData = async ({ walletId, publicKey }: Pick<Share, 'walletId' | 'publicKey'>, content: Share | Uint8Array) => ({
  chain: 'EVM',
  walletId: uuidOf(walletId),
  publicKey: evmAddress(publicKey),
  userId: randomUUID(),
  ...(await deliveryOf(content, KID)),
})
const revokedData = ({ walletId, publicKey }: Pick<Share, 'walletId' | 'publicKey'>) => ({
  chain: 'EVM', walletId: uuidOf(walletId), publicKey: evmAddress(publicKey), userId: randomUUID(),
})
const created = async (share: Share, told?: Parameters<typeof webhookBody>[2]) =>
  webhookBody('wallet.delegation.created', await createdData(share, share), told)
const revoked = (share: Share, told?: Parameters<typeof webhookBody>[2]) =>
  webhookBody('wallet.delegation.revoked', revokedData(share), told)

describe('whose a webhook is', () => {
  const webhooks = [{ project: PROJECT, secret: new Secret('dyn_test_secret') }]
  const body = Buffer.from('{"eventName":"ping"}')
  const right = 'sha256=58b782e41a8a74b1a06f19bbfca9eb5f122f8b64104d3c055747d7f650bef702'

  it('is said by an HMAC over the body as it came: the published vector', () => {
    expect(senderOf(webhooks, body, right)?.project).toBe(PROJECT)
  })

  it.each([
    ['nothing', undefined],
    ['no prefix', right.slice(7)],
    ['another algorithm', right.replace('sha256', 'sha1')],
    ['capitals', right.toUpperCase()],
    ['a byte less', right.slice(0, -2)],
    ['zeros', `sha256=${'00'.repeat(32)}`],
  ])('and by no other: %s', (_what, signature) => {
    expect(senderOf(webhooks, body, signature)).toBeUndefined()
    expect(senderOf([], body, signature)).toBeUndefined()
  })

  it('a body that was written anew is another body', () => {
    expect(senderOf(webhooks, Buffer.from('{"eventName": "ping"}'), right)).toBeUndefined()
  })
})

describe('what a webhook says', () => {
  it('pings, and what is of no concern, are heard', async () => {
    const { post } = await openScene()
    expect(await post(webhookBody('ping', {}))).toEqual({ status: 200, body: { success: true, message: 'pong' } })
    expect((await post(webhookBody('user.created', {}))).status).toBe(200)
  })

  it('an unsigned one is refused before it is read', async () => {
    const { needs, post } = await openScene()
    const body = webhookBody('ping', {})
    expect(await receiveWebhook(needs, { body, signature: undefined })).toEqual({ status: 401, body: { error: 'missing signature' } })
    expect(await post(body, signatureOf('another', body))).toEqual({ status: 401, body: { error: 'invalid signature' } })
  })

  it.each([
    ['no JSON', Buffer.from('{')],
    ['no object', Buffer.from('[]')],
    ['no text', Buffer.from([0xff, 0xfe])],
    ['no data', Buffer.from('{"eventName":"wallet.delegation.created"}')],
    ['no envelope', webhookBody('wallet.delegation.created', { chain: 'EVM', walletId: randomUUID(), publicKey: `0x${'ab'.repeat(20)}` })],
    ['no wallet', webhookBody('wallet.delegation.revoked', { chain: 'EVM' })],
    ['no event id', webhookBody('wallet.delegation.revoked', { walletId: randomUUID() }, { eventId: 'x' })],
  ])('what is not of its form is refused: %s', async (_what, body) => {
    expect(readDelegationEvent(body)).toBeUndefined()
    const { post } = await openScene()
    expect(await post(body)).toEqual({ status: 400, body: { error: 'invalid payload' } })
  })
})

describe('access that a webhook brings', () => {
  it('is stored sealed, once, whatever happens to the process', async () => {
    const { vault, post, share, arrived, needs } = await openScene()
    const one = share()
    const body = await created(one)
    expect(await post(body)).toEqual({ status: 200, body: { success: true, message: 'access stored' } })
    expect(await post(body)).toEqual({ status: 200, body: { success: true, message: 'access stored' } })
    expect(arrived).toEqual([uuidOf(one.walletId)])
    const stored = getShare(vault.read, one.walletId)
    expect(stored).toMatchObject({ state: 'FORKED', wEpoch: 0 })
    const record = openRecord(new ShareSeal(vault.shareKey(), vault.vaultId), stored!)
    expect(record).toMatchObject({ state: 'FORKED', role: 1, origin: 'fork' })
    expect(Buffer.from(record.share)).toEqual(Buffer.from(one.share))
    const sealed = getImportedSecret(vault.read, one.walletId, 'api-key')
    expect(Buffer.from(openImportedSecret(vault.shareKey(), vault.vaultId, sealed!)).toString()).toBe(API_KEY)
    const access = getImportedAccess(vault.read, one.walletId)
    expect(access).toMatchObject({ state: 'PENDING', address: evmAddress(one.publicKey), keyType: 'secp256k1', project: 'default' })
    // Another delivery under the id of an event that was taken, after a start.
    const { place } = vault as unknown as { readonly place: Place }
    await vault.close()
    const again = await openVaultAt(place)
    const other = share()
    const { eventId } = JSON.parse(body.toString()) as { readonly eventId: string }
    const repeated = await created(other, { eventId })
    const opener = { open: async (order: DeliveryOrder) => openDelivery(new ShareSeal(again.shareKey(), again.vaultId), order) }
    const answer = await receiveWebhook({ ...needs, vault: again, opener }, { body: repeated, signature: signatureOf(SECRET, repeated) })
    expect(answer.status).toBe(200)
    expect(getImportedAccess(again.read, other.walletId)).toBeUndefined()
    expect(getImportedAccess(again.read, one.walletId)).toEqual(access)
  })

  it('is gone when it is taken back, and says so', async () => {
    const { vault, post, share, ended } = await openScene()
    const one = share()
    await post(await created(one))
    expect(await post(revoked(one))).toEqual({ status: 200, body: { success: true, message: 'access revoked' } })
    expect(getShare(vault.read, one.walletId)).toBeUndefined()
    expect(getImportedSecret(vault.read, one.walletId, 'api-key')).toBeUndefined()
    expect(getImportedAccess(vault.read, one.walletId)?.state).toBe('REVOKED')
    expect(ended).toEqual([uuidOf(one.walletId)])
    // Delivered once more, under another event: it stays over.
    await post(await created(one))
    expect(getImportedAccess(vault.read, one.walletId)?.state).toBe('REVOKED')
    expect(getShare(vault.read, one.walletId)).toBeUndefined()
    const kinds = vault.read.all<{ kind: string }>('SELECT kind FROM audit').map(({ kind }) => kind)
    expect(kinds).toEqual(expect.arrayContaining(['delegated_access.imported', 'delegated_access.ended']))
  })

  it('is over from the start when it was taken back before it came', async () => {
    const { vault, post, share, arrived } = await openScene()
    const one = share()
    expect((await post(revoked(one, { timeMs: NOW + 5 }))).status).toBe(200)
    expect((await post(await created(one, { timeMs: NOW }))).status).toBe(200)
    expect(getImportedAccess(vault.read, one.walletId)?.state).toBe('REVOKED')
    expect(getShare(vault.read, one.walletId)).toBeUndefined()
    expect(arrived).toEqual([])
  })

  it('is refused, and may come again, where it is not for this daemon or not from one it knows', async () => {
    const { post, share, idG, vault } = await openScene()
    const one = share()
    const bodies = {
      'another delegate': await created(delegatedShare(GRANTING, idG)),
      'an unknown daemon': await created(delegatedShare(idG, new Uint8Array(32).fill(7))),
      'another link': await created({ ...one, linkId: new Uint8Array(16) }),
      'another address': webhookBody('wallet.delegation.created', await createdData(share(), one)),
      'a kid of nobody': webhookBody('wallet.delegation.created', { ...revokedData(one), ...(await deliveryOf(one, 'nobody')) }),
      'no share at all': webhookBody('wallet.delegation.created', await createdData(one, Buffer.from('nothing'))),
    }
    for (const [what, body] of Object.entries(bodies)) {
      const answer = await post(body)
      expect(answer.status, what).toBe(400)
      expect(answer.body, what).toHaveProperty('error')
    }
    expect(vault.read.one('SELECT count(*) AS count FROM received_events')).toEqual({ count: 0n })
    expect((await post(await created(one))).status).toBe(200)
  })

  it('an internal error says nothing of itself', async () => {
    const { needs, share, errors } = await openScene()
    const body = await created(share())
    const broken = { ...needs, opener: { open: () => Promise.reject(new Error('secret detail')) } }
    const answer = await receiveWebhook(broken, { body, signature: signatureOf(SECRET, body) })
    expect(answer).toEqual({ status: 500, body: { error: 'internal error' } })
    expect(errors).toHaveLength(1)
  })
})

describe('access of another system', () => {
  const wallet = () => delegatedShare(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2))
  const foreign = async (one: Share, told: Parameters<typeof webhookBody>[2]) =>
    webhookBody('wallet.delegation.created', await createdData(one, FOREIGN_SHARE), told)

  it('opens, is stored sealed, and is no share of ours', async () => {
    const { vault, post, arrived } = await openScene()
    const one = wallet()
    expect((await post(await foreign(one, { timeMs: NOW }))).status).toBe(200)
    expect(getImportedAccess(vault.read, one.walletId)).toMatchObject({ grantingId: undefined, address: evmAddress(one.publicKey) })
    const sealed = getImportedSecret(vault.read, one.walletId, 'foreign-share')
    expect(Buffer.from(openImportedSecret(vault.shareKey(), vault.vaultId, sealed!))).toEqual(FOREIGN_SHARE)
    expect(getShare(vault.read, one.walletId)).toBeUndefined()
    expect(arrived).toEqual([])
  })

  it.each([
    ['c1 r1 c2', 'PENDING'], ['c1 c2 r1', 'PENDING'], ['r1 c1 c2', 'PENDING'],
    ['r1 c2 c1', 'PENDING'], ['c2 c1 r1', 'PENDING'], ['c2 r1 c1', 'PENDING'],
  ])('delegated, taken back, delegated again, in the order %s: it is %s', async (order, state) => {
    const { vault, post } = await openScene()
    const one = wallet()
    const bodies: Record<string, Buffer> = {
      c1: await foreign(one, { timeMs: NOW }),
      r1: revoked(one, { timeMs: NOW + 10 }),
      c2: await foreign(one, { timeMs: NOW + 20 }),
    }
    for (const name of order.split(' ')) expect((await post(bodies[name]!)).status).toBe(200)
    expect(getImportedAccess(vault.read, one.walletId)).toMatchObject({ state, grantedMs: NOW + 20 })
  })
})

describe('who may speak for whom', () => {
  const OTHERS = 'dyn_secret_of_another_sender'
  const openTwo = async () => {
    const scene = await openScene()
    const webhooks = [
      { project: PROJECT, secret: new Secret(SECRET), from: GRANTING },
      { project: PROJECT, secret: new Secret(OTHERS) },
    ]
    const needs = { ...scene.needs, webhooks }
    const post = (secret: string, body: Uint8Array) => receiveWebhook(needs, { body, signature: signatureOf(secret, body) })
    return { ...scene, post }
  }

  it('a daemon that has a webhook of its own is heard over that alone: another sender takes nothing of its back', async () => {
    const { vault, post, share, needs, ended } = await openTwo()
    const one = share()
    expect((await post(SECRET, await created(one))).status).toBe(200)
    const { raises } = needs.fences
    expect((await post(OTHERS, revoked(one))).status).toBe(200)
    expect([getImportedAccess(vault.read, one.walletId)?.state, needs.fences.raises, ended]).toEqual(['PENDING', raises, []])
    expect(getShare(vault.read, one.walletId)?.state).toBe('FORKED')
    expect((await post(SECRET, revoked(one))).status).toBe(200)
    expect(getImportedAccess(vault.read, one.walletId)?.state).toBe('REVOKED')
  })

  it('nor beforehand, and brings nothing in its name', async () => {
    const { vault, post, share } = await openTwo()
    const one = share()
    await post(OTHERS, revoked(one, { timeMs: NOW + 1_000 }))
    expect(await post(OTHERS, await created(one))).toEqual({ status: 400, body: { error: expect.stringContaining('does not speak for') } })
    expect((await post(SECRET, await created(one, { timeMs: NOW }))).status).toBe(200)
    expect(getImportedAccess(vault.read, one.walletId)?.state).toBe('PENDING')
    const two = share()
    await post(SECRET, revoked(two, { timeMs: NOW }))
    expect((await post(SECRET, await created(two, { timeMs: NOW + 1_000 }))).status).toBe(200)
    expect(getImportedAccess(vault.read, two.walletId)?.state).toBe('REVOKED')
  })

  it('and says nothing about what other systems delegated', async () => {
    const { vault, post } = await openTwo()
    const one = delegatedShare(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2))
    const body = webhookBody('wallet.delegation.created', await createdData(one, FOREIGN_SHARE), { timeMs: NOW })
    expect((await post(SECRET, body)).status).toBe(400)
    expect((await post(OTHERS, body)).status).toBe(200)
    await post(SECRET, revoked(one, { timeMs: NOW + 1 }))
    expect(getImportedAccess(vault.read, one.walletId)?.state).toBe('PENDING')
    await post(OTHERS, revoked(one, { timeMs: NOW + 1 }))
    expect(getImportedAccess(vault.read, one.walletId)?.state).toBe('REVOKED')
  })
})

describe('an id that somebody else chose', () => {
  it('of a wallet of another project: taking it back stops nothing of that', async () => {
    const { post, needs, share } = await openScene()
    const one = share()
    const passage = needs.fences.enter([{ scope: 'wallet', id: walletIdFromBytes(one.walletId) }])
    expect((await post(revoked(one))).status).toBe(200)
    expect(() => passage.check()).not.toThrow()
    expect(needs.fences.raises).toBe(0)
    passage.leave()
  })

  it('of an access that is here: what is in flight with it is stopped', async () => {
    const { post, needs, share } = await openScene()
    const one = share()
    await post(await created(one))
    const passage = needs.fences.enter([{ scope: 'wallet', id: walletIdFromBytes(one.walletId) }])
    const answered = post(revoked(one))
    await vi.waitFor(() => expect(() => passage.check()).toThrow(expect.objectContaining({ reason: 'FROZEN' })), 20_000)
    passage.leave()
    expect((await answered).status).toBe(200)
    // Once more: there is nothing left to stop.
    const { raises } = needs.fences
    await post(revoked(one))
    expect(needs.fences.raises).toBe(raises)
  })

  it('of a wallet whose share this daemon has: it is refused, and the share stays', async () => {
    const { vault, post, share } = await openScene()
    const own = share()
    const seal = new ShareSeal(vault.shareKey(), vault.vaultId)
    const sealed = sealRecord(seal, recordOf(own, NOW), 1n)
    await vault.commit((tx) => activateShare(tx, { share: sealed, linkId: own.linkId, state: 'ACTIVE', timeMs: NOW }))
    const before = getShare(vault.read, own.walletId)
    const answer = await post(await created({ ...share(), walletId: own.walletId }))
    expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining('taken') } })
    expect(getShare(vault.read, own.walletId)).toEqual(before)
  })

  it('of an access, for a share of another system: it does not keep the access away', async () => {
    const { vault, post, share, arrived } = await openScene()
    const one = share()
    const squatter = webhookBody('wallet.delegation.created', await createdData(one, FOREIGN_SHARE), { timeMs: NOW + 1_000 })
    expect((await post(squatter)).status).toBe(200)
    expect((await post(await created(one, { timeMs: NOW }))).status).toBe(200)
    expect(getImportedAccess(vault.read, one.walletId)).toMatchObject({ state: 'PENDING', grantingId: GRANTING })
    expect(getImportedSecret(vault.read, one.walletId, 'foreign-share')).toBeUndefined()
    expect(getShare(vault.read, one.walletId)?.state).toBe('FORKED')
    expect(arrived).toEqual([uuidOf(one.walletId)])
  })
})

describe('ImportDelegatedAccess', () => {
  const openCaller = async ({ vault }: Awaited<ReturnType<typeof openScene>>, permission: 'wallet:create' | 'wallet:read' = 'wallet:create') => {
    const { key } = await vault.commit((tx) =>
      createApiKey(tx, { project: PROJECT, name: 'k', permissions: [{ permission, narrowing: {} }] as never, nowMs: NOW }),
    )
    return callOf(callerOf(key, permission), 'DelegationService/ImportDelegatedAccess')
  }

  it('takes envelopes, or the whole body of a webhook, and is the same when it is repeated', async () => {
    const scene = await openScene()
    const call = await openCaller(scene)
    const [one, two] = [scene.share(), delegatedShare(scene.idG, GRANTING, await ed25519Ready().then(() => ALG_ED25519))]
    const content = { kind: 'delivery', delivery: await deliveryOf(one), walletId: undefined } as const
    const access = await importAccess(scene.needs, call, { content, expectedAddress: evmAddress(one.publicKey).toLowerCase() })
    expect(access).toMatchObject({ accessId: uuidOf(one.walletId), state: 'pending', grantingDaemon: 'home', keyType: 'secp256k1' })
    expect(await importAccess(scene.needs, call, { content, expectedAddress: undefined })).toEqual(access)
    const delivery = { kind: 'delivery', delivery: await deliveryOf(two), walletId: undefined } as const
    expect(await importAccess(scene.needs, call, { content: delivery, expectedAddress: undefined })).toMatchObject({ keyType: 'ed25519' })
    const three = scene.share()
    const webhook = { kind: 'webhook', body: await created(three) } as const
    await importAccess(scene.needs, call, { content: webhook, expectedAddress: undefined })
    const reading = await openCaller(scene, 'wallet:read')
    const { items } = listImported(scene.needs, reading, { pageSize: 50, cursor: undefined })
    expect(items.map(({ accessId }) => accessId)).toEqual([one, two, three].map(({ walletId }) => uuidOf(walletId)))
  })

  it('holds the share to the address that the caller knows, and the caller to their permission', async () => {
    const scene = await openScene()
    const one = scene.share()
    const content = { kind: 'delivery', delivery: await deliveryOf(one), walletId: undefined } as const
    const expectedAddress = evmAddress(scene.share().publicKey)
    const call = await openCaller(scene)
    await expect(importAccess(scene.needs, call, { content, expectedAddress })).rejects.toMatchObject({ reason: 'ENVELOPE_INVALID' })
    const reading = await openCaller(scene, 'wallet:read')
    const asked = importAccess(scene.needs, reading, { content, expectedAddress: undefined })
    await expect(asked).rejects.toMatchObject({ reason: 'PERMISSION_MISSING' })
  })

  it('opens in a thread of its own, with keys that it overwrites', async () => {
    const scene = await openScene()
    const opener = new DeliveryOpener(scene.vault)
    onTestFinished(() => opener.close())
    const one = scene.share()
    const content = { kind: 'delivery', delivery: await deliveryOf(one), walletId: undefined } as const
    const call = await openCaller(scene)
    const access = await importAccess({ ...scene.needs, opener }, call, { content, expectedAddress: undefined })
    expect(access.accessId).toBe(uuidOf(one.walletId))
  })
})
