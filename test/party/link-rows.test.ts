/** The links of two daemons that delegate to each other: each daemon has one in each of two threads, over one vault. */
import { expect, it } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { Link, openLinkRecord } from '../../src/party/link.ts'
import { ownLinks } from '../../src/party/link-rows.ts'
import type { PartyStore } from '../../src/party/party-store.ts'
import { makeVault, NOW, reasonOf } from '../vault/fixture.ts'
import { sha256, testClock } from './two-parties.ts'

const [own, other] = ['own', 'other'].map((name) => sha256(Buffer.from(name))) as [Uint8Array, Uint8Array]

it('a burn over one of them is undone by nobody who knows the other as it was before', async () => {
  const vault = await makeVault()
  const store = ownLinks(vault, () => NOW) as PartyStore
  const events = { alert: () => undefined, wipeSessions: () => undefined }
  const open = async (idC: Uint8Array, idS: Uint8Array, role: typeof ROLE_C | typeof ROLE_S) => {
    const parties = makeLinkParties(idC, idS, 0, 1)
    return new Link(parties, await openLinkRecord(store, parties, role, BigInt(NOW)), store, testClock(), events)
  }
  const [delegates, granting] = [await open(other, own, ROLE_S), await open(own, other, ROLE_C)]
  await granting.commitEpoch(1, { relink: false, erase: false })
  await delegates.burn()
  const stored = () => store.loadLink(granting.parties.linkId)
  expect(await stored()).toMatchObject({ state: 'BURNED', burns: 1, lEpoch: 1 })
  expect(await reasonOf(() => granting.commitEpoch(2, { relink: false, erase: false }))).toBe('LINK_BURNED')
  expect(await stored()).toMatchObject({ state: 'BURNED', burns: 1, lEpoch: 1 })
  // One of its own counts on top of the other.
  await granting.burn()
  expect(await stored()).toMatchObject({ state: 'BURNED', burns: 2 })
})
