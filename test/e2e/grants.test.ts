/** Grants of end users at the running daemon: given, used on every path, raced, taken back, and kept over kill -9. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { type Grant, GrantState } from '../../gen/countersign/v1/delegation_pb.ts'
import { SessionKeyState, SignActionRequestSchema, SignActionStreamRequestSchema } from '../../gen/countersign/v1/session_key_pb.ts'
import { OwnerType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { decodeItemError, openSignStream } from '../../src/client/sign-stream.ts'
import { activeKey, createKey, hlOrder } from '../session/session-daemon.ts'
import { detailOf, headSequence, rowsOfKind } from './audit-rows.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf, refusalOf, sha256 } from './callers.ts'
import { connectAs, connectWithDevice, makePeople, type Person } from './end-users.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { transferOf } from './solana.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const DAY_MS = 86_400_000
const base = makeDataDir()
let daemon: TestDaemon
let project: CountersignClient
let people: readonly Person[] = []
let alice: CountersignClient
let bob: CountersignClient
let evm: Wallet
let solana: Wallet

const start = async (): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args: ['--max-grant-days', '30'] })
  project = connect(daemon, daemon.adminKey)
  const [first, second] = people
  alice = await connectWithDevice(daemon, first!)
  bob = await connectWithDevice(daemon, second!)
}
const closeAll = (): void => {
  for (const client of [project, alice, bob]) client.close()
}

const own = async (client: CountersignClient, userId: string, keyType: KeyType, label = ''): Promise<Wallet> => {
  const request = { userId, keyType, ownerType: OwnerType.END_USER, label }
  return (await client.wallets.createWallet(request)).wallet as Wallet
}

beforeAll(async () => {
  people = await makePeople(base, ['alice', 'bob', 'rival/alice'])
  await start()
  evm = await own(alice, 'alice', KeyType.SECP256K1)
  solana = await own(alice, 'alice', KeyType.ED25519)
})
afterAll(async () => {
  closeAll()
  await daemon[Symbol.asyncDispose]()
  rmSync(base, { recursive: true, force: true })
})

/** What a test that failed has left. */
afterEach(async () => {
  const { grants } = await project.delegation.listGrants({ state: GrantState.ACTIVE })
  for (const { grantId } of grants) await project.delegation.revokeGrant({ grantId })
})

const inMs = (ms: number) => timestampFromMs(Date.now() + ms)
const all = (userId = 'alice') => ({ case: 'userId', value: userId }) as const
const over = (address: string) => ({ case: 'address', value: address }) as const

const give = async (client = alice, scope: ReturnType<typeof all> | ReturnType<typeof over> = all(), ms = DAY_MS): Promise<Grant> => {
  const { grant } = await client.delegation.createGrant({ scope, expireTime: inMs(ms) })
  if (grant === undefined) throw new Error('no grant in the answer')
  return grant
}
const takeBack = async ({ grantId }: Grant, client = alice) => (await client.delegation.revokeGrant({ grantId })).grant
const enable = (delegationEnabled: boolean) =>
  project.admin.updateProject({ project: { projectId: 'default', delegationEnabled }, updateMask: { paths: ['delegation_enabled'] } })

const hello = (client: CountersignClient, wallet: Wallet, rest: object = {}) =>
  client.wallets.signMessage({ wallet: wallet.walletId, content: { case: 'text', value: 'hello' }, ...rest })

async function* actions(sessionKeyId: string, count: number) {
  for (let at = 0; at < count; at++) {
    const action = create(SignActionRequestSchema, { sessionKeyId, family: 'order', actionJson: hlOrder({ p: String(100 + at) }) })
    yield create(SignActionStreamRequestSchema, { itemId: String(at), action })
  }
}

/** Every way to have something signed, over unary RPCs and on a stream. */
const everyPath = async (client: CountersignClient): Promise<readonly string[]> => {
  const unary = SIGNING_NAMES.map((name) => outcomeOf(signAs(name, client, { wallet: evm.walletId, seed: randomUUID() })))
  const transaction = { case: 'solanaMessage', value: transferOf(solana, 1n) } as const
  const onSolana = [
    outcomeOf(hello(client, solana)),
    outcomeOf(client.wallets.signTransaction({ wallet: solana.walletId, transaction })),
  ]
  const stream = openSignStream(client.wallets)
  const content = { case: 'text', value: 'streamed' } as const
  const streamed = [
    outcomeOf(stream.sign('signMessage', { wallet: evm.walletId, content })),
    outcomeOf(stream.sign('signDigest', { wallet: evm.walletId, digest: sha256('streamed') })),
    outcomeOf(stream.sign('signTransaction', { wallet: solana.walletId, transaction })),
  ]
  const outcomes = await Promise.all([...unary, ...onSolana, ...streamed])
  await stream.close()
  return outcomes
}

