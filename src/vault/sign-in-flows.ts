import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { ProjectId } from '../domain/ids.ts'
import { Secret } from '../domain/secret.ts'
import type { Reader, Tx } from './store.ts'
import { macTagged } from './tagged-encoding.ts'

/**
 * Sign-ins that are under way: e-mailed codes and visits at an OpenID provider. Each is finished once. Codes, and the
 * secret that a visit is known again by, are kept as MACs under a key of the vault.
 */
export const EMAIL_CODE_LIFE_MS = 600_000
const CODE_DIGITS = 8
/** Wrong codes that a flow takes. */
const ATTEMPTS = 5
/** Flows to one address of one project, whoever asks for them, within a quarter of an hour and a day. */
const FLOWS_PER_QUARTER_HOUR = 20
const FLOWS_PER_DAY = 100
const QUARTER_HOUR_MS = 900_000
const DAY_MS = 86_400_000

export type EmailAddressee = { readonly project: ProjectId; readonly email: string; readonly nowMs: number }

/** How long until another code may be sent to the address; undefined: now. */
export const emailFlowWaitMs = (reader: Reader, { project, email, nowMs }: EmailAddressee): number | undefined => {
  const times = reader
    .all<{ create_ms: bigint }>(
      'SELECT create_ms FROM email_codes WHERE project = ? AND email = ? AND create_ms > ? ORDER BY create_ms DESC LIMIT ?',
      project, email, nowMs - DAY_MS, FLOWS_PER_DAY,
    )
    .map((row) => Number(row.create_ms))
  const waits = [
    (times[FLOWS_PER_QUARTER_HOUR - 1] ?? -Infinity) + QUARTER_HOUR_MS - nowMs,
    (times[FLOWS_PER_DAY - 1] ?? -Infinity) + DAY_MS - nowMs,
  ]
  const wait = Math.max(...waits)
  return wait > 0 ? wait : undefined
}

type CodeRow = { project: string; email: string; code_mac: Buffer; attempts: bigint; state: string; expire_ms: bigint }

/** Of the code and of whose it is: with another address in its row a code is wrong. */
const codeMac = (reader: Reader, flowId: string, { project, email }: Pick<CodeRow, 'project' | 'email'>, code: string): Buffer =>
  macTagged(reader.keys.apiKeyPepper, 'countersign/email-code/v1', [flowId, project, email, code])

export type EmailFlow = { readonly flowId: string; readonly code: Secret<string>; readonly expireMs: number }

export const startEmailFlow = (tx: Tx, { project, email, nowMs }: EmailAddressee): EmailFlow => {
  const flowId = `flow_${randomBytes(16).toString('hex')}`
  const code = String(randomInt(10 ** CODE_DIGITS)).padStart(CODE_DIGITS, '0')
  const expireMs = nowMs + EMAIL_CODE_LIFE_MS
  tx.run(
    `INSERT INTO email_codes (flow_id, project, email, code_mac, attempts, state, create_ms, expire_ms)
     VALUES (?, ?, ?, ?, 0, 'OPEN', ?, ?)`,
    flowId, project, email, codeMac(tx, flowId, { project, email }, code), nowMs, expireMs,
  )
  return { flowId, code: new Secret(code), expireMs }
}

const NO_MAC = Buffer.alloc(32)

export type EmailVerdict =
  | { readonly kind: 'right'; readonly email: string }
  /** `email`: whose flow it is, where it is one of the project. */
  | { readonly kind: 'wrong'; readonly email: string | undefined }

