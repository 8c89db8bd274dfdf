/** What becomes of a send, and of its nonce, when a party, the chain, the caller or the daemon goes away in the middle. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { failure } from '../../src/domain/failure.ts'
import { parseRequestId, parseUserId } from '../../src/domain/ids.ts'
import { EvmFamily } from '../../src/sending/evm-family.ts'
import type { EvmSend } from '../../src/sending/chain-family.ts'
import type { SendRequest } from '../../src/sending/send-request.ts'
import { Sender } from '../../src/sending/sender.ts'
import { revokeApiKey } from '../../src/vault/api-keys.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { insertGrant, revokeGrant } from '../../src/vault/grants.ts'
import { updateProject } from '../../src/vault/projects.ts'
import { isStuck, STUCK_MS } from '../../src/sending/stuck-watch.ts'
import { insertWebhook } from '../../src/vault/webhooks.ts'
import { getSent, listSent, openByNetwork } from '../../src/vault/sent-queries.ts'
import { pruneSent, type SentState, type SentTransaction } from '../../src/vault/sent-transactions.ts'
import { PROJECT, type Scene, stage } from '../signing/scene.ts'
import { insertWallet } from '../../src/vault/wallets.ts'
import { newWallet, NOW, reasonOf } from '../vault/fixture.ts'
import { MemoryChain } from './memory-chain.ts'

const TO = Buffer.from('11e9ca82a3a762b4b5bd264d4173a242e7a77064', 'hex')
const NATIVE = 'eip155:1/native'
const AWAY = failure('COSIGNER_UNAVAILABLE', { why: 'gone' })

const open: Sender[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((sender) => sender.stop()))
})

const openSender = (scene: Scene, chain: MemoryChain, settled: (sent: SentTransaction) => void = () => {}): Sender => {
  const onSettled = (_tx: unknown, sent: SentTransaction): void => settled(sent)
  const sender = new Sender({ ...scene.needs, families: [new EvmFamily(chain.asChains())], confirmations: 2, settled: { SEND: onSettled, SPEND: onSettled } })
  open.push(sender)
  return sender
}

const setUp = async (narrowing: object = {}, ownerType: 'project' | 'end_user' = 'project') => {
  const scene = await stage([{ permission: 'wallet:send', narrowing }], { ownerType, address: '0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf' })
  const chain = new MemoryChain()
  const over: [string, SentState, string][] = []
  const sender = openSender(scene, chain, ({ sendId, state, reason }) => over.push([sendId, state, reason]))
  const pay = (wei = 1n, rest: Partial<SendRequest> = {}, call = { ...scene.callOf(), deadlineMs: NOW + 1e9 }) => {
    const content: EvmSend = { kind: 'evm', to: TO, value: wei, data: new Uint8Array(0) }
    return sender.send(call, { walletRef: scene.walletId, network: 'ethereum', content, purpose: 'SEND', ...rest })
  }
  const now = (sendId: string): SentTransaction => getSent(scene.vault.read, sendId) as SentTransaction
  const until = async (sendId: string, state: SentState): Promise<SentTransaction> => {
    for (let tries = 0; tries < 2_000; tries++) {
      if (now(sendId).state === state) return now(sendId)
      await sleep(2)
    }
    throw new Error(`${now(sendId).state} (${now(sendId).reason}), not ${state}`)
  }
  const digests = () => listAudit(scene.vault.read, 0n, 10_000, { kind: 'sign.intent' }).map(({ details }) => (details as { digest: string }).digest)
  return { scene, chain, sender, pay, now, until, over, digests }
}

describe('a nonce', () => {
  it('is given back when the cosigner refuses, and when the send is stopped before it is let out', async () => {
    const { scene, chain, pay, until, over } = await setUp()
    scene.answers.push(failure('COSIGNER_REFUSED', { why: 'no' }))
    expect(await reasonOf(() => pay())).toBe('COSIGNER_REFUSED')
    scene.whileSigning(async () => {
      scene.whileSigning(async () => {})
      void scene.needs.fences.raise({ scope: 'wallet', id: scene.walletId })
    })
    expect(await reasonOf(() => pay())).toBe('FROZEN')
    scene.needs.fences.lower({ scope: 'wallet', id: scene.walletId })
    expect(over.map(([, state, reason]) => `${state} ${reason}`)).toEqual(['FAILED COSIGNER_REFUSED', 'FAILED FROZEN'])
    expect(chain.offered).toEqual([])
    const { sendId } = await pay()
    expect(await until(sendId, 'BROADCAST')).toMatchObject({ nonce: 0n })
  })

  it('is held by what may have been signed, which is signed again, as it is, before anything else', async () => {
    const { scene, pay, now, until, digests } = await setUp({ max_per_day: { [NATIVE]: '100' } })
    scene.answers.push(AWAY, AWAY, AWAY, AWAY)
    const [first, second] = await Promise.allSettled([pay(60n), pay(1n)])
    expect(second).toMatchObject({ status: 'rejected', reason: { reason: 'COSIGNER_UNAVAILABLE' } })
    const sendId = first.status === 'fulfilled' ? first.value.sendId : ''
    expect(now(sendId)).toMatchObject({ state: 'SIGNING', nonce: 0n })
    const third = await until(sendId, 'BROADCAST').then(() => pay(40n))
    expect(now(third.sendId)).toMatchObject({ nonce: 1n })
    const made = digests()
    expect(new Set(made.slice(0, -1)).size).toBe(1)
    expect(new Set(made).size).toBe(2)
    expect(await reasonOf(() => pay(1n))).toBe('LIMIT_EXCEEDED')
  })

  it('is not taken for a caller who is gone, and not given back by one who goes later', async () => {
    const { scene, pay, until, chain } = await setUp()
    const gone = new AbortController()
    const call = { ...scene.callOf(), signal: gone.signal }
    scene.whileTaking(async () => gone.abort(failure('CANCELLED', {})))
    expect(await reasonOf(() => pay(1n, {}, call))).toBe('DEADLINE_EXCEEDED')
    scene.whileTaking(async () => {})
    const leaving = new AbortController()
    scene.whileSigning(async () => leaving.abort(failure('CANCELLED', {})))
    const { sendId } = await pay(1n, {}, { ...scene.callOf(), signal: leaving.signal, deadlineMs: NOW + 1 })
    expect(await until(sendId, 'BROADCAST')).toMatchObject({ nonce: 0n })
    expect(chain.offered).toHaveLength(1)
  })

  it('is not taken when what goes with the intent refuses', async () => {
    const { pay, until } = await setUp()
    const inTransaction = () => {
      throw failure('LIMIT_EXCEEDED', { limit: 'allowance', seen: '2', allowed: '1' })
    }
    expect(await reasonOf(() => pay(1n, { inTransaction }))).toBe('LIMIT_EXCEEDED')
    const ids: string[] = []
    const { sendId } = await pay(1n, { inTransaction: (_tx, id) => ids.push(id), purpose: 'SPEND', subject: 'ext_1' })
    expect(ids).toEqual([sendId])
    expect(await until(sendId, 'BROADCAST')).toMatchObject({ nonce: 0n, purpose: 'SPEND', subject: 'ext_1' })
  })
})

describe('a daemon that ends', () => {
  it('offers again what was signed and not taken, unsigned and unchanged', async () => {
    const { scene, chain, sender, pay, until, digests } = await setUp()
    chain.isAway = true
    const { sendId } = await pay()
    await until(sendId, 'SIGNED')
    await sender.stop()
    chain.isAway = false
    openSender(scene, chain).start()
    await until(sendId, 'BROADCAST')
    expect(new Set(chain.offered).size).toBe(1)
    expect(digests()).toHaveLength(1)
  })

  it('signs what it was cut off from signing as the caller who asked, or gives it up', async () => {
    for (const isRevoked of [false, true]) {
      const { scene, chain, sender, pay, until, now, digests } = await setUp()
      scene.answers.push(AWAY)
      scene.whileSigning(async () => void sender.stop())
      const { sendId } = await pay()
      await sender.stop()
      expect(now(sendId).state).toBe('SIGNING')
      if (isRevoked) await scene.vault.commit((tx) => revokeApiKey(tx, scene.key.keyId, { nowMs: NOW }))
      openSender(scene, chain).start()
      const ended = await until(sendId, isRevoked ? 'FAILED' : 'BROADCAST')
      expect(ended).toMatchObject(isRevoked ? { reason: 'API_KEY_INVALID', nonce: undefined } : { nonce: 0n })
      expect(new Set(digests()).size).toBe(1)
    }
  })
})

describe('what does not move', () => {
  it('is told once of the first of a wallet, with why, and again when that changes', async () => {
    const { scene, chain, sender, pay, until, now } = await setUp()
    await scene.vault.commit((tx) => insertWebhook(tx, { project: PROJECT, name: '', url: 'https://receiver.example/', format: 'COUNTERSIGN', subscriptions: ['transaction.*'], nowMs: NOW }))
    const rows = () => listAudit(scene.vault.read, 0n, 10_000, { kind: 'send.stuck' }).map(({ subject, reason }) => [subject?.id, reason])
    const events = () => scene.vault.read.all<{ data: string }>(`SELECT data FROM webhook_events WHERE type = 'transaction.stuck' ORDER BY number`).map(({ data }) => JSON.parse(data) as { transaction_id: string })
    const told = async (count: number) => {
      for (let tries = 0; tries < 2_000 && rows().length < count; tries++) await sleep(2).then(() => scene.passTime(1_000))
      await sleep(20)
      return rows()
    }
    chain.refusal = 'insufficient funds for gas * price + value'
    const { sendId } = await pay()
    const behind = await pay()
    await sleep(30)
    scene.passTime(STUCK_MS - 1)
    expect(await told(0)).toEqual([])
    expect(await told(1)).toEqual([[sendId, 'INSUFFICIENT_FUNDS']])
    expect(isStuck(now(sendId)) && !isStuck(now(behind.sendId))).toBe(true)
    expect(openByNetwork(scene.vault.read)).toMatchObject([{ network: 'ethereum', open: 2, stuck: 1, oldestMs: NOW }])
    chain.refusal = undefined
    await sender.replace({ ...scene.callOf(), deadlineMs: NOW + 1e9 }, { walletRef: scene.walletId, network: 'ethereum', sendId, kind: 'SPEED_UP', fees: undefined })
    await until(sendId, 'BROADCAST')
    expect(openByNetwork(scene.vault.read)[0]?.stuck).toBe(0)
    expect((await told(2)).at(-1)).toEqual([sendId, 'AWAITING_BLOCK'])
    chain.mine()
    expect(isStuck(await until(sendId, 'INCLUDED'))).toBe(false)
    expect(events().map((one) => one.transaction_id)).toEqual([sendId, sendId])
  })

  it('is not told of a version that came while the one before it was looked up', async () => {
    const { scene, chain, sender, pay, until } = await setUp()
    const { sendId } = await pay()
    await until(sendId, 'BROADCAST')
    await sleep(30)
    const gate = Promise.withResolvers<void>()
    chain.lookUp = gate.promise
    await sleep(30)
    scene.passTime(STUCK_MS)
    await sender.replace({ ...scene.callOf(), deadlineMs: NOW + 1e9 }, { walletRef: scene.walletId, network: 'ethereum', sendId, kind: 'SPEED_UP', fees: undefined })
    gate.resolve()
    await sleep(30)
    expect(listAudit(scene.vault.read, 0n, 10_000, { kind: 'send.stuck' })).toEqual([])
  })

  it('is told of as held back where it may not leave', async () => {
    const { scene, chain, pay, until } = await setUp()
    chain.isAway = true
    const { sendId } = await pay()
    await until(sendId, 'SIGNED')
    await scene.vault.commit((tx) => revokeApiKey(tx, scene.key.keyId, { nowMs: NOW }))
    const rows = () => listAudit(scene.vault.read, 0n, 10_000, { kind: 'send.stuck' })
    for (let tries = 0; tries < 2_000 && rows().length === 0; tries++) await sleep(2).then(() => scene.passTime(1_000))
    expect(rows().map(({ reason }) => reason)).toEqual(['HELD_BACK'])
  })
})

describe('what was sent', () => {
  it('is followed through a reorganisation, offered again when it was dropped, and then forgotten', async () => {
    const { scene, chain, pay, until, over } = await setUp()
    const { sendId } = await pay()
    await until(sendId, 'BROADCAST')
    chain.mine()
    await until(sendId, 'INCLUDED')
    chain.forget()
    await until(sendId, 'BROADCAST')
    chain.dropPool()
    const before = chain.offered.length
    scene.passTime(15_001)
    while (chain.offered.length === before) await sleep(2)
    chain.mine()
    await until(sendId, 'INCLUDED')
    chain.mine()
    expect(await until(sendId, 'CONFIRMED')).toMatchObject({ depth: 2 })
    expect(over).toEqual([[sendId, 'CONFIRMED', '']])
    expect(new Set(chain.offered).size).toBe(1)
    expect(await scene.vault.commit((tx) => pruneSent(tx, NOW + 20_000, 10))).toBe(1)
    expect(getSent(scene.vault.read, sendId)).toBeUndefined()
  })

  it('is not offered again while its wallet is frozen', async () => {
    const { scene, chain, pay, until } = await setUp()
    const { sendId } = await pay()
    await until(sendId, 'BROADCAST')
    chain.dropPool()
    await scene.vault.commit((tx) => addFreeze(tx, { scope: 'wallet', id: scene.walletId, reason: '', actor: { kind: 'operator', id: 'o' }, createMs: NOW }))
    scene.passTime(15_001)
    await sleep(60)
    expect(chain.offered).toHaveLength(1)
  })

  it('of an end user’s wallet goes out under a grant, and stays where it is when that ends', async () => {
    const { scene, chain, pay, until } = await setUp({}, 'end_user')
    const { vault } = scene
    const granting = { project: PROJECT, userId: parseUserId('alice')!, address: undefined, expireMs: NOW + 60_000, nowMs: NOW }
    await vault.commit((tx) => updateProject(tx, PROJECT, { settings: { delegation_enabled: true } }, { nowMs: NOW }))
    expect(await reasonOf(() => pay())).toBe('GRANT_NOT_FOUND')
    const { grantId } = await vault.commit((tx) => insertGrant(tx, granting))
    const { sendId } = await pay()
    await until(sendId, 'BROADCAST')
    await vault.commit((tx) => revokeGrant(tx, grantId, NOW))
    expect(await reasonOf(() => pay())).toBe('GRANT_REVOKED')
    chain.dropPool()
    scene.passTime(15_001)
    await sleep(60)
    expect(chain.offered).toHaveLength(1)
    await vault.commit((tx) => insertGrant(tx, { ...granting, nowMs: NOW + 15_001 }))
    while (chain.offered.length === 1) await sleep(2)
    expect(new Set(chain.offered).size).toBe(1)
  })

  it('says why nobody takes it, and is taken later', async () => {
    const { scene, chain, pay, until } = await setUp()
    for (const [said, reason] of [['insufficient funds for gas * price + value', 'INSUFFICIENT_FUNDS'], ['replacement transaction underpriced', 'UNDERPRICED'], ['no', 'REFUSED_BY_NODE']] as const) {
      chain.refusal = said
      const { sendId, statuses } = await pay()
      for await (const sent of statuses(new AbortController().signal)) if (sent.reason === reason) break
      chain.refusal = undefined
      scene.passTime(15_001)
      await until(sendId, 'BROADCAST')
    }
    chain.refusal = 'already known'
    await until((await pay()).sendId, 'BROADCAST')
  })

  it.each(['at first', 'again'])('does not leave %s once its wallet is frozen, however slow the provider is', async (when) => {
    const { scene, chain, pay, until, now } = await setUp()
    const { fences } = scene.needs
    const wallet = { scope: 'wallet', id: scene.walletId } as const
    const begun = when === 'again' ? await pay() : undefined
    if (begun !== undefined) await until(begun.sendId, 'BROADCAST')
    chain.dropPool()
    const before = chain.offered.length
    const { promise, resolve } = Promise.withResolvers<void>()
    chain.arrival = promise
    const { sendId } = begun ?? (await pay())
    scene.passTime(15_001)
    if (begun !== undefined) await sleep(60)
    const raised = fences.raise(wallet)
    setTimeout(resolve, 20)
    await raised
    await sleep(40)
    expect(chain.offered).toHaveLength(before)
    fences.lower(wallet)
    for (let tries = 0; tries < 200 && chain.offered.length === before; tries++) await sleep(2).then(() => scene.passTime(15_001))
    expect(chain.offered).toHaveLength(before + 1)
    expect(now(sendId).versions).toHaveLength(1)
  })

  it('is offered again and followed, however many others may not leave or cannot be signed', async () => {
    const { scene, chain, pay, until } = await setUp({}, 'end_user')
    const { vault } = scene
    await vault.commit((tx) => updateProject(tx, PROJECT, { settings: { delegation_enabled: true } }, { nowMs: NOW }))
    const { grantId } = await vault.commit((tx) => insertGrant(tx, { project: PROJECT, userId: parseUserId('alice')!, address: undefined, expireMs: NOW + 1e6, nowMs: NOW }))
    for (let count = 0; count < 17; count++) await until((await pay()).sendId, 'BROADCAST')
    await vault.commit((tx) => revokeGrant(tx, grantId, NOW))
    const other = await vault.commit((tx) => insertWallet(tx, newWallet({ address: '0x52908400098527886E0F7030069857D2E4169EE7' })))
    const { sendId } = await pay(1n, { walletRef: other.walletId })
    await until(sendId, 'BROADCAST')
    chain.dropPool()
    const before = chain.offered.length
    scene.passTime(15_001)
    for (let tries = 0; tries < 500 && chain.offered.length === before; tries++) await sleep(2)
    expect(chain.offered).toHaveLength(before + 1)
  })

  it('is followed while another wallet cannot be signed for', async () => {
    const { scene, chain, pay, until } = await setUp()
    const other = await scene.vault.commit((tx) => insertWallet(tx, newWallet({ address: '0x52908400098527886E0F7030069857D2E4169EE7', userId: parseUserId('bob')! })))
    const { promise, resolve } = Promise.withResolvers<void>()
    const { sendId } = await pay()
    await until(sendId, 'BROADCAST')
    scene.answers.push(AWAY)
    await pay(1n, { walletRef: other.walletId })
    // Whoever signs for it again waits.
    const waiting = Promise.withResolvers<void>()
    scene.whileSigning(() => (waiting.resolve(), promise))
    await waiting.promise
    chain.mine()
    chain.mine()
    await until(sendId, 'CONFIRMED')
    resolve()
  })

  it('leaves room for others: so many bytes of one wallet are under way, and no page is longer', async () => {
    const { scene, chain, pay, until } = await setUp()
    const data = new Uint8Array(900_000)
    const big = () => pay(1n, { content: { kind: 'evm', to: TO, value: 1n, data, gasLimit: 21_000n } })
    const sent: string[] = []
    for (let count = 0; count < 4; count++) sent.push((await big()).sendId)
    expect(await reasonOf(big)).toBe('LIMIT_EXCEEDED')
    await pay()
    for (const sendId of sent) await until(sendId, 'BROADCAST')
    chain.mine()
    chain.mine()
    for (const sendId of sent) await until(sendId, 'CONFIRMED')
    for (let count = 0; count < 4; count++) await big()
    const filter = { project: PROJECT, wallets: undefined, network: undefined, openOnly: false }
    const page = listSent(scene.vault.read, filter, 1_000n, 500)
    expect([page.items.length, page.isCut]).toEqual([6, true])
    const rest = listSent(scene.vault.read, filter, page.items.at(-1)?.number ?? 0n, 500)
    expect([rest.items.length, rest.isCut]).toEqual([3, false])
  })

  it('is cancelled when its cancellation is sped up', async () => {
    const { scene, chain, sender, pay, until, over } = await setUp()
    const { sendId } = await pay(5n)
    await until(sendId, 'BROADCAST')
    for (const kind of ['CANCEL', 'SPEED_UP'] as const)
      await sender.replace(scene.callOf(), { walletRef: scene.walletId, network: 'ethereum', sendId, kind, fees: undefined })
    chain.mine()
    chain.mine()
    expect(await until(sendId, 'REPLACED')).toMatchObject({ reason: 'CANCELLED', minedVersion: 3 })
    expect(over).toEqual([[sendId, 'REPLACED', 'CANCELLED']])
  })

  it('is not given up for replaced before another block says the same', async () => {
    const { chain, pay, until, now } = await setUp()
    const { sendId } = await pay(5n, { confirmations: 1 })
    await until(sendId, 'BROADCAST')
    // A provider whose nodes are a moment apart: one counts it, another has no receipt of it yet.
    chain.isLate = true
    chain.mine()
    await sleep(60)
    expect(now(sendId)).toMatchObject({ state: 'BROADCAST' })
    chain.isLate = false
    await until(sendId, 'CONFIRMED')
  })

  it('is legacy where the chain has no EIP-1559', async () => {
    const { chain, pay, now } = await setUp()
    chain.feesNow = { gasPrice: 7n }
    const { sendId } = await pay()
    expect(now(sendId).versions[0]?.unsigned[0]).toBeGreaterThan(0xbf)
  })

  it('is one for a request id, whoever was refused before under it', async () => {
    const { scene, pay } = await setUp()
    const id = randomUUID()
    const call = () => ({ ...scene.callOf(), requestId: parseRequestId(id) })
    scene.answers.push(failure('COSIGNER_REFUSED', { why: 'no' }))
    expect(await reasonOf(() => pay(1n, {}, call()))).toBe('COSIGNER_REFUSED')
    const [one, other] = await Promise.all([pay(1n, {}, call()), pay(1n, {}, call())])
    expect(one.sendId).toBe(other.sendId)
    expect(await reasonOf(() => pay(2n, {}, call()))).toBe('IDEMPOTENCY_MISMATCH')
  })
})
