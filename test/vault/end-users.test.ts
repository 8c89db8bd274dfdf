import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { ProjectId, RequestId, UserId } from '../../src/domain/ids.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { findOrCreateEndUser, getEndUser, listIdentities } from '../../src/vault/end-users.ts'
import { DEFAULT_PROJECT, getProject, insertProject, updateProject } from '../../src/vault/projects.ts'
import { sealRestored } from '../../src/vault/restore-state.ts'
import {
  emailFlowWaitMs,
  oidcSecrets,
  newOidcFlowId,
  pruneFlows,
  startEmailFlow,
  startOidcFlow,
  takeOidcFlow,
  tryEmailCode,
} from '../../src/vault/sign-in-flows.ts'
import { verifyStateIndex } from '../../src/vault/state-index.ts'
import { currentTokenKey, findTokenKey, listTokenKeys, openTokenKey } from '../../src/vault/token-keys.ts'
import {
  endSession,
  findRefreshToken,
  getSession,
  insertSession,
  issueRefreshToken,
  pruneSessions,
  rotateRefreshToken,
  type UserSession,
} from '../../src/vault/user-sessions.ts'
import { makePlace, makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const OTHER = 'other' as ProjectId
const ALICE = 'alice' as UserId
const DAY = 86_400_000
const WEEK = 7 * DAY

const signIn = (vault: DaemonVault, nowMs = NOW): Promise<{ session: UserSession; token: string }> =>
  vault.commit((tx) => {
    findOrCreateEndUser(tx, { project: DEFAULT_PROJECT, method: 'jwt', subject: ALICE, userId: ALICE, nowMs })
    const session = insertSession(tx, { project: DEFAULT_PROJECT, userId: ALICE, method: 'email', nowMs, expireMs: nowMs + WEEK })
    return { session, token: issueRefreshToken(tx, session).token.reveal() }
  })

const by = (nowMs = NOW, requestId?: string) => ({ project: DEFAULT_PROJECT, requestId: requestId as RequestId | undefined, nowMs })

const rotate = (vault: DaemonVault, session: UserSession, text: string, at = by()): Promise<string> =>
  vault.commit((tx) => rotateRefreshToken(tx, session, { ...at, text, expireMs: at.nowMs + WEEK }).issued.token.reveal())

describe('end users', () => {
  it('are found again by their identity, in their project alone', async () => {
    const vault = await makeVault()
    await vault.commit((tx) => insertProject(tx, { projectId: OTHER, name: '', nowMs: NOW }))
    const create = (project: ProjectId, subject: string) =>
      vault.commit((tx) => findOrCreateEndUser(tx, { project, method: 'email', subject, nowMs: NOW }))
    const first = await create(DEFAULT_PROJECT, 'a@x.example')
    expect([first.isNew, /^usr_[0-9a-f]{32}$/.test(first.user.userId)]).toEqual([true, true])
    expect(await create(DEFAULT_PROJECT, 'a@x.example')).toEqual({ user: first.user, isNew: false })
    expect((await create(DEFAULT_PROJECT, 'b@x.example')).user.userId).not.toBe(first.user.userId)
    expect((await create(OTHER, 'a@x.example')).user.userId).not.toBe(first.user.userId)
    expect(getEndUser(vault.read, DEFAULT_PROJECT, first.user.userId)).toEqual(first.user)
    expect(getEndUser(vault.read, OTHER, first.user.userId)).toBeUndefined()
    expect(listIdentities(vault.read, DEFAULT_PROJECT, first.user.userId)).toEqual([
      { method: 'email', subject: 'a@x.example', createMs: NOW },
    ])
  })

  it('are not found by an identity that was moved to another user in the file', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    const create = (subject: string) =>
      vault.commit((tx) => findOrCreateEndUser(tx, { project: DEFAULT_PROJECT, method: 'oidc', subject, nowMs: NOW }))
    const victim = await create('https://issuer.example victim')
    await create('https://issuer.example thief')
    await vault.close()
    tamper(place.path, (db) =>
      db.prepare(`UPDATE end_user_identities SET user_id = ? WHERE subject LIKE '%thief'`).run(victim.user.userId),
    )
    const opened = await openVaultAt(place)
    const asThief = () =>
      opened.commit((tx) =>
        findOrCreateEndUser(tx, { project: DEFAULT_PROJECT, method: 'oidc', subject: 'https://issuer.example thief', nowMs: NOW }),
      )
    expect(await reasonOf(asThief)).toBe('VAULT_CORRUPT')
  })
})