describe('without a grant', () => {
  it('a project that has not turned delegation on hears that, and so does who grants it something', async () => {
    expect(new Set(await everyPath(project))).toEqual(new Set(['DELEGATION_NOT_ENABLED']))
    expect(await reasonOf(give())).toBe('DELEGATION_NOT_ENABLED')
    const { project: changed } = (await enable(true)) ?? {}
    expect(changed?.delegationEnabled).toBe(true)
  })

  it('the project signs on no path, and the owner on each', async () => {
    expect(new Set(await everyPath(project))).toEqual(new Set(['GRANT_NOT_FOUND']))
    const other = [project.wallets.warmPresignatures({ wallet: evm.walletId, depth: 1 }), createKey(project, { wallet: evm.walletId })]
    expect(await Promise.all(other.map(reasonOf))).toEqual(['GRANT_NOT_FOUND', 'GRANT_NOT_FOUND'])
    expect(new Set(await everyPath(alice))).toEqual(new Set(['signed']))
    expect(await refusalOf(hello(project, evm))).toMatchObject({ code: 'NOT_FOUND', retryable: 'no' })
  })

  it('the project goes on with its own wallets', async () => {
    const wallet = await newWallet(project)
    expect(await outcomeOf(hello(project, wallet))).toBe('signed')
  })
})

describe('granting', () => {
  it('takes a wallet secret of the person, and no API key whatever it holds', async () => {
    const request = { scope: all(), expireTime: inMs(DAY_MS) }
    expect(await reasonOf(project.delegation.createGrant(request))).toBe('CALLER_NOT_ALLOWED')
    using bare = connectAs(daemon, people[0]!)
    expect(await reasonOf(bare.delegation.createGrant(request))).toBe('WALLET_SECRET_REQUIRED')
  })

  it.each([
    ['an end in the past', () => ({ scope: all(), expireTime: inMs(-1_000) })],
    ['an end at the beginning of time', () => ({ scope: all(), expireTime: timestampFromMs(0) })],
    ['an end beyond the bound', () => ({ scope: all(), expireTime: inMs(30 * DAY_MS + 60_000) })],
    ['no end', () => ({ scope: all() })],
    ['no scope', () => ({ expireTime: inMs(DAY_MS) })],
    ['another user', () => ({ scope: all('bob'), expireTime: inMs(DAY_MS) })],
    ['what is no address', () => ({ scope: over('0x12'), expireTime: inMs(DAY_MS) })],
  ])('is refused with %s', async (_name, request) => {
    expect(await reasonOf(alice.delegation.createGrant(request()))).toBe('INVALID_REQUEST')
  })

  it("knows only one's own addresses, EVM in any letter case", async () => {
    const bobs = await own(bob, 'bob', KeyType.SECP256K1)
    const projects = await newWallet(project)
    for (const address of [bobs.address, projects.address, `0x${'12'.repeat(20)}`]) {
      expect(await reasonOf(give(alice, over(address)))).toBe('WALLET_NOT_FOUND')
    }
    const grant = await give(alice, over(evm.address.toLowerCase()))
    expect(grant).toMatchObject({ userId: 'alice', address: evm.address, state: GrantState.ACTIVE })
    expect(await outcomeOf(hello(project, evm))).toBe('signed')
    expect(await refusalOf(hello(project, solana))).toMatchObject({ reason: 'GRANT_NOT_AUTHORIZED', code: 'PERMISSION_DENIED' })
    const refusal = await refusalOf(give())
    expect(refusal).toMatchObject({ reason: 'GRANT_ALREADY_EXISTS', code: 'ALREADY_EXISTS' })
    expect(refusal.metadata).toMatchObject({ grantId: grant.grantId, scope: 'address' })
    await takeBack(grant)
  })

  it('of a hundred at once leaves one, and a repeat gets that one', async () => {
    const requests = Array.from({ length: 100 }, (_, at) => ({
      scope: at % 2 === 0 ? all() : over(evm.address),
      expireTime: inMs(DAY_MS),
      requestId: randomUUID(),
    }))
    const grants = await Promise.allSettled(requests.map((request) => alice.delegation.createGrant(request)))
    const made = grants.flatMap((one) => (one.status === 'fulfilled' ? [one.value.grant] : []))
    expect(made).toHaveLength(1)
    const winner = grants.findIndex(({ status }) => status === 'fulfilled')
    expect((await alice.delegation.createGrant(requests[winner]!)).grant).toEqual(made[0])
    expect(await reasonOf(alice.delegation.createGrant(requests[winner === 0 ? 1 : 0]!))).toBe('GRANT_ALREADY_EXISTS')
    const { grants: active } = await alice.delegation.listGrants({ state: GrantState.ACTIVE })
    expect(active.map(({ grantId }) => grantId)).toEqual([made[0]?.grantId])
    await takeBack(active[0]!)
  })
})

