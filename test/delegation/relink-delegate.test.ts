/** A delegate's link after a burn: only both operators' word sets it up anew, a few times, and the same wallet signs again. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { DelegateParty } from '../../src/party/delegate/delegate-party.ts'
import { openDelegateState } from '../../src/party/delegate/delegate-state.ts'
import { recordOf } from '../../src/party/delegate/open-delivery.ts'
import { decodeLinkRecord } from '../../src/engine/dkls23/records.ts'
import { delegateLinkOf } from '../../src/party/delegate-links.ts'
import { listDelegationLinks } from '../../src/party/delegation-links.ts'
import { newLinkRecord } from '../../src/party/link.ts'
import { grantRelink } from '../../src/party/relink-grant.ts'
import { encodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { delegationLinks } from '../../src/admin/delegation-links.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { getLink } from '../../src/vault/links.ts'
import { flipped, MaliciousC } from '../party/malicious-c.ts'
import type { TwoParties } from '../party/two-parties.ts'
import { activeDelegate, type Delegate, grant, jobFor, joinStage, messageOf, newIdentity, openOwnVault, openStage, sessionCarrier } from './granting-scene.ts'
import { delegatedShare } from './seal-delivery.ts'

let own: Awaited<ReturnType<typeof openOwnVault>>
beforeAll(async () => {
  own = await openOwnVault()
})
afterAll(async () => {
  await own.vault.close()
  own.remove()
})

const sign = async (delegate: Delegate): Promise<void> => {
  const [ready] = await delegate.c.presign([delegate.walletId])
  await delegate.c.sign(jobFor(delegate.granted, ready!, messageOf('x')))
}

const evilOf = ({ link, store, carrier: first }: Delegate, carrier = first): MaliciousC =>
  new MaliciousC({
    linkC: link, storeC: store, s: { answer: async (bytes: Uint8Array) => (await carrier.frame(bytes)).frame },
  } as unknown as TwoParties)

const stored = ({ link }: Delegate) => {
  const { state, burns, relinkGrant } = decodeLinkRecord(getLink(own.vault.read, link.parties.linkId)!.control)
  return { state, burns, relinkGrant }
}

/** The daemon's operator stops it, says so, and starts it again. */
const restarted = async (delegate: Delegate, before: ReturnType<typeof openStage>, isGranted: boolean) => {
  await before.delegates.close()
  if (isGranted) expect(await own.vault.commit((tx) => grantRelink(tx, delegate.link.parties.linkId, Date.now()))).toBe('granted')
  const stage = openStage(own.vault)
  onTestFinished(() => stage.delegates.close())
  const question = (frame: Uint8Array) => delegate.c.answerQuestion(frame)
  const carrier = sessionCarrier(await joinStage(stage, delegate.granted, question))
  await delegate.reconnect(carrier)
  return { stage, evil: evilOf(delegate, carrier) }
}

const grantHere = ({ link }: Delegate) => link.save(() => ({ relinkGrant: 5 }))

const LINK_BURNED = { refusal: { code: 'link_burned' } }