describe('refresh tokens', () => {
  it('are good once, and make the next', async () => {
    const vault = await makeVault()
    const { session, token } = await signIn(vault)
    expect(findRefreshToken(vault.read, token, by())).toMatchObject({ kind: 'current' })
    const next = await rotate(vault, session, token)
    expect(findRefreshToken(vault.read, token, by())).toMatchObject({ kind: 'used', isRepeat: false })
    expect(findRefreshToken(vault.read, next, by())).toMatchObject({ kind: 'current' })
  })

  it('are nothing in another project, when over, altered or of an ended session', async () => {
    const vault = await makeVault()
    const { session, token } = await signIn(vault)
    expect(findRefreshToken(vault.read, token, { ...by(), project: OTHER })).toEqual({ kind: 'unknown' })
    expect(findRefreshToken(vault.read, token, by(NOW + WEEK))).toEqual({ kind: 'expired', expireMs: NOW + WEEK })
    for (const text of ['', 'crt_', `${token}a`, token.slice(0, -1), token.replace('crt_', 'CRT_'), ` ${token}`])
      expect(findRefreshToken(vault.read, text, by())).toEqual({ kind: 'unknown' })
    await vault.commit((tx) => endSession(tx, session, 'SIGNED_OUT'))
    expect(findRefreshToken(vault.read, token, by())).toEqual({ kind: 'ended' })
    await vault.commit((tx) => endSession(tx, session, 'REUSED'))
    expect(getSession(vault.read, session.sessionId)?.state).toBe('SIGNED_OUT')
  })

  it('may be used again by the request that used them, for a minute: the lost answer is then worth nothing', async () => {
    const vault = await makeVault()
    const { session, token } = await signIn(vault)
    const requestId = randomUUID()
    const lost = await rotate(vault, session, token, by(NOW, requestId))
    expect(findRefreshToken(vault.read, token, by(NOW + 59_999, requestId))).toMatchObject({ kind: 'used', isRepeat: true })
    for (const at of [by(NOW + 60_000, requestId), by(NOW, randomUUID()), by(NOW)])
      expect(findRefreshToken(vault.read, token, at)).toMatchObject({ kind: 'used', isRepeat: false })
    const again = await rotate(vault, session, token, by(NOW, requestId))
    // Who shows it has the answer that was said to be lost.
    expect(findRefreshToken(vault.read, lost, by())).toMatchObject({ kind: 'used', isRepeat: false })
    expect(findRefreshToken(vault.read, again, by())).toMatchObject({ kind: 'current' })
    expect(findRefreshToken(vault.read, token, by(NOW + 1, requestId))).toMatchObject({ kind: 'used', isRepeat: true })
    await rotate(vault, session, again, by(NOW + 1, randomUUID()))
    expect(findRefreshToken(vault.read, token, by(NOW + 2, requestId))).toMatchObject({ kind: 'used', isRepeat: false })
  })

  it('are of the session they were given out for, whatever the file says', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    const victim = await signIn(vault)
    const thief = await signIn(vault)
    const spent = await signIn(vault)
    await rotate(vault, spent.session, spent.token)
    await vault.close()
    tamper(place.path, (db) => {
      db.prepare('DELETE FROM refresh_tokens WHERE session_id = ?').run(victim.session.sessionId)
      db.prepare('UPDATE refresh_tokens SET session_id = ? WHERE session_id = ?').run(victim.session.sessionId, thief.session.sessionId)
      db.prepare(`DELETE FROM refresh_tokens WHERE session_id = ? AND state = 'CURRENT'`).run(spent.session.sessionId)
      db.prepare(`UPDATE refresh_tokens SET state = 'CURRENT' WHERE session_id = ?`).run(spent.session.sessionId)
    })
    const opened = await openVaultAt(place)
    for (const { token } of [thief, spent])
      expect(await reasonOf(() => findRefreshToken(opened.read, token, by()))).toBe('VAULT_CORRUPT')
  })

  it('leave no trace of themselves in the file', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    const { token } = await signIn(vault)
    const rows = vault.read.all<Record<string, unknown>>('SELECT * FROM refresh_tokens')
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))).not.toContain(token.slice(4))
  })

  it('end with a session whose row was altered in the file', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    const { session, token } = await signIn(vault)
    await vault.commit((tx) => endSession(tx, session, 'SIGNED_OUT'))
    await vault.close()
    tamper(place.path, (db) => db.prepare(`UPDATE user_sessions SET state = 'ACTIVE'`).run())
    const opened = await openVaultAt(place)
    expect(await reasonOf(() => findRefreshToken(opened.read, token, by()))).toBe('VAULT_CORRUPT')
  })

  it('are forgotten when they are over, sessions with them', async () => {
    const vault = await makeVault()
    const { session, token } = await signIn(vault)
    await rotate(vault, session, token, by(NOW + DAY))
    const prune = (nowMs: number) => vault.commit((tx) => pruneSessions(tx, nowMs, 100))
    expect(await prune(NOW + WEEK - 1)).toBe(0)
    expect(await prune(NOW + WEEK)).toBe(1)
    expect(getSession(vault.read, session.sessionId)).toBeDefined()
    expect(await prune(NOW + WEEK + DAY)).toBe(1)
    expect(getSession(vault.read, session.sessionId)).toBeUndefined()
  })

  it('are of the newest 32 sessions of a user', async () => {
    const vault = await makeVault()
    const sessions: UserSession[] = []
    for (let number = 0; number < 34; number++) sessions.push((await signIn(vault, NOW + number)).session)
    const states = sessions.map(({ sessionId }) => getSession(vault.read, sessionId)?.state)
    expect(states.filter((state) => state === 'EVICTED')).toHaveLength(2)
    expect(states.slice(0, 3)).toEqual(['EVICTED', 'EVICTED', 'ACTIVE'])
  })
})