describe('under a grant', () => {
  it('the project signs on every path with the person absent, and each intent names the grant', async () => {
    const after = await headSequence(project)
    const grant = await give()
    const outcomes = await everyPath(project)
    expect(new Set(outcomes)).toEqual(new Set(['signed']))
    const intents = await rowsOfKind(project, 'sign.intent', after)
    expect(intents).toHaveLength(outcomes.length)
    expect(new Set(intents.map((row) => detailOf(row, 'grant')))).toEqual(new Set([grant.grantId]))
    await takeBack(grant)
  })

  it('a key needs its own permission all the same', async () => {
    const grant = await give()
    const { secret } = await newKey(project, [{ name: 'wallet:sign' }])
    using client = connect(daemon, secret)
    expect(await outcomeOf(hello(client, evm))).toBe('signed')
    expect(await reasonOf(client.wallets.signDigest({ wallet: evm.walletId, digest: sha256('x') }))).toBe('PERMISSION_MISSING')
    expect(await reasonOf(client.delegation.revokeGrant({ grantId: grant.grantId }))).toBe('PERMISSION_MISSING')
    await takeBack(grant)
  })

  it('a wallet that is made later is covered', async () => {
    const grant = await give()
    const later = await own(alice, 'alice', KeyType.SECP256K1, 'later')
    expect(await outcomeOf(hello(project, later))).toBe('signed')
    await takeBack(grant)
  })
})