/** Takes one attempt. Codes are compared in constant time; a flow that is unknown, over, used or spent is compared all the same. */
export const tryEmailCode = (
  tx: Tx,
  { project, flowId, code, nowMs }: { readonly project: ProjectId; readonly flowId: string; readonly code: string; readonly nowMs: number },
): EmailVerdict => {
  const row = tx.one<CodeRow>('SELECT * FROM email_codes WHERE flow_id = ?', flowId)
  const isRight = timingSafeEqual(codeMac(tx, flowId, row ?? { project, email: '' }, code), row?.code_mac ?? NO_MAC)
  if (row === undefined || row.project !== project) return { kind: 'wrong', email: undefined }
  if (row.state !== 'OPEN' || nowMs >= Number(row.expire_ms)) return { kind: 'wrong', email: row.email }
  const attempts = Number(row.attempts) + 1
  const state = isRight ? 'USED' : attempts >= ATTEMPTS ? 'SPENT' : 'OPEN'
  tx.run('UPDATE email_codes SET attempts = ?, state = ? WHERE flow_id = ?', attempts, state, flowId)
  return { kind: isRight ? 'right' : 'wrong', email: row.email }
}

const OIDC_FLOW_LIFE_MS = 600_000

/** What a visit is known again by. All come of the flow's id, which only who began it has, and a key of the vault. */
export type OidcSecrets = { readonly state: string; readonly nonce: string; readonly codeVerifier: string }

const derived = (reader: Reader, what: string, flowId: string): string =>
  macTagged(reader.keys.apiKeyPepper, `countersign/oidc-${what}/v1`, [flowId]).toString('base64url')

export const oidcSecrets = (reader: Reader, flowId: string): OidcSecrets => ({
  state: derived(reader, 'state', flowId),
  nonce: derived(reader, 'nonce', flowId),
  codeVerifier: derived(reader, 'verifier', flowId),
})

const flowMac = (reader: Reader, flowId: string): Buffer =>
  macTagged(reader.keys.apiKeyPepper, 'countersign/oidc-flow/v1', [flowId])

export const newOidcFlowId = (): string => `oidc_${randomBytes(32).toString('base64url')}`

export type OidcFlow = { readonly project: ProjectId; readonly provider: string; readonly redirectUri: string }

export const startOidcFlow = (tx: Tx, flowId: string, flow: OidcFlow, nowMs: number): { readonly expireMs: number } => {
  const expireMs = nowMs + OIDC_FLOW_LIFE_MS
  tx.run(
    'INSERT INTO oidc_flows (flow_mac, project, provider, redirect_uri, expire_ms) VALUES (?, ?, ?, ?, ?)',
    flowMac(tx, flowId), flow.project, flow.provider, flow.redirectUri, expireMs,
  )
  return { expireMs }
}

/** Takes the flow out, for good; undefined when there is none, or it is over, or another project's. */
export const takeOidcFlow = (tx: Tx, flowId: string, project: ProjectId, nowMs: number): OidcFlow | undefined => {
  const mac = flowMac(tx, flowId)
  const row = tx.one<{ project: string; provider: string; redirect_uri: string; expire_ms: bigint }>(
    'SELECT project, provider, redirect_uri, expire_ms FROM oidc_flows WHERE flow_mac = ?',
    mac,
  )
  if (row === undefined || row.project !== project) return undefined
  tx.run('DELETE FROM oidc_flows WHERE flow_mac = ?', mac)
  return nowMs >= Number(row.expire_ms) ? undefined : { project, provider: row.provider, redirectUri: row.redirect_uri }
}

/** Forgets flows that nobody can finish any more, at most `limit` of each kind; answers how many there were of the more. */
export const pruneFlows = (tx: Tx, nowMs: number, limit: number): number => {
  // A day: as long as they are counted.
  const codes = tx.run(
    'DELETE FROM email_codes WHERE flow_id IN (SELECT flow_id FROM email_codes WHERE create_ms <= ? LIMIT ?)',
    nowMs - DAY_MS, limit,
  )
  const visits = tx.run(
    'DELETE FROM oidc_flows WHERE flow_mac IN (SELECT flow_mac FROM oidc_flows WHERE expire_ms <= ? LIMIT ?)',
    nowMs, limit,
  )
  return Math.max(codes, visits)
}
