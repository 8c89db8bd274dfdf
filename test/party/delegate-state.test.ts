/** What a delegate without a vault keeps: it goes on from what was stored, and decides nothing that is not. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { fileState } from '../../src/client/delegated-evm-client.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { openDelegateState } from '../../src/party/delegate/delegate-state.ts'
import { recordOf } from '../../src/party/delegate/open-delivery.ts'
import { newLinkRecord } from '../../src/party/link.ts'
import { delegatedShare } from '../delegation/seal-delivery.ts'

const [idG, idD] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const fresh = () => {
  const share = delegatedShare(idG, idD)
  return { link: newLinkRecord(makeLinkParties(idG, idD, 0, 16), ROLE_C, 1n), wallet: recordOf(share, 1), share }
}

/** Remembers what it was given last; `fails`: nobody knows whether. */
const memory = () => {
  const kept: { state: Uint8Array | undefined; fails: boolean } = { state: undefined, fails: false }
  return {
    kept,
    load: async () => kept.state && kept.state.slice(),
    save: async (state: Uint8Array) => {
      if (kept.fails) throw new Error('the disk is full')
      kept.state = state.slice()
    },
  }
}

const refreshed = ({ wallet }: ReturnType<typeof fresh>) => {
  const other = delegatedShare(idG, idD)
  return { ...wallet, state: 'ACTIVE' as const, wEpoch: 1, share: other.share, pointC: other.pointG, pointS: other.pointD, publicKey: other.publicKey }
}
const sid = new Uint8Array(randomBytes(32))

it('a file that holds it is nobody else\'s to read, whatever was there before', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-state-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'state')
  writeFileSync(`${path}.new`, 'cut off', { mode: 0o644 })
  const file = fileState(path)
  await file.save(Uint8Array.of(1, 2, 3))
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(await file.load()).toEqual(Uint8Array.of(1, 2, 3))
})

describe('the state of a delegate without a vault', () => {
  it('begins with the share that was delivered and stores nothing before something changes', async () => {
    const host = memory()
    const first = fresh()
    const { store, wallet } = await openDelegateState(host, first)
    expect(host.kept.state).toBeUndefined()
    expect(wallet()).toMatchObject({ state: 'FORKED', wEpoch: 0 })
    expect(await store.loadWallet(first.wallet.walletId)).toMatchObject({ share: first.share.share })
    expect(await store.loadWallet(new Uint8Array(16))).toBeUndefined()
  })

  it('goes on from what was stored, and overwrites the share that was delivered', async () => {
    const host = memory()
    const first = fresh()
    const { store } = await openDelegateState(host, first)
    await store.noteUse([first.wallet.walletId], 3)
    const next = refreshed(first)
    await store.commitRefresh({ sid, records: [next] })
    expect(await store.settleOutcome({ walletId: next.walletId, wEpoch: 1, sid })).toBe('COMMITTED')
    const again = { ...first, wallet: { ...first.wallet, share: new Uint8Array(32).fill(9) } }
    const reopened = await openDelegateState(host, again)
    expect(again.wallet.share.every((byte) => byte === 0)).toBe(true)
    expect(reopened.wallet()).toMatchObject({ state: 'ACTIVE', wEpoch: 1, publicKey: next.publicKey })
    expect(await reopened.store.lastUse(next.walletId)).toBe(3)
    expect(await reopened.store.loadWallet(next.walletId)).toMatchObject({ share: next.share })
  })

  it('tells nobody of a share that is not stored yet', async () => {
    const host = memory()
    const first = fresh()
    const stored = Promise.withResolvers<void>()
    const slow = { ...host, save: async (state: Uint8Array) => stored.promise.then(() => host.save(state)) }
    const { store } = await openDelegateState(slow, first)
    const next = refreshed(first)
    const told: string[] = []
    const question = { walletId: next.walletId, wEpoch: 1, sid }
    const committing = store.commitRefresh({ sid, records: [next] })
    const settling = store.settleOutcome(question).then((verdict) => told.push(verdict))
    const loading = store.loadWallet(next.walletId).then((record) => told.push(`epoch ${record?.wEpoch}`))
    await new Promise(setImmediate)
    expect(told).toEqual([])
    stored.resolve()
    await Promise.all([committing, settling, loading])
    expect(told.sort()).toEqual(['COMMITTED', 'epoch 1'])
  })

  it('of a share that could not be stored says no verdict', async () => {
    const host = memory()
    const first = fresh()
    const { store } = await openDelegateState(host, first)
    const next = refreshed(first)
    host.kept.fails = true
    const committing = store.commitRefresh({ sid, records: [next] })
    const settling = store.settleOutcome({ walletId: next.walletId, wEpoch: 1, sid })
    await expect(settling).rejects.toThrow()
    await expect(committing).rejects.toThrow('the disk is full')
  })

  it('counts the sessions whose end it is asked for', async () => {
    const first = fresh()
    const { store } = await openDelegateState(memory(), first)
    const ask = (n: number) => store.settleOutcome({ walletId: first.wallet.walletId, wEpoch: 1, sid: new Uint8Array(Uint32Array.of(n, 1, 1, 1, 1, 1, 1, 1).buffer) })
    const endless = async () => {
      for (let n = 0; n < 10_000; n++) await ask(n)
    }
    await expect(endless()).rejects.toThrow('too many')
  })

  it('commits nothing whose outcome it has answered, twice, or out of turn', async () => {
    const first = fresh()
    const { store, wallet } = await openDelegateState(memory(), first)
    const next = refreshed(first)
    expect(await store.settleOutcome({ walletId: next.walletId, wEpoch: 1, sid })).toBe('ABORTED')
    await expect(store.commitRefresh({ sid, records: [next] })).rejects.toThrow('given up')
    const later = new Uint8Array(randomBytes(32))
    await expect(store.commitRefresh({ sid: later, records: [{ ...next, wEpoch: 2 }] })).rejects.toThrow('given up')
    await store.commitRefresh({ sid: later, records: [next] })
    await expect(store.commitRefresh({ sid: later, records: [next] })).rejects.toThrow('given up')
    expect(wallet().wEpoch).toBe(1)
  })

  it('signs nothing any more when it cannot tell what was stored', async () => {
    const host = memory()
    const first = fresh()
    const { store, wallet } = await openDelegateState(host, first)
    host.kept.fails = true
    await expect(store.commitRefresh({ sid, records: [refreshed(first)] })).rejects.toThrow('full')
    expect(wallet()).toMatchObject({ state: 'QUARANTINED', wEpoch: 0 })
  })

  it('is of one access', async () => {
    const host = memory()
    const first = fresh()
    const { store } = await openDelegateState(host, first)
    await store.noteUse([first.wallet.walletId], 1)
    await expect(openDelegateState(host, fresh())).rejects.toThrow('another access')
    host.kept.state = new Uint8Array(8)
    await expect(openDelegateState(host, first)).rejects.toThrow('no state')
  })
})
