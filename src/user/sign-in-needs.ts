import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { parseProjectId, type ProjectId } from '../domain/ids.ts'
import { type ProjectSettings, readSettings } from '../domain/project-settings.ts'
import type { SendMail } from '../egress/mail.ts'
import type { RateLimiter } from '../signing/rate-limiter.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { getProject } from '../vault/projects.ts'
import type { AccessTokens } from './access-tokens.ts'
import type { KeySets } from './key-sets.ts'
import type { OidcServers } from './oidc-servers.ts'
import type { OnOutage } from './outage.ts'
import type { RateWindows } from './rate-windows.ts'

export type SignInNeeds = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly tokens: AccessTokens
  readonly keySets: KeySets
  readonly oidcServers: OidcServers
  /** Undefined where the daemon was not told how. */
  readonly sendMail: SendMail | undefined
  readonly onOutage: OnOutage
  readonly rates: RateLimiter
  readonly windows: RateWindows
}

/** What a call that anybody may make says of itself. */
export type Visitor = {
  /** The project, as the request names it. */
  readonly projectId: string
  /** Of the page that a browser calls for; undefined when no browser does. */
  readonly origin: string | undefined
  readonly peerAddress: string | undefined
}

export type VisitedProject = { readonly projectId: ProjectId; readonly name: string; readonly settings: ProjectSettings }

/** Sign-ins a second that one project is good for, however many ask. */
const PER_PROJECT = 200

/**
 * The project that is visited, once it is clear that the visitor may and that there is room. Refuses: PROJECT_NOT_FOUND,
 * ORIGIN_NOT_ALLOWED, RATE_LIMITED.
 */
export const visitProject = ({ vault, rates }: SignInNeeds, { projectId: text, origin }: Visitor): VisitedProject => {
  const projectId = parseProjectId(text)
  const project = projectId === undefined ? undefined : getProject(vault.read, projectId)
  if (project === undefined || project.state !== 'ACTIVE') throw failure('PROJECT_NOT_FOUND', {})
  const settings = readSettings(project.settings)
  if (origin !== undefined && !settings.allowedOrigins.includes(origin)) throw failure('ORIGIN_NOT_ALLOWED', {})
  rates.take(`sign-in ${project.projectId}`, PER_PROJECT)
  return { projectId: project.projectId, name: project.name, settings }
}
