/** T46: one of the wallets of a delegate is erased, once and in a loop, with a clock that can be moved. */
import { randomBytes, randomFillSync } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { DelegateCalls } from '../../src/party/delegate-calls.ts'
import { DelegateLinks, delegateLinkOf } from '../../src/party/delegate-links.ts'
import { Initiator, type ReadyPresignature } from '../../src/party/initiator.ts'
import { Link, newLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore, type MemoryStore } from '../../src/party/memory-store.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { examine } from '../../src/payload/examine.ts'
import { encodeSigningPayload } from '../../src/payload/signing-payload.ts'
import { entropy, sha256, testClock } from './two-parties.ts'

const opened: DelegateLinks[] = []
afterEach(() => Promise.all(opened.splice(0).map((links) => links.closeAll())))

const idC = sha256(Buffer.from('delegate'))
const idS = sha256(Buffer.from('daemon'))
const MINUTE_MS = 60_000

const linkOf = async (links: DelegateLinks, id: Uint8Array): Promise<number> => {
  const { linkId } = delegateLinkOf(id, idS)
  return (await links.status()).find((one) => Buffer.compare(one.linkId, linkId) === 0)?.presignatures ?? 0
}

type Limits = { readonly ofLink: number; readonly ofAll: number }

/** Links to delegates of one Ed25519 wallet each. `before`: what the opening of one waits for. */
const openEdLinks = async ({ limits, before }: { limits?: Limits; before?: (name: string) => Promise<void> | undefined }) => {
  await ed25519Ready()
  const stores = new Map<string, { readonly name: string; readonly store: MemoryStore }>()
  const openStore = async (linkId: Uint8Array): Promise<MemoryStore> => {
    const { name, store } = stores.get(hexOf(linkId))!
    await before?.(name)
    return store
  }
  const deps = { idS, openStore, ask: async () => undefined, entropy, clock: testClock(), alert: () => undefined }
  const links = new DelegateLinks({ ...deps, ...(limits === undefined ? {} : { limits }) })
  opened.push(links)
  const open = async (name: string) => {
    const id = sha256(Buffer.from(name))
    const parties = delegateLinkOf(id, idS)
    const [storeC, storeS] = [createMemoryStore(), createMemoryStore()]
    stores.set(hexOf(parties.linkId), { name, store: storeS })
    const group = groupOf(ALG_ED25519)
    const [x_C, x_S] = [0, 1].map(() => Uint8Array.from(randomBytes(32)).fill(1, 31)) as [Uint8Array, Uint8Array]
    const [pointC, pointS] = [group.mulBase(x_C), group.mulBase(x_S)]
    const walletId = new Uint8Array(randomBytes(16))
    const common = {
      alg: ALG_ED25519, walletId, wEpoch: 0, pointC, pointS, publicKey: group.addPoints([pointC, pointS])!, chainCode: new Uint8Array(32),
      linkId: parties.linkId, minLinkEpoch: 0, state: 'ACTIVE', origin: 'dkg', createdAtMs: 0n, refreshCount: 0,
    } as const
    await keep(storeC, { ...common, role: ROLE_C, share: x_C })
    await keep(storeS, { ...common, role: ROLE_S, share: x_S })
    const record = newLinkRecord(parties, ROLE_C, BigInt(Date.now()))
    await storeC.saveLinks([record])
    const alert = (): void => undefined
    const link = new Link(parties, record, storeC, testClock(), { alert, wipeSessions: alert })
    const peer = { exchange: (frame: Uint8Array) => links.answer(id, walletId, frame), close: alert }
    const c = new Initiator({ link, store: storeC, peer, entropy, clock: testClock(), incarnationId: new Uint8Array(16), alert })
    return { id, c, presign: (count: number) => c.ed.presign(Array.from({ length: count }, () => walletId)) }
  }
  return { links, open }
}