describe('e-mailed codes', () => {
  const address = { project: DEFAULT_PROJECT, email: 'a@x.example', nowMs: NOW }
  const attempt = (vault: DaemonVault, flowId: string, code: string, changes: { nowMs?: number; project?: ProjectId } = {}) =>
    vault.commit((tx) => tryEmailCode(tx, { project: DEFAULT_PROJECT, nowMs: NOW, ...changes, flowId, code }))
  const start = (vault: DaemonVault, nowMs = NOW) => vault.commit((tx) => startEmailFlow(tx, { ...address, nowMs }))
  const wrongFor = (code: string): string => (code === '00000000' ? '00000001' : '00000000')

  it('are right once', async () => {
    const vault = await makeVault()
    const { flowId, code } = await start(vault)
    expect(code.reveal()).toMatch(/^\d{8}$/)
    expect(await attempt(vault, flowId, wrongFor(code.reveal()))).toEqual({ kind: 'wrong', email: 'a@x.example' })
    expect(await attempt(vault, flowId, code.reveal())).toEqual({ kind: 'right', email: 'a@x.example' })
    expect(await attempt(vault, flowId, code.reveal())).toEqual({ kind: 'wrong', email: 'a@x.example' })
  })

  it('are wrong when over, of another project or of another flow', async () => {
    const vault = await makeVault()
    const [one, two] = [await start(vault), await start(vault)]
    expect(await attempt(vault, one.flowId, one.code.reveal(), { nowMs: NOW + 600_000 })).toMatchObject({ kind: 'wrong' })
    expect(await attempt(vault, one.flowId, one.code.reveal(), { project: OTHER })).toEqual({ kind: 'wrong', email: undefined })
    expect(await attempt(vault, two.flowId, one.code.reveal())).toMatchObject({ kind: 'wrong' })
    expect(await attempt(vault, 'flow_unknown', one.code.reveal())).toEqual({ kind: 'wrong', email: undefined })
    expect(await attempt(vault, one.flowId, one.code.reveal())).toMatchObject({ kind: 'right' })
  })

  it('are the address owner\'s, whatever the file says', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    const { flowId, code } = await start(vault)
    await vault.close()
    tamper(place.path, (db) => db.prepare('UPDATE email_codes SET email = ?').run('victim@x.example'))
    const opened = await openVaultAt(place)
    expect(await attempt(opened, flowId, code.reveal())).toMatchObject({ kind: 'wrong' })
  })

  it('may be guessed five times, also all at once', async () => {
    const vault = await makeVault()
    const { flowId, code } = await start(vault)
    await Promise.all(Array.from({ length: 5 }, () => attempt(vault, flowId, wrongFor(code.reveal()))))
    expect(await attempt(vault, flowId, code.reveal())).toMatchObject({ kind: 'wrong' })
  })

  it('go to one address twenty times in a quarter of an hour and a hundred times a day', async () => {
    const vault = await makeVault()
    const wait = (nowMs: number, email = address.email) => emailFlowWaitMs(vault.read, { ...address, email, nowMs })
    for (let number = 0; number < 20; number++) {
      expect(wait(NOW + number)).toBeUndefined()
      await start(vault, NOW + number)
    }
    expect(wait(NOW + 20)).toBe(900_000 - 20)
    expect(wait(NOW + 20, 'b@x.example')).toBeUndefined()
    for (let number = 20; number < 100; number++) await start(vault, NOW + number)
    expect(wait(NOW + 3_600_000)).toBe(DAY - 3_600_000)
    expect(wait(NOW + DAY + 1)).toBeUndefined()
    expect(await vault.commit((tx) => pruneFlows(tx, NOW + DAY + 100, 7))).toBe(7)
  })
})