describe('the end of a grant', () => {
  it('is told apart: revoked, expired, another address, nothing', async () => {
    const first = await give()
    expect((await takeBack(first, project))?.state).toBe(GrantState.REVOKED)
    const revoked = await refusalOf(hello(project, evm))
    expect(revoked).toMatchObject({ reason: 'GRANT_REVOKED', code: 'PERMISSION_DENIED', retryable: 'no' })
    expect(revoked.metadata).toMatchObject({ grantId: first.grantId })
    const after = await headSequence(project)
    const second = await give(alice, all(), 1_500)
    await vi.waitUntil(async () => (await rowsOfKind(project, 'grant.expired', after)).length === 1, { timeout: 20_000, interval: 200 })
    const expired = await refusalOf(hello(project, evm))
    expect(expired).toMatchObject({ reason: 'GRANT_EXPIRED', code: 'PERMISSION_DENIED' })
    expect(expired.metadata).toMatchObject({ grantId: second.grantId })
    expect((await takeBack(second))?.state).toBe(GrantState.EXPIRED)
    expect(await reasonOf(hello(project, await own(bob, 'bob', KeyType.SECP256K1, 'ungranted')))).toBe('GRANT_NOT_FOUND')
  })

  it('does not bring a kept signature back, and does not take it from its owner', async () => {
    const grant = await give()
    const requestId = randomUUID()
    expect(await outcomeOf(hello(project, evm, { requestId }))).toBe('signed')
    expect(await outcomeOf(hello(project, evm, { requestId }))).toBe('signed')
    expect(await outcomeOf(hello(alice, evm, { requestId }))).toBe('signed')
    await takeBack(grant)
    expect(await reasonOf(hello(project, evm, { requestId }))).toBe('GRANT_REVOKED')
    expect(await outcomeOf(hello(alice, evm, { requestId }))).toBe('signed')
  })

  it('leaves nothing released after it was acknowledged, of a thousand streamed signatures', async () => {
    const grant = await give()
    const stream = openSignStream(project.wallets)
    let signed = 0
    const hundredth = Promise.withResolvers<void>()
    const asked = Array.from({ length: 1_000 }, async (_, at) => {
      const content = { case: 'text', value: `race ${at}` } as const
      const answer = await stream.sign('signMessage', { wallet: evm.walletId, content })
      signed += 1
      if (signed === 100) hundredth.resolve()
      return answer.receipt?.sequence ?? 0n
    })
    const settled = Promise.allSettled(asked)
    await hundredth.promise
    expect((await takeBack(grant))?.state).toBe(GrantState.REVOKED)
    const outcomes = await settled
    await stream.close()
    const sequences = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const reasons = outcomes.flatMap((one) => (one.status === 'rejected' ? [(one.reason as { reason?: string }).reason] : []))
    expect(sequences.length).toBeGreaterThanOrEqual(100)
    // A caller is told of so many refusals a second; the rest is RATE_LIMITED.
    expect(reasons).toContain('GRANT_REVOKED')
    expect(reasons.filter((reason) => reason !== 'GRANT_REVOKED' && reason !== 'RATE_LIMITED')).toEqual([])
    const [revoked] = (await rowsOfKind(project, 'grant.revoked', 0n)).filter(({ subject }) => subject.endsWith(grant.grantId))
    const latest = sequences.reduce((one, other) => (one > other ? one : other))
    expect(latest).toBeLessThan(revoked!.sequence)
    const later = await rowsOfKind(project, 'sign.intent', revoked!.sequence)
    expect(later).toEqual([])
    const completed = await rowsOfKind(project, 'sign.completed', revoked!.sequence)
    const released = new Set(sequences.map(String))
    expect(completed.filter((row) => released.has(String(detailOf(row, 'intent'))))).toEqual([])
  })

  it('leaves no action of a session key released after it was acknowledged, of a thousand streamed', async () => {
    const grant = await give()
    const { sessionKeyId } = await activeKey(project, { wallet: evm.walletId })
    const released: bigint[] = []
    const reasons = new Set<string>()
    const hundredth = Promise.withResolvers<void>()
    const answers = project.sessionKeys.signActionStream(actions(sessionKeyId, 1_000))
    const reading = (async () => {
      for await (const { result } of answers) {
        if (result.case === 'action') released.push(result.value.receipt?.sequence ?? 0n)
        else if (result.case === 'error') reasons.add(decodeItemError(result.value).reason ?? '')
        if (released.length === 100) hundredth.resolve()
      }
    })()
    await hundredth.promise
    await takeBack(grant)
    await reading
    const [revoked] = (await rowsOfKind(project, 'grant.revoked', 0n)).filter(({ subject }) => subject.endsWith(grant.grantId))
    expect(reasons).toContain('GRANT_REVOKED')
    for (const sequence of released) expect(sequence).toBeLessThan(revoked!.sequence)
    expect(await rowsOfKind(project, 'session.action', revoked!.sequence)).toEqual([])
  })

  it('comes with the switch of the project, and goes with it', async () => {
    const grant = await give()
    await enable(false)
    expect(await reasonOf(hello(project, evm))).toBe('DELEGATION_NOT_ENABLED')
    await enable(true)
    expect(await outcomeOf(hello(project, evm))).toBe('signed')
    await takeBack(grant)
  })
})

