/** Party S's undecided records where the parties have several links: each link asks about its own and hears of its own. */
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { decodeOutcomeQuestions, encodeOutcomeAnswers } from '../../src/engine/dkls23/outcome.ts'
import { ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { Link, newLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore } from '../../src/party/memory-store.ts'
import type { PendingWallet } from '../../src/party/party-store.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { UndecidedWallets } from '../../src/party/undecided-wallets.ts'
import { testClock } from './two-parties.ts'

const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

const openLinks = () => {
  const [idC, idS] = [bytes(32), bytes(32)]
  const clock = testClock()
  const memory = createMemoryStore()
  const pending: PendingWallet[] = []
  const done: string[] = []
  const store = {
    ...memory,
    pendingWallets: async () => pending,
    lastUse: async () => 1,
    activate: async (walletId: Uint8Array) => void done.push(`switch ${hexOf(walletId)}`),
    dropPending: async (walletId: Uint8Array) => void done.push(`drop ${hexOf(walletId)}`),
  }
  const due: number[] = []
  const sides = [0, 1].map((shard) => {
    const parties = makeLinkParties(idC, idS, shard, 2)
    const record = { ...newLinkRecord(parties, ROLE_S, 1n), lEpoch: 1 }
    const link = new Link(parties, record, memory, clock, { alert: () => {}, wipeSessions: () => {} })
    link.markEraseDue = async () => void due.push(shard)
    const undecided = new UndecidedWallets({ link, store, alert: () => {}, wipeWallet: () => {}, ask: () => {} })
    const one = { walletId: bytes(16), wEpoch: 1, sid: bytes(32), linkId: parties.linkId }
    pending.push(one)
    return { undecided, one }
  })
  const [first, second] = sides
  return { first: first!, second: second!, done, due }
}

it('a link asks about the records that were made over it, and no other', async () => {
  const { first, second } = openLinks()
  for (const { undecided, one } of [first, second]) {
    const [body, ...more] = await undecided.questions()
    expect(more).toEqual([])
    const asked = decodeOutcomeQuestions(body!).map(({ walletId }) => hexOf(walletId))
    expect(asked).toEqual([hexOf(one.walletId)])
  }
})

it('what is heard over another link changes nothing; over its own it does, and that link’s material is due', async () => {
  const { first, second, done, due } = openLinks()
  const { walletId, wEpoch, sid } = second.one
  for (const verdict of ['ABORTED', 'COMMITTED'] as const) {
    await first.undecided.settle(encodeOutcomeAnswers([{ walletId, wEpoch, sid, verdict }]))
  }
  await first.undecided.acknowledge(sid)
  expect((await first.undecided.heed([{ walletId, wEpoch }])).size).toBe(0)
  expect({ done, due }).toEqual({ done: [], due: [] })
  await second.undecided.settle(encodeOutcomeAnswers([{ walletId, wEpoch, sid, verdict: 'COMMITTED' }]))
  expect({ done, due }).toEqual({ done: [`switch ${hexOf(walletId)}`], due: [1] })
})
