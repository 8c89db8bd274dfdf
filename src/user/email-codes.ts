/** Sign-in with a code by e-mail: who can read the code has the address. */
import { failure, invalidField } from '../domain/failure.ts'
import { networkOf } from '../domain/network-address.ts'
import { EgressError } from '../egress/egress-error.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { EMAIL_CODE_LIFE_MS, emailFlowWaitMs, type EmailFlow, startEmailFlow, tryEmailCode } from '../vault/sign-in-flows.ts'
import { answerSession, beginSession, type SignedIn } from './begin-session.ts'
import { type SignInNeeds, type Visitor, visitProject, type VisitedProject } from './sign-in-needs.ts'

const MINUTE_MS = 60_000
/** Each is an e-mail to somebody who may not have asked for one. */
const PER_PROJECT_AND_MINUTE = 300
const PER_PEER_AND_MINUTE = 30
const TRIES_PER_PEER_AND_MINUTE = 60
/** To one address, from one peer: so that one who asks in another's name does not use up what the other may ask. */
const PER_ADDRESS = [
  { name: 'emails_per_address', most: 5, windowMs: 15 * MINUTE_MS },
  { name: 'emails_per_address_and_day', most: 20, windowMs: 1_440 * MINUTE_MS },
] as const

/** ASCII only: what looks like another letter is none. Longer local parts and quoted ones are nobody's. */
const EMAIL = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$/
const MAX_EMAIL_CHARACTERS = 254

/** One address in one form: in lower case, because no mail server of today tells letter cases apart. */
const parseEmail = (text: string): string => {
  const isLocalPlain = !/^\.|\.\.|\.@/.test(text)
  if (text.length > MAX_EMAIL_CHARACTERS || !EMAIL.test(text) || !isLocalPlain)
    throw invalidField('email', 'is not an e-mail address')
  return text.toLowerCase()
}

/** Begins nothing without a place in every limit, so that one who has none left learns nothing of the others. */
const takeRoom = ({ windows }: SignInNeeds, { projectId }: VisitedProject, peerAddress: string | undefined, email: string): void => {
  const peer = networkOf(peerAddress)
  windows.take(`emails_per_peer ${peer}`, PER_PEER_AND_MINUTE, MINUTE_MS)
  for (const { name, most, windowMs } of PER_ADDRESS) windows.take(`${name} ${peer} ${projectId} ${email}`, most, windowMs)
  windows.take(`emails_per_project ${projectId}`, PER_PROJECT_AND_MINUTE, MINUTE_MS)
}

const textOf = (sender: string, code: string): string =>
  `${code} is your sign-in code for ${sender}.\n\n` +
  `It is good for ${EMAIL_CODE_LIFE_MS / MINUTE_MS} minutes. Nobody of ${sender} will ask you for it. ` +
  'If you did not ask to sign in, somebody may have mistyped their address; you need do nothing.\n'

/** Whether the address takes mail is not told: the answer is the same. Refuses with EMAIL_UNAVAILABLE. */
const deliver = async (needs: SignInNeeds, sender: string, email: string, { code }: EmailFlow, signal: AbortSignal): Promise<void> => {
  try {
    await needs.sendMail?.({ senderName: sender, to: email, subject: `Sign in to ${sender}`, text: textOf(sender, code.reveal()), signal })
  } catch (error) {
    if (!(error instanceof EgressError)) throw error
    needs.onOutage('email', error.fault)
    throw failure('EMAIL_UNAVAILABLE', {})
  }
}

/**
 * Sends a code; answers what it is to be shown with. Refuses: SIGN_IN_NOT_ENABLED, EMAIL_UNAVAILABLE, RATE_LIMITED (for
 * the project, the peer or the address), INVALID_REQUEST, and as `visitProject`. Says nothing of whether somebody
 * signed in with the address before.
 */
export const startEmailCode = async (
  needs: SignInNeeds,
  visitor: Visitor,
  args: { readonly email: string; readonly signal: AbortSignal },
): Promise<{ readonly flowId: string; readonly expireMs: number }> => {
  const visited = visitProject(needs, visitor)
  const { projectId: project, settings, name } = visited
  if (settings.emailSignIn === undefined) throw failure('SIGN_IN_NOT_ENABLED', { method: 'email' })
  if (needs.sendMail === undefined) throw failure('EMAIL_UNAVAILABLE', {})
  const email = parseEmail(args.email)
  takeRoom(needs, visited, visitor.peerAddress, email)
  const flow = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const waitMs = emailFlowWaitMs(tx, { project, email, nowMs })
    if (waitMs !== undefined) throw failure('RATE_LIMITED', { limit: 'emails_per_address', retryAfterMs: waitMs })
    const started = startEmailFlow(tx, { project, email, nowMs })
    // Without the address: the chain is kept for ever.
    const subject = { type: 'email_code', id: started.flowId }
    appendAudit(tx, { timeMs: nowMs, kind: 'user.email_code_sent', project, actor: { kind: 'daemon', id: '' }, subject, method: 'StartEmailCode' })
    return started
  })
  const sender = [settings.emailSignIn.senderName, name, project].find((one) => one !== '') ?? project
  await deliver(needs, sender, email, flow, args.signal)
  return { flowId: flow.flowId, expireMs: flow.expireMs }
}

/** Refuses: EMAIL_CODE_INVALID, whatever is wrong with the code or the flow; SIGN_IN_NOT_ENABLED; and as `visitProject`. */
export const verifyEmailCode = async (
  needs: SignInNeeds,
  visitor: Visitor,
  { flowId, code }: { readonly flowId: string; readonly code: string },
): Promise<SignedIn> => {
  const { projectId: project, settings } = visitProject(needs, visitor)
  if (settings.emailSignIn === undefined) throw failure('SIGN_IN_NOT_ENABLED', { method: 'email' })
  needs.windows.take(`codes_per_peer ${networkOf(visitor.peerAddress)}`, TRIES_PER_PEER_AND_MINUTE, MINUTE_MS)
  const begun = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const verdict = tryEmailCode(tx, { project, flowId, code, nowMs })
    if (verdict.kind === 'right')
      return beginSession(needs, tx, { project, method: 'email', subject: verdict.email, rpc: 'VerifyEmailCode' }, nowMs)
    // The attempt counts: it is committed, and refused after.
    if (verdict.email !== undefined) {
      const event = { timeMs: nowMs, kind: 'user.email_code_refused', project, method: 'VerifyEmailCode', decision: 'refuse' } as const
      const subject = { type: 'email_code', id: flowId }
      appendAudit(tx, { ...event, actor: { kind: 'daemon', id: '' }, subject, reason: 'EMAIL_CODE_INVALID' })
    }
    return undefined
  })
  if (begun === undefined) throw failure('EMAIL_CODE_INVALID', {})
  return answerSession(needs, begun)
}