describe('session keys', () => {
  const act = (sessionKeyId: string) => project.sessionKeys.signAction({ sessionKeyId, family: 'order', actionJson: hlOrder() })

  /** A grant that is nearly over, and a key that was made in time: a busy machine gets a longer one. */
  const keyOfShortGrant = async (ms = 2_000): Promise<{ readonly grant: Grant; readonly sessionKeyId: string }> => {
    const grant = await give(alice, over(evm.address), ms)
    try {
      const { sessionKeyId } = await activeKey(project, { wallet: evm.walletId })
      return { grant, sessionKeyId }
    } catch (error) {
      if (ms > 20_000) throw error
      return keyOfShortGrant(ms * 3)
    }
  }

  it('are made under a grant, and end with it for good', async () => {
    expect(await reasonOf(createKey(project, { wallet: evm.walletId }))).toMatch(/^GRANT_(REVOKED|NOT_FOUND)$/)
    const grant = await give()
    const { sessionKeyId } = await activeKey(project, { wallet: evm.walletId })
    expect(await outcomeOf(act(sessionKeyId))).toBe('signed')
    const after = await headSequence(project)
    await takeBack(grant)
    expect(await reasonOf(act(sessionKeyId))).toBe('GRANT_REVOKED')
    const { sessionKey } = await project.sessionKeys.getSessionKey({ sessionKeyId })
    expect(sessionKey?.state).toBe(SessionKeyState.REVOKED)
    const [ended] = await rowsOfKind(project, 'session.revoked', after)
    expect(detailOf(ended!, 'grant')).toBe(grant.grantId)
    const again = await give()
    expect(await reasonOf(act(sessionKeyId))).toBe('GRANT_REVOKED')
    const { sessionKeyId: second } = await activeKey(project, { wallet: evm.walletId })
    expect(await outcomeOf(act(second))).toBe('signed')
    await takeBack(again)
  })

  it('are told of, and their actions given, again only while the project may act for people', async () => {
    await enable(true)
    const grant = await give()
    const [making, acting] = [randomUUID(), randomUUID()]
    const asked = { wallet: evm.walletId, expireTime: inMs(3_600_000), requestId: making }
    const { sessionKeyId } = await activeKey(project, asked)
    const act = () => project.sessionKeys.signAction({ sessionKeyId, family: 'order', actionJson: hlOrder(), requestId: acting })
    const make = () => createKey(project, asked)
    const { nonce } = await act()
    expect((await act()).nonce).toBe(nonce)
    expect((await make()).sessionKey?.sessionKeyId).toBe(sessionKeyId)
    await enable(false)
    for (const again of [act, make]) expect(await reasonOf(again())).toBe('DELEGATION_NOT_ENABLED')
    await enable(true)
    for (const again of [act, make]) expect(await outcomeOf(again())).toBe('signed')
    await takeBack(grant)
    for (const again of [act, make]) expect(await reasonOf(again())).toBe('GRANT_REVOKED')
  })

  it('end with the time of a grant', async () => {
    const { grant, sessionKeyId } = await keyOfShortGrant()
    const state = async () => (await project.sessionKeys.getSessionKey({ sessionKeyId })).sessionKey?.state
    await vi.waitUntil(async () => (await state()) === SessionKeyState.REVOKED, { timeout: 50_000, interval: 200 })
    expect(await refusalOf(act(sessionKeyId))).toMatchObject({ reason: 'GRANT_EXPIRED', metadata: { grantId: grant.grantId } })
  })
})

describe('reading', () => {
  it("finds one's own and nobody else's", async () => {
    const grant = await give()
    const { secret } = await newKey(project, ['wallet:read', 'grant:revoke'].map((name) => ({ name })), { projectId: 'rival' })
    using rival = connect(daemon, secret)
    using namesake = connectAs(daemon, people[2]!)
    for (const stranger of [bob, rival, namesake]) {
      expect(await reasonOf(stranger.delegation.getGrant({ grantId: grant.grantId }))).toBe('GRANT_NOT_FOUND')
      expect(await reasonOf(stranger.delegation.revokeGrant({ grantId: grant.grantId }))).toBe('GRANT_NOT_FOUND')
      const { grants } = await stranger.delegation.listGrants({ userId: 'alice' })
      expect(grants).toEqual([])
    }
    const unknown = await refusalOf(alice.delegation.getGrant({ grantId: `grant_${'0'.repeat(32)}` }))
    expect(unknown).toMatchObject({ reason: 'GRANT_NOT_FOUND', code: 'NOT_FOUND' })
    for (const client of [alice, project]) {
      expect((await client.delegation.getGrant({ grantId: grant.grantId })).grant).toMatchObject({ grantId: grant.grantId, state: GrantState.ACTIVE })
    }
    const pages: string[] = []
    let pageToken = ''
    do {
      const page = await project.delegation.listGrants({ userId: 'alice', pageSize: 3, pageToken })
      pages.push(...page.grants.map(({ grantId }) => grantId))
      pageToken = page.nextPageToken
    } while (pageToken !== '')
    expect(new Set(pages).size).toBe(pages.length)
    expect(pages.at(-1)).toBe(grant.grantId)
    // Without the device: what was granted can be taken back with the access token alone.
    using bare = connectAs(daemon, people[0]!)
    expect((await bare.delegation.revokeGrant({ grantId: grant.grantId })).grant?.state).toBe(GrantState.REVOKED)
  })
})

describe('kill -9', () => {
  it('loses neither a grant nor a revocation that was acknowledged', async () => {
    const grant = await give()
    closeAll()
    await daemon.kill('SIGKILL')
    await start()
    expect(await outcomeOf(hello(project, evm))).toBe('signed')
    await takeBack(grant)
    closeAll()
    await daemon.kill('SIGKILL')
    await start()
    expect(await reasonOf(hello(project, evm))).toBe('GRANT_REVOKED')
    expect((await alice.delegation.getGrant({ grantId: grant.grantId })).grant?.state).toBe(GrantState.REVOKED)
  })
})