it('T30 a delegate that makes presignatures without end fills its own room, and then not what the others need', async () => {
  const { links, open } = await openEdLinks({ limits: { ofLink: 128, ofAll: 160 } })
  const [greedy, modest] = [await open('greedy'), await open('modest')]
  await Promise.all([greedy.c.connect(), modest.c.connect()])
  await greedy.presign(64)
  await greedy.presign(64)
  // Its own oldest give way: what its delegate has let go, or does not use.
  expect(await greedy.presign(64)).toHaveLength(64)
  await modest.presign(32)
  expect([await linkOf(links, greedy.id), await linkOf(links, modest.id)]).toEqual([128, 32])
  // All the room there is, is taken: who has most gives it up.
  await modest.presign(32)
  expect([await linkOf(links, greedy.id), await linkOf(links, modest.id)]).toEqual([0, 64])
})

it('T30 a delegate whose link takes its time to open keeps nobody else’s presignatures waiting', async () => {
  const slow = Promise.withResolvers<void>()
  const { open } = await openEdLinks({ before: (name) => (name === 'slow' ? slow.promise : undefined) })
  const [held, other] = [await open('slow'), await open('other')]
  const opening = held.c.connect()
  await other.c.connect()
  expect(await other.presign(1)).toHaveLength(1)
  slow.resolve()
  await opening
})

const keep = async (store: MemoryStore, record: WalletRecord): Promise<void> => {
  await store.savePending({ sid: new Uint8Array(32), records: [record] })
  await store.activate(record.walletId, 0)
}

/** A link to one delegate with this many wallets. */
const openScene = async (wallets: number) => {
  const clock = testClock()
  const parties = delegateLinkOf(idC, idS)
  const [storeC, storeS] = [createMemoryStore(), createMemoryStore()]
  const group = groupOf(ALG_SECP256K1)
  const ids: Uint8Array[] = []
  for (let n = 0; n < wallets; n++) {
    const [x_C, x_S] = [0, 1].map(() => randomFillSync(new Uint8Array(new ArrayBuffer(32)))) as [Uint8Array, Uint8Array]
    for (const x of [x_C, x_S]) x[31] = 1
    const [pointC, pointS] = [group.mulBase(x_C), group.mulBase(x_S)]
    const walletId = new Uint8Array(randomBytes(16))
    const common = {
      alg: ALG_SECP256K1, walletId, wEpoch: 0, pointC, pointS, publicKey: group.addPoints([pointC, pointS])!,
      chainCode: new Uint8Array(32), linkId: parties.linkId, minLinkEpoch: 0, state: 'ACTIVE', origin: 'dkg',
      createdAtMs: 0n, refreshCount: 0,
    } as const
    await keep(storeC, { ...common, role: ROLE_C, share: x_C })
    await keep(storeS, { ...common, role: ROLE_S, share: x_S })
    ids.push(walletId)
  }
  const alert = (): void => undefined
  const opens: string[] = []
  const openStore = async () => {
    opens.push('opened')
    return storeS
  }
  const links = new DelegateLinks({ idS, openStore, ask: async () => undefined, entropy, clock, alert })
  opened.push(links)
  const record = newLinkRecord(parties, ROLE_C, BigInt(Math.trunc(clock.nowMs())))
  await storeC.saveLinks([record])
  let stream = ids[0]!
  const link: Link = new Link(parties, record, storeC, clock, { alert, wipeSessions: () => c.wipeSessions() })
  const wire = { toS: async (frame: Uint8Array): Promise<Uint8Array> => frame }
  const peer = { exchange: async (frame: Uint8Array) => links.answer(idC, stream, (await wire.toS(frame)).slice()), close: () => {} }
  const c: Initiator = new Initiator({ link, store: storeC, peer, entropy, clock, incarnationId: new Uint8Array(16), alert })
  await c.connect()
  const presign = async (walletId: Uint8Array): Promise<ReadyPresignature> => {
    stream = walletId
    const [ready] = await c.presign([walletId])
    return ready!
  }
  const sign = (ready: ReadyPresignature) => {
    const content = { kind: 'message', message: new Uint8Array(Buffer.from('x')) } as const
    const payload = encodeSigningPayload({
      projectId: 'default' as never, walletId: walletIdFromBytes(ready.walletId), method: 'SignMessage', content,
    })
    stream = ready.walletId
    const reqId = new Uint8Array(randomBytes(16))
    return c.sign({ ...ready, reqId, digest: examine(content).digest, path: [], payload })
  }
  return { ids, links, link, clock, c, presign, sign, wire, opens, status: async () => (await links.status())[0] }
}

