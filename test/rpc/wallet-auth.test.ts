/** What wallet secrets sign, through every protocol of both ports, over a real vault. */
import { randomUUID } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { generateWalletJwt } from '@coinbase/cdp-sdk/auth'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SignStreamRequestSchema, WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { EndUserService } from '../../gen/countersign/v1/end_user_pb.ts'
import { createDaemonVault, type DaemonVault, openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { makeToken, requestClaims, walletKey, type WalletKey } from '../user/tokens.ts'
import { keepPlace, type KeptPlace } from './support/kept-place.ts'
import { reasonOf } from './support/refusal.ts'
import {
  addressOf,
  callJson,
  canonicalJson,
  type Device,
  deviceClient,
  openSignedEdge,
  PROTOCOLS,
  signIn,
} from './support/signed-requests.ts'
import type { TestEdge } from './support/test-edge.ts'

let place: KeptPlace
let vault: DaemonVault
let open: TestEdge

beforeAll(async () => {
  place = keepPlace()
  vault = await createDaemonVault({ ...place, nowMs: Date.now() })
  open = await openSignedEdge(vault)
})
afterAll(async () => {
  await open[Symbol.asyncDispose]()
  await vault.close()
  place.remove()
})

const SIGN = 'countersign.v1.WalletService/SignMessage'
const soon = () => timestampFromMs(Date.now() + 60_000)
const message = { wallet: 'alice', content: { case: 'text', value: 'hello' } } as const

const register = (device: Device, key: WalletKey, walletSecretId = '', validUntil = soon()) =>
  deviceClient(open, EndUserService, { ...device, key }).registerWalletSecret({ walletSecretId, publicKey: key.spki, validUntil })

/** Somebody who has signed in and registered one wallet secret. */
const person = async (): Promise<Device & { readonly name: string; readonly key: WalletKey }> => {
  const name = `user-${randomUUID()}`
  const device = { name, token: await signIn(vault, name), key: walletKey() }
  await register(device, device.key, 'device')
  return device
}

const sign = (device: Device) => deviceClient(open, WalletService, device).signMessage(message)

describe('a request that a wallet secret signed', () => {
  it.each(PROTOCOLS.filter((name) => name !== 'connectJson'))('is taken over %s, and no other in its place', async (protocol) => {
    const device = await person()
    const client = (changes: Partial<Device> = {}) => deviceClient(open, WalletService, { ...device, ...changes }, protocol)
    await client().signMessage(message)
    expect(open.reached.at(-1)?.call.caller).toMatchObject({
      kind: 'end_user',
      principal: `user:default/${device.name}`,
      walletSecret: { walletSecretId: 'device' },
    })
    const before = open.reached.length
    const oneBitOff = (bytes: Uint8Array) => bytes.with(bytes.length - 1, bytes[bytes.length - 1]! ^ 1)
    const otherHost = addressOf(open, protocol === 'grpc' ? 'connectJson' : 'grpc')
    const now = Math.floor(Date.now() / 1_000)
    const refused: readonly [Partial<Device>, string][] = [
      [{ key: undefined }, 'WALLET_SECRET_REQUIRED'],
      [{ key: walletKey() }, 'WALLET_AUTH_INVALID'],
      [{ body: oneBitOff }, 'WALLET_AUTH_INVALID'],
      [{ claims: { reqHash: undefined } }, 'WALLET_AUTH_INVALID'],
      [{ claims: { iat: now - 61 } }, 'WALLET_AUTH_INVALID'],
      [{ claims: { nbf: now + 60 } }, 'WALLET_AUTH_INVALID'],
      [{ claims: { uris: [`POST ${otherHost}/${SIGN}`] } }, 'WALLET_AUTH_INVALID'],
      [{ claims: { uris: [`POST ${addressOf(open, protocol)}/countersign.v1.WalletService/SignDigest`] } }, 'WALLET_AUTH_INVALID'],
      [{ headers: { 'x-wallet-secret-id': 'another' } }, 'WALLET_SECRET_NOT_FOUND'],
    ]
    for (const [changes, reason] of refused)
      expect(await reasonOf(client(changes).signMessage(message)), JSON.stringify(changes)).toBe(reason)
    expect(open.reached.length).toBe(before)
  })

  it('counts once, and once more after a restart', async () => {
    const device = { ...(await person()), claims: { jti: randomUUID() } }
    await sign(device)
    expect(await reasonOf(sign(device))).toBe('WALLET_AUTH_REPLAYED')
    const racing = { ...device, claims: { jti: randomUUID() } }
    const raced = await Promise.allSettled(Array.from({ length: 20 }, () => sign(racing)))
    expect(raced.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)

    // As after `kill -9`: the file is opened while nobody has closed it.
    const copy = place.copy()
    const reopened = await openDaemonVault({ ...copy, nowMs: Date.now() })
    const again = await openSignedEdge(reopened)
    const client = deviceClient(again, WalletService, {
      ...racing,
      claims: { ...racing.claims, uris: [`POST ${addressOf(again, 'grpc')}/${SIGN}`] },
    })
    expect(await reasonOf(client.signMessage(message))).toBe('WALLET_AUTH_REPLAYED')
    await again[Symbol.asyncDispose]()
    await reopened.close()
  })

  it('is looked at also where none is asked for', async () => {
    const device = await person()
    await deviceClient(open, WalletService, device).getWallet({ wallet: 'alice' })
    const forged = deviceClient(open, WalletService, { ...device, key: walletKey() })
    expect(await reasonOf(forged.getWallet({ wallet: 'alice' }))).toBe('WALLET_AUTH_INVALID')
  })

  it("is not anybody else's", async () => {
    const [one, two] = [await person(), await person()]
    expect(await reasonOf(sign({ ...one, key: two.key }))).toBe('WALLET_AUTH_INVALID')
  })
})

describe('a JSON request', () => {
  const BODY = { wallet: 'alice', text: 'é<&>\u2028😀', isFormatted: false, poolMode: 'POOL_MODE_WAIT' }
  const quoted = (text: string, pattern: RegExp): string =>
    text.replace(pattern, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  const canonical = new TextDecoder().decode(canonicalJson(BODY))

  it.each([
    ['JavaScript', JSON.stringify(BODY), canonical],
    ['Python', quoted(JSON.stringify(BODY), /[\u007f-\uffff]/g), quoted(canonical, /[\u007f-\uffff]/g)],
    ['Go', quoted(canonical, /[<>&\u2028\u2029]/g), quoted(canonical, /[<>&\u2028\u2029]/g)],
  ])('signed as %s does is taken, and altered it is not', async (_language, body, hashed) => {
    const { key, token } = await person()
    const authority = addressOf(open, 'connectJson')
    const headers = () => {
      const claims = requestClaims(`POST ${authority}/${SIGN}`, new TextEncoder().encode(hashed), Date.now())
      return { authorization: `Bearer ${token}`, 'x-wallet-auth': makeToken(key, { claims }) }
    }
    expect((await callJson(authority, SIGN, body, headers())).status).toBe(200)
    expect(open.reached.at(-1)?.args).toMatchObject({ content: { text: BODY.text } })
    const altered = body.replace('<', '>').replace('\\u003c', '\\u003e')
    expect(altered).not.toBe(body)
    expect(await callJson(authority, SIGN, altered, headers())).toMatchObject({ status: 401, reason: 'WALLET_AUTH_INVALID' })
    const twice = body.replace('{', '{"wallet":"bob",')
    expect((await callJson(authority, SIGN, twice, headers())).status).not.toBe(200)
  })

  it('signed by the published SDK, unmodified, is taken once', async () => {
    const { key, token } = await person()
    const authority = addressOf(open, 'connectJson')
    const jwt = await generateWalletJwt({
      walletSecret: key.walletSecret,
      requestMethod: 'POST',
      requestHost: authority,
      requestPath: `/${SIGN}`,
      requestData: BODY,
    })
    const headers = { authorization: `Bearer ${token}`, 'X-Wallet-Auth': jwt }
    expect((await callJson(authority, SIGN, JSON.stringify(BODY), headers)).status).toBe(200)
    expect((await callJson(authority, SIGN, JSON.stringify(BODY), headers)).reason).toBe('WALLET_AUTH_REPLAYED')
  })
})

describe('a stream of requests', () => {
  const item = (itemId: string, text: string) =>
    create(SignStreamRequestSchema, { itemId, request: { case: 'signMessage', value: { wallet: 'alice', content: { case: 'text', value: text } } } })
  const first = item('1', 'first')

  const ask = async (device: Device & { readonly key: WalletKey }, signed: ReturnType<typeof item>, port: 'grpc' | 'connectJson') => {
    const authority = addressOf(open, port)
    const claims = requestClaims(
      `POST ${authority}/countersign.v1.WalletService/SignStream`,
      toBinary(SignStreamRequestSchema, signed),
      Date.now(),
    )
    const client = createClient(WalletService, createGrpcTransport({ baseUrl: `http://${authority}` }))
    const headers = { authorization: `Bearer ${device.token}`, 'x-wallet-auth': makeToken(device.key, { claims }) }
    async function* requests() {
      yield first
      yield item('2', 'second')
    }
    const answered: string[] = []
    for await (const { itemId, result } of client.signStream(requests(), { headers })) answered.push(`${itemId} ${result.case}`)
    return answered.sort()
  }

  it.each(['grpc', 'connectJson'] as const)('is signed by its first message on the %s port', async (port) => {
    const device = await person()
    expect(await ask(device, first, port)).toEqual(['1 signMessage', '2 signMessage'])
    expect(await reasonOf(ask(device, item('1', 'another'), port))).toBe('WALLET_AUTH_INVALID')
    expect(await reasonOf(ask({ ...device, key: walletKey() }, first, port))).toBe('WALLET_AUTH_INVALID')
  })

  it('ends when its wallet secret is revoked', async () => {
    const device = await person()
    const { promise: forever, resolve } = Promise.withResolvers<void>()
    const authority = addressOf(open, 'grpc')
    const uri = `POST ${authority}/countersign.v1.WalletService/SignStream`
    const claims = requestClaims(uri, toBinary(SignStreamRequestSchema, first), Date.now())
    const client = createClient(WalletService, createGrpcTransport({ baseUrl: `http://${authority}` }))
    const headers = { authorization: `Bearer ${device.token}`, 'x-wallet-auth': makeToken(device.key, { claims }) }
    async function* requests() {
      yield first
      await forever
    }
    const answers = client.signStream(requests(), { headers })[Symbol.asyncIterator]()
    expect((await answers.next()).done).toBe(false)
    await deviceClient(open, EndUserService, { token: device.token }).revokeWalletSecret({ walletSecretId: 'device' })
    expect(await reasonOf(answers.next())).toBe('WALLET_SECRET_NOT_FOUND')
    resolve()
  })
})

describe('wallet secrets', () => {
  const list = async (device: Device) =>
    (await deviceClient(open, EndUserService, { token: device.token }).listWalletSecrets({})).walletSecrets

  it('are five at most: the oldest goes, also when twenty come at once', async () => {
    const device = await person()
    for (const name of ['b', 'c', 'd', 'e']) await register(device, walletKey(), name)
    expect((await list(device)).map(({ walletSecretId }) => walletSecretId)).toEqual(['device', 'b', 'c', 'd', 'e'])
    const sixth = walletKey()
    const { walletSecret } = await register(device, sixth)
    expect(walletSecret?.walletSecretId).toMatch(/^[0-9a-f]{32}$/)
    expect(await list(device)).toHaveLength(5)
    expect(await reasonOf(sign(device))).toBe('WALLET_AUTH_INVALID')
    await sign({ ...device, key: sixth })
    await Promise.all(Array.from({ length: 20 }, () => register(device, walletKey())))
    expect(await list(device)).toHaveLength(5)
    const kinds = listAudit(vault.read, 0n, 100_000, { kind: 'wallet_secret.evicted' }).filter(
      ({ actor }) => actor.id === `user:default/${device.name}`,
    )
    expect(kinds).toHaveLength(21)
  })

  it('of the same id replace each other', async () => {
    const device = await person()
    const next = walletKey()
    await register(device, next, 'device')
    expect(await list(device)).toHaveLength(1)
    expect(await reasonOf(sign(device))).toBe('WALLET_AUTH_INVALID')
    await sign({ ...device, key: next })
  })

  it('sign nothing once they are over or revoked', async () => {
    const device = await person()
    const brief = walletKey()
    await register(device, brief, 'brief', timestampFromMs(Date.now() + 3_000))
    await expect.poll(() => reasonOf(sign({ ...device, key: brief })), { timeout: 15_000 }).toBe('WALLET_SECRET_EXPIRED')
    await deviceClient(open, EndUserService, { token: device.token }).revokeWalletSecret({ walletSecretId: 'device' })
    expect(await reasonOf(sign(device))).toBe('WALLET_AUTH_INVALID')
    const again = deviceClient(open, EndUserService, { token: device.token })
    expect(await reasonOf(again.revokeWalletSecret({ walletSecretId: 'device' }))).toBe('WALLET_SECRET_NOT_FOUND')
  })

  it('are registered by who holds them, for a time, as P-256 keys', async () => {
    const device = await person()
    const key = walletKey()
    const client = (changes: Partial<Device>) => deviceClient(open, EndUserService, { ...device, key, ...changes })
    const asked = { walletSecretId: 'new', publicKey: key.spki, validUntil: soon() }
    expect(await reasonOf(client({ key: undefined }).registerWalletSecret(asked))).toBe('WALLET_SECRET_REQUIRED')
    expect(await reasonOf(client({ key: device.key }).registerWalletSecret(asked))).toBe('WALLET_AUTH_INVALID')
    expect(await reasonOf(client({ body: () => new Uint8Array(3) }).registerWalletSecret(asked))).toBe('WALLET_AUTH_INVALID')
    const bad = [
      { ...asked, validUntil: timestampFromMs(Date.now() - 1) },
      { ...asked, validUntil: timestampFromMs(Date.now() + 91 * 86_400_000) },
      { ...asked, walletSecretId: 'under_score' },
      { ...asked, walletSecretId: 'x'.repeat(101) },
      { ...asked, publicKey: `${key.spki.slice(0, -2)}AA` },
      { ...asked, publicKey: walletKey('secp256k1').spki },
      { ...asked, publicKey: Buffer.alloc(91, 7).toString('base64') },
      { ...asked, publicKey: '' },
    ]
    for (const request of bad)
      expect(await reasonOf(client({}).registerWalletSecret(request)), JSON.stringify(request.publicKey)).toBe('INVALID_REQUEST')
    expect((await list(device)).map(({ walletSecretId }) => walletSecretId)).toEqual(['device'])
  })

  it("are nobody else's", async () => {
    const [one, two] = [await person(), await person()]
    expect((await list(one)).map(({ publicKey }) => publicKey)).toEqual([one.key.spki])
    const client = deviceClient(open, EndUserService, { token: two.token })
    expect(await reasonOf(client.revokeWalletSecret({ walletSecretId: 'nothing' }))).toBe('WALLET_SECRET_NOT_FOUND')
    await client.revokeWalletSecret({ walletSecretId: 'device' })
    await sign(one)
  })
})
