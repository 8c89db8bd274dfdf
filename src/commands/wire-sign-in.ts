/** Signing in, over one vault and the ways out that the configuration allows. */
import type { Config, Secrets } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import { readSettings } from '../domain/project-settings.ts'
import type { SendHttp } from '../egress/http.ts'
import { createMailEgress, type SendMail } from '../egress/mail.ts'
import { logSignInOutage } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { PacedWarning } from '../observe/paced-warning.ts'
import type { WebSettings } from '../rpc/cross-origin.ts'
import { RateLimiter } from '../signing/rate-limiter.ts'
import { type AccessTokens, createAccessTokens } from '../user/access-tokens.ts'
import { KeySets } from '../user/key-sets.ts'
import { OidcServers } from '../user/oidc-servers.ts'
import type { OnOutage } from '../user/outage.ts'
import { RateWindows } from '../user/rate-windows.ts'
import type { SignInNeeds } from '../user/sign-in-needs.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { listProjects, type Project } from '../vault/projects.ts'
import type { Reader } from '../vault/store.ts'
import { readAuthorities } from './wire-egress.ts'

const wireMail = (config: Config, { smtpPassword }: Secrets): SendMail | undefined => {
  const { mail, egress } = config
  if (mail === undefined) return undefined
  const { server, security, username, from } = mail
  const password = smtpPassword === undefined ? undefined : () => new TextDecoder().decode(smtpPassword.reveal())
  return createMailEgress({
    server: { ...server, security, username, password, from },
    allow: egress.allow,
    extraAuthorities: readAuthorities(config),
  })
}

export type SignInWiring = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly send: SendHttp
  readonly config: Config
  readonly secrets: Secrets
  readonly log: Logger
}

const OUTAGE_WARNING_MS = 10_000

/** A line in ten seconds of each: what does not answer is asked again and again. */
const outageReporter = (log: Logger): OnOutage => {
  const paced = { key_set: new PacedWarning(OUTAGE_WARNING_MS), oidc_provider: new PacedWarning(OUTAGE_WARNING_MS), email: new PacedWarning(OUTAGE_WARNING_MS) }
  return (what, why) => {
    const keptBack = paced[what].admit(performance.now())
    if (keptBack !== undefined) logSignInOutage(log, { what, why, keptBack })
  }
}

export const wireSignIn = ({ vault, clock, send, config, secrets, log }: SignInWiring): SignInNeeds => {
  const onOutage = outageReporter(log)
  const monotonicMs = (): number => Number(clock.monotonicNs() / 1_000n) / 1_000
  return {
    vault,
    clock,
    tokens: createAccessTokens(vault),
    keySets: new KeySets(send, clock, onOutage),
    oidcServers: new OidcServers(send, clock, onOutage),
    sendMail: wireMail(config, secrets),
    onOutage,
    rates: new RateLimiter(monotonicMs),
    windows: new RateWindows(monotonicMs),
  }
}

const PAGE = 500

const everyProject = function* (reader: Reader): Generator<Project> {
  for (let page = listProjects(reader, undefined, PAGE); page.length > 0; ) {
    yield* page
    page = page.length < PAGE ? [] : listProjects(reader, page.at(-1)?.projectId, PAGE)
  }
}

/** Origins of all projects, read again when a project has changed. */
export const wireWeb = (vault: DaemonVault, tokens: AccessTokens, clock: Clock): WebSettings => {
  let known = { writes: -1, origins: new Set<string>() }
  return {
    isAllowedOrigin: (origin) => {
      const writes = vault.read.writesTo('projects')
      if (known.writes !== writes) {
        const origins = [...everyProject(vault.read)].flatMap(({ settings }) => readSettings(settings).allowedOrigins)
        known = { writes, origins: new Set(origins) }
      }
      return known.origins.has(origin)
    },
    keySet: () => tokens.keySet(clock.nowMs()),
  }
}