describe('T46 a delegate with several wallets', () => {
  it('loses one: its presignatures and the material that its share met go at once; the others sign after one set-up', async () => {
    const { ids, links, clock, presign, sign, status } = await openScene(2)
    const [gone, kept] = ids as [Uint8Array, Uint8Array]
    const [ofGone, ofKept] = [await presign(gone), await presign(kept)]
    expect(await status()).toMatchObject({ lEpoch: 1, hasMaterial: true, presignatures: 2 })
    await links.erase(idC, gone, { isLast: false, lastUsedEpoch: 1 })
    expect(await status()).toMatchObject({ lEpoch: 1, hasMaterial: false, presignatures: 1 })
    await expect(sign(ofGone)).rejects.toMatchObject({ refusal: { code: 'unknown_presig' } })
    // A finished presignature does not use the material any more.
    await sign(ofKept)
    clock.advance(6_000)
    await sign(await presign(kept))
    expect(await status()).toMatchObject({ lEpoch: 2, hasMaterial: true })
  })

  it('loses them one after the other: the material stays until the end of the minute, for all of them together', async () => {
    const { ids, links, clock, presign, sign, status } = await openScene(5)
    const [a, b, c, unused, kept] = ids as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
    await presign(a)
    await links.erase(idC, a, { isLast: false, lastUsedEpoch: 1 })
    clock.advance(6_000)
    await presign(b)
    expect(await status()).toMatchObject({ lEpoch: 2 })
    // A share that never met the material makes nothing due.
    await links.erase(idC, unused, { isLast: false, lastUsedEpoch: 1 })
    for (const walletId of [b, c]) {
      await links.erase(idC, walletId, { isLast: false, lastUsedEpoch: 2 })
      expect(await status()).toMatchObject({ lEpoch: 2, hasMaterial: true })
      await sign(await presign(kept))
    }
    clock.advance(MINUTE_MS)
    expect(await status()).toMatchObject({ lEpoch: 2, hasMaterial: false })
    await sign(await presign(kept))
    expect(await status()).toMatchObject({ lEpoch: 3, hasMaterial: true })
    await links.erase(idC, kept, { isLast: true, lastUsedEpoch: 3 })
    expect(await links.status()).toEqual([])
  })

  it('loses one that is being refreshed: nothing that was begun with its share is finished', async () => {
    const { ids, links, c, wire } = await openScene(2)
    const [gone] = ids as [Uint8Array, Uint8Array]
    wire.toS = async (frame) => {
      if (frame[5] === FRAME_TYPES.F3) await links.erase(idC, gone, { isLast: false, lastUsedEpoch: 0 })
      return frame
    }
    await expect(c.refreshes.refresh(gone)).rejects.toMatchObject({ refusal: { code: 'session' } })
  })
})

describe('a daemon', () => {
  it('is no delegate of its own', () => {
    const ownKey = new Uint8Array(32).fill(7)
    const calls = new DelegateCalls(undefined as never, undefined as never, undefined as never, () => ownKey)
    expect(() => calls.linkOf(ownKey.slice())).toThrow(expect.objectContaining({ reason: 'DELEGATE_KEY_INVALID' }))
  })
})

describe('a link that is closed', () => {
  it('is opened again from what its end has made durable', async () => {
    const { ids, links, c, presign, opens } = await openScene(1)
    // With a worker, whose end is waited for.
    await presign(ids[0]!)
    const closing = links.close(idC).then(() => opens.push('closed'))
    await new Promise(setImmediate)
    await c.connect()
    await closing
    expect(opens).toEqual(['opened', 'closed', 'opened'])
  })
})