describe('visits at a provider', () => {
  it('are finished once, in time, in their project', async () => {
    const vault = await makeVault()
    await vault.commit((tx) => insertProject(tx, { projectId: OTHER, name: '', nowMs: NOW }))
    const flow = { project: DEFAULT_PROJECT, provider: 'google', redirectUri: 'https://a.example/back' }
    const begin = () =>
      vault.commit((tx) => {
        const flowId = newOidcFlowId()
        startOidcFlow(tx, flowId, flow, NOW)
        return flowId
      })
    const take = (flowId: string, project = DEFAULT_PROJECT, nowMs = NOW) =>
      vault.commit((tx) => takeOidcFlow(tx, flowId, project, nowMs))
    const flowId = await begin()
    expect(await take(flowId, OTHER)).toBeUndefined()
    expect(await take(flowId)).toEqual(flow)
    expect(await take(flowId)).toBeUndefined()
    expect(await take(await begin(), DEFAULT_PROJECT, NOW + 600_000)).toBeUndefined()
    const secrets = oidcSecrets(vault.read, flowId)
    expect(new Set([...Object.values(secrets), ...Object.values(oidcSecrets(vault.read, await begin()))]).size).toBe(6)
    expect(secrets.codeVerifier).toMatch(/^[A-Za-z0-9_-]{43}$/)
  })
})

