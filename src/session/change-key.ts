/** What becomes of a session key after it was made: confirmed, refused, revoked, given credentials. */
import { hash } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { requireSessionKey, type SessionKey, updateSessionKey } from '../vault/session-keys.ts'
import { deleteSessionSecrets, nextSecretVersion, putSessionSecret } from '../vault/session-secrets.ts'
import type { Tx } from '../vault/store.ts'
import { sessionEvent } from './action-rows.ts'
import { findKey } from './find-key.ts'
import { standingOf } from './key-standing.ts'
import type { SessionNeeds } from './needs.ts'
import { type SessionKeyView, viewSessionKey } from './session-key-view.ts'
import { tellOfRevokedKey } from './tell-keys.ts'
import { fromStoredTerms } from './terms.ts'

const view = (needs: SessionNeeds, key: SessionKey): SessionKeyView =>
  viewSessionKey(needs.vault.read, key, needs.clock.nowMs())

/** Makes a key ACTIVE; the one that it takes over from ends when their overlap is over. */
export const activate = (tx: Tx, call: Call, key: SessionKey, nowMs: number): SessionKey => {
  const { replaces } = key
  if (replaces !== undefined) {
    const old = requireSessionKey(tx, replaces, key.project)
    const retireMs = nowMs + (fromStoredTerms(key.terms).overlapMs ?? 0)
    if (old.state !== 'REVOKED' && old.retireMs === undefined) {
      updateSessionKey(tx, replaces, { retireMs }, nowMs)
      const details = { replacedBy: key.sessionKeyId, retireTime: retireMs }
      appendAudit(tx, sessionEvent(call, old, { timeMs: nowMs, kind: 'session.replaced', details }))
    }
  }
  return updateSessionKey(tx, key.sessionKeyId, { state: 'ACTIVE' }, nowMs)
}

/** Refuses with SESSION_KEY_NOT_READY a key that waits for no confirmation. */
export const confirmSessionKey = async (
  needs: SessionNeeds,
  call: Call,
  args: { readonly sessionKeyId: string; readonly accepted: boolean; readonly venueAnswer: string },
): Promise<SessionKeyView> => {
  const { sessionKeyId } = findKey(needs, call, args.sessionKeyId, ['session:create'])
  const answerHash = hash('sha256', args.venueAnswer, 'hex')
  const done = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const key = requireSessionKey(tx, sessionKeyId)
    const standing = standingOf(key, needs.clockWatch.laterMs())
    // Said again, after the answer was lost.
    if (call.isRepeat && key.state === (args.accepted ? 'ACTIVE' : 'REVOKED')) return key
    if (standing !== 'pending') throw failure('SESSION_KEY_NOT_READY', { sessionKeyId, state: standing })
    const kind = args.accepted ? 'session.confirmed' : 'session.refused'
    appendAudit(tx, sessionEvent(call, key, { timeMs: nowMs, kind, details: { answerHash } }))
    if (args.accepted) return activate(tx, call, key, nowMs)
    tellOfRevokedKey(tx, key, nowMs)
    deleteSessionSecrets(tx, sessionKeyId)
    return updateSessionKey(tx, sessionKeyId, { state: 'REVOKED' }, nowMs)
  })
  if (!args.accepted) needs.vault.eraseDeleted()
  return view(needs, done)
}

/**
 * Revokes for good. The fence is raised first, so what is in flight is not released; the row and the erasure of the
 * private half are durable before the answer.
 */
export const revokeSessionKey = async (
  needs: SessionNeeds,
  call: Call,
  args: { readonly sessionKeyId: string },
): Promise<SessionKeyView> => {
  const { sessionKeyId } = findKey(needs, call, args.sessionKeyId, ['session:admin'])
  const { vault, fences, clock } = needs
  const revoked = await fences.during({ scope: 'session_key', id: sessionKeyId }, () =>
    vault.commitFirst((tx) => {
      const nowMs = Math.trunc(clock.nowMs())
      const key = requireSessionKey(tx, sessionKeyId)
      if (key.state === 'REVOKED') return key
      deleteSessionSecrets(tx, sessionKeyId)
      appendAudit(tx, sessionEvent(call, key, { timeMs: nowMs, kind: 'session.revoked' }))
      tellOfRevokedKey(tx, key, nowMs)
      return updateSessionKey(tx, sessionKeyId, { state: 'REVOKED' }, nowMs)
    }),
  )
  vault.eraseDeleted()
  return view(needs, revoked)
}

/** Refuses with PROFILE_INPUT_INVALID a name that the profile does not know, and text that is not of its form. */
export const putVenueCredential = async (
  needs: SessionNeeds,
  call: Call,
  args: { readonly sessionKeyId: string; readonly name: string; readonly secret: Uint8Array },
): Promise<SessionKeyView> => {
  const { sessionKeyId, state, profile: id } = findKey(needs, call, args.sessionKeyId, ['session:create'])
  if (state === 'REVOKED') throw failure('SESSION_REVOKED', { sessionKeyId })
  const { profile, checkCredential } = needs.profiles().get(id)
  const { name } = args
  if (profile.credentials === undefined || !Object.hasOwn(profile.credentials, name)) {
    throw failure('PROFILE_INPUT_INVALID', { path: name, why: 'the profile has no such credential' })
  }
  const isMac = profile.hmacSecret?.credential === name
  // What is signed with stays bytes; the others stand in headers and bodies, where a line feed would begin another one.
  if (!isMac) checkCredential(name, Buffer.from(args.secret).toString('utf8'))
  const recordVersion = nextSecretVersion(needs.vault.read, sessionKeyId, name)
  const place = { sessionKeyId, name, kind: isMac ? 'hmac' : 'text', recordVersion } as const
  const encoding = isMac ? (profile.hmacSecret?.encoding ?? 'utf8') : 'utf8'
  const sealed = await needs.sessionSigner.seal(place, args.secret, encoding)
  if (sealed === undefined) throw failure('PROFILE_INPUT_INVALID', { path: name, why: `is not ${encoding}` })
  const key = await needs.vault.commit((tx) => {
    const current = requireSessionKey(tx, sessionKeyId)
    if (current.state === 'REVOKED') throw failure('SESSION_REVOKED', { sessionKeyId })
    if (nextSecretVersion(tx, sessionKeyId, name) !== recordVersion) throw failure('ETAG_MISMATCH', { resource: name })
    const nowMs = Math.trunc(needs.clock.nowMs())
    putSessionSecret(tx, sealed, nowMs)
    appendAudit(tx, sessionEvent(call, current, { timeMs: nowMs, kind: 'session.credential_stored', details: { name } }))
    return current
  })
  return view(needs, key)
}