describe('a burned link to a delegate', () => {
  it('is set up anew on both operators’ word, and not on that of one', async () => {
    const first = openStage(own.vault)
    const delegate = await activeDelegate(first, await grant(own.vault))
    await sign(delegate)
    const evil = evilOf(delegate)
    const run = await evil.untilP3([delegate.walletId])
    await evil.sendP3(run.sid, flipped(run.body, 9))
    expect(stored(delegate)).toEqual({ state: 'BURNED', burns: 1, relinkGrant: 0 })
    await expect(delegate.c.presign([delegate.walletId])).rejects.toMatchObject(LINK_BURNED)
    expect(delegate.link.burned).toBe(true)

    // Neither: nothing is tried. The delegate's alone: refused, and its grant stands.
    const { stage: second } = await restarted(delegate, first, false)
    await delegate.c.relinkGranted()
    expect(delegate.link.burned).toBe(true)
    await grantHere(delegate)
    await expect(delegate.c.relinkGranted()).rejects.toMatchObject(LINK_BURNED)
    expect(delegate.link.record).toMatchObject({ state: 'BURNED', burns: 1, relinkGrant: 5 })

    // The daemon's too. Another reason than a relink is refused all the same.
    const third = await restarted(delegate, second, true)
    expect((await third.evil.setUp('boot', delegate.link.record.lEpoch + 1)).refusal?.code).toBe('link_burned')
    await delegate.c.relinkGranted()
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', burns: 1, relinkGrant: 0 })
    await sign(delegate)
    const { rows } = await readAuditPage(own.vault.read, 0n, 10_000, { filter: { kind: 'link.relink_granted' } })
    expect(rows).toHaveLength(1)
    await third.stage.delegates.close()
  })

  it('is over for good after the third burn, and told in the status until then', async () => {
    let stage = openStage(own.vault)
    const delegate = await activeDelegate(stage, await grant(own.vault))
    const { linkId, idC } = delegate.link.parties
    const bend = { P3: (body: Uint8Array) => flipped(body, 9) }
    expect((await evilOf(delegate).setUp('first', 1, bend)).refusal?.code).toBe('link_burned')
    for (const burns of [2, 3]) {
      const again = await restarted(delegate, stage, true)
      stage = again.stage
      expect((await again.evil.setUp('relink', 10 * burns, bend)).refusal?.code).toBe('link_burned')
      expect(stored(delegate)).toEqual({ state: 'BURNED', burns, relinkGrant: 0 })
    }
    expect(await own.vault.commit((tx) => grantRelink(tx, linkId, Date.now()))).toBe('too many burns')
    const view = await delegationLinks({
      vault: own.vault, delegates: stage.delegates, delegate: { delegateEngine: { openLinks: { open: 0, presignatures: 0 } } },
    })
    expect(view.granting).toMatchObject({ burned: 1, open: 1 })
    expect(view.granting.stopped).toEqual([{ peerId: Buffer.from(idC).toString('hex'), state: 'burned', burns: 3 }])
    expect(view.delegate).toMatchObject({ active: 0, suspended: 0, burned: 0, open: 0 })
    expect(listDelegationLinks(own.vault.read).every(({ side }) => side === 'granting')).toBe(true)
  })
})

it('a delegate without a daemon grants its side when it is told to, and not a fourth time', async () => {
  const identity = newIdentity()
  const idD = new Uint8Array(32).fill(2)
  const share = delegatedShare(identity.idC, idD)
  const keyShare = Buffer.from(encodeDelegatedShare(share)).toString('utf8')
  const wallet = () => recordOf({ ...share, share: share.share.slice() }, 1)
  const parties = delegateLinkOf(identity.idC, idD)
  const kept: { state?: Uint8Array } = {}
  const host = { load: async () => kept.state?.slice(), save: async (state: Uint8Array) => void (kept.state = state.slice()) }
  const link = { ...newLinkRecord(parties, ROLE_C, 1n), state: 'BURNED', burns: 1 } as const
  const linkNow = async () => (await openDelegateState(host, { link, wallet: wallet() })).link()
  const open = async (relink: boolean) => {
    const party = await DelegateParty.open({
      keyShare, walletApiKey: 'cdk_x', relink, state: host,
      granting: { url: 'http://127.0.0.1:1', authorities: undefined, partyId: idD }, identity: { publicKey: identity.publicKey, sign: () => new Uint8Array(64) },
    })
    await party.close()
  }
  const begin = async (burns: number): Promise<void> => {
    delete kept.state
    const { store } = await openDelegateState(host, { link, wallet: wallet() })
    await store.saveLinks([{ ...link, burns }])
  }
  for (const [burns, relink, relinkGrant] of [[1, false, 0], [1, true, 5], [3, true, 0]] as const) {
    await begin(burns)
    await open(relink)
    expect(await linkNow()).toMatchObject({ state: 'BURNED', burns, relinkGrant })
  }
})