describe('keys of access tokens', () => {
  it('sign for a month; the next is there an hour before, the last an hour after', async () => {
    const vault = await makeVault()
    const current = (nowMs: number) => vault.commit((tx) => currentTokenKey(tx, vault.secrets, nowMs))
    const first = await current(NOW)
    expect(await current(NOW + 30 * DAY - 3_600_001)).toEqual(first)
    expect(listTokenKeys(vault.read, NOW)).toHaveLength(1)
    expect(await current(NOW + 30 * DAY - 3_600_000)).toEqual(first)
    const [, second] = listTokenKeys(vault.read, NOW + 30 * DAY - 3_600_000)
    expect(second?.signFromMs).toBe(NOW + 30 * DAY)
    expect(await current(NOW + 30 * DAY)).toEqual(second)
    expect(findTokenKey(vault.read, first.keyId, NOW + 30 * DAY + 3_599_999)).toEqual(first)
    expect(findTokenKey(vault.read, first.keyId, NOW + 30 * DAY + 3_600_000)).toBeUndefined()
    await current(NOW + 60 * DAY - 1)
    expect(vault.read.all('SELECT key_id FROM token_keys')).toHaveLength(2)
    expect(await reasonOf(() => openTokenKey(vault.secrets, first.keyId))).toBe('VAULT_CORRUPT')
  })

  it('outlive a new root key, and are sealed under it', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    const key = await vault.commit((tx) => currentTokenKey(tx, vault.secrets, NOW))
    const before = openTokenKey(vault.secrets, key.keyId).export({ format: 'jwk' })
    const read = () => vault.read.one<{ wrapped_key: Buffer }>(`SELECT wrapped_key FROM vault_secrets WHERE name LIKE 'kept:token-key:%'`)
    const sealed = read()?.wrapped_key
    const event = { timeMs: NOW, kind: 'vault.key_rotated', actor: { kind: 'operator', id: '' } } as const
    const rotating = vault.rotateRoot({ provider: place.provider, renewsProvider: true, event })
    // Whatever is committed while the root changes is sealed under a key that opens it afterwards.
    const meanwhile = Array.from({ length: 50 }, (_, number) =>
      vault.commit((tx) => vault.secrets.write(tx, `s${number}`, Buffer.from([number]))),
    )
    await rotating
    await Promise.all(meanwhile)
    expect(read()?.wrapped_key).not.toEqual(sealed)
    await vault.close()
    const opened = await openVaultAt(place)
    expect(openTokenKey(opened.secrets, key.keyId).export({ format: 'jwk' })).toEqual(before)
    for (let number = 0; number < 50; number++) expect(opened.secrets.read(`s${number}`)).toEqual(Buffer.from([number]))
  })
})

describe('settings of a project', () => {
  const settings = { jwt: { issuer: 'https://a.example' } }

  it('are under a MAC and in the state index', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    await vault.commit((tx) => updateProject(tx, DEFAULT_PROJECT, { settings }, { nowMs: NOW }))
    verifyStateIndex(vault.read)
    const old = vault.read.one<{ settings: string; revision: bigint }>('SELECT settings, revision FROM projects')
    const oldMac = vault.read.one<{ mac: Buffer }>('SELECT mac FROM project_macs')
    await vault.commit((tx) => updateProject(tx, DEFAULT_PROJECT, { settings: {} }, { nowMs: NOW }))
    await vault.close()
    tamper(place.path, (db) => {
      db.prepare('UPDATE projects SET settings = ?, revision = ?').run(old?.settings, old?.revision)
      db.prepare('UPDATE project_macs SET mac = ?').run(oldMac?.mac)
    })
    expect(await reasonOf(() => openVaultAt(place))).toBe('VAULT_CORRUPT')
  })

  it('cannot be written into the file, of a project that had none either', async () => {
    const place = makePlace()
    const vault = await makeVault(place)
    await vault.close()
    tamper(place.path, (db) => db.prepare('UPDATE projects SET settings = ?').run(JSON.stringify(settings)))
    const opened = await openVaultAt(place)
    expect(await reasonOf(() => getProject(opened.read, DEFAULT_PROJECT))).toBe('VAULT_CORRUPT')
  })
})

it('nobody is signed in after a restore', async () => {
  const vault = await makeVault()
  const { session, token } = await signIn(vault)
  const { flowId } = await vault.commit((tx) => startEmailFlow(tx, { project: DEFAULT_PROJECT, email: 'a@x.example', nowMs: NOW }))
  const head = vault.read.one<{ sequence: bigint; hash: Buffer }>('SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1')
  const manifest = {
    vaultIdHex: Buffer.from(vault.vaultId).toString('hex'),
    epoch: 1,
    setIdHex: '00'.repeat(16),
    createMs: NOW,
    auditSequence: head?.sequence ?? 0n,
    auditHashHex: head?.hash.toString('hex') ?? '',
  } as Parameters<typeof sealRestored>[1]['manifest']
  await vault.commit((tx) => sealRestored(tx, { manifest, restoreIdHex: '00'.repeat(16), nowMs: NOW }))
  expect(getSession(vault.read, session.sessionId)).toBeUndefined()
  expect(findRefreshToken(vault.read, token, by())).toEqual({ kind: 'unknown' })
  expect(vault.read.one('SELECT 1 FROM email_codes WHERE flow_id = ?', flowId)).toBeUndefined()
  expect(getEndUser(vault.read, DEFAULT_PROJECT, ALICE)).toBeDefined()
})
