/** What the edge asks the vault: who a key is, whether a request was asked before, and to keep a denial. */
import { actorOf } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { isFailure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { readSettings } from '../domain/project-settings.ts'
import { isHeldTo } from '../policy/permissions.ts'
import type { ApiKeyDirectory, ApiKeyProofs, ApiKeyRecord } from '../rpc/authenticate.ts'
import type { IdempotencyStore } from '../rpc/idempotency.ts'
import type { Denial } from '../rpc/pipeline.ts'
import type { GrantCache } from '../signing/grant-cache.ts'
import { requireSessionReleasable } from '../session/release-again.ts'
import { type KeptAnswer, requireReleasable } from '../signing/release-again.ts'
import { parseApiKeySecret } from '../vault/api-key-secret.ts'
import { type ApiKey, authenticateApiKey, getApiKey } from '../vault/api-keys.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { Reader } from '../vault/store.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { proveDeveloper } from '../user/prove-request.ts'
import { getProject } from '../vault/projects.ts'
import { useToken } from '../vault/used-token-ids.ts'
import { abandonRequest, claimRequest, finishRequest, interruptRequest } from '../vault/requests.ts'

/** Which projects ask for a second factor, looked up again only after something was written to them. */
const developerAuthOf = (vault: DaemonVault): ((projectId: ProjectId) => boolean) => {
  const known = new Map<ProjectId, boolean>()
  let writes = -1
  return (projectId) => {
    const now = vault.read.writesTo('projects')
    if (now !== writes) known.clear()
    writes = now
    const found = known.get(projectId)
    if (found !== undefined) return found
    const project = getProject(vault.read, projectId)
    const isRequired = project !== undefined && readSettings(project.settings).developerAuthRequired
    known.set(projectId, isRequired)
    return isRequired
  }
}

export const createKeyProofs = (vault: DaemonVault, grants: GrantCache, clock: Clock): ApiKeyProofs => {
  const needs = { vault, clock }
  return {
    findVerifier: (apiKeyId) => {
      const key = getApiKey(vault.read, apiKeyId)
      return key && grants.policyOf(key).verifier
    },
    useToken: (token) => vault.commit((tx) => useToken(tx, token, clock.nowMs())),
    proveDeveloper: (projectId, proof) => proveDeveloper(needs, projectId, proof),
  }
}

export const createDirectory = (vault: DaemonVault, grants: GrantCache, clock: Clock): ApiKeyDirectory => {
  const records = new WeakMap<object, ReadonlySet<string>>()
  const permissionsOf = (key: ApiKey): ReadonlySet<string> => {
    const list = grants.of(key)
    const known = records.get(list)
    if (known !== undefined) return known
    const names = new Set(list.filter(isHeldTo).map(({ permission }) => permission as string))
    records.set(list, names)
    return names
  }
  const asksForDeveloperAuth = developerAuthOf(vault)
  const record = (key: ApiKey): ApiKeyRecord => ({
    needsDeveloperAuth: grants.policyOf(key).needsDeveloperAuth || asksForDeveloperAuth(key.project),
    apiKeyId: key.keyId,
    projectId: key.project,
    permissions: permissionsOf(key),
    requestsPerSecond: grants.policyOf(key).requestsPerSecond,
    allowedCidrs: key.allowedCidrs,
    expireTimeMs: key.expireMs,
  })
  return {
    findBySecret: (presented) => {
      try {
        return record(authenticateApiKey(vault.read, presented, clock.nowMs()))
      } catch (error) {
        if (!isFailure(error)) throw error
        if (error.reason === 'API_KEY_INVALID') return undefined
        // The secret is right. That the key is over is the edge's to tell, once it knows the caller's network.
        const keyId = error.reason === 'API_KEY_EXPIRED' ? parseApiKeySecret(presented)?.keyId : undefined
        const key = keyId === undefined ? undefined : getApiKey(vault.read, keyId)
        if (key === undefined) throw error
        return record(key)
      }
    },
    findById: (apiKeyId) => {
      const key = getApiKey(vault.read, apiKeyId)
      return key === undefined || key.state !== 'ACTIVE' ? undefined : record(key)
    },
  }
}

export const createIdempotencyStore = (vault: DaemonVault, clock: Clock): IdempotencyStore => {
  const nowMs = (): number => Math.trunc(clock.nowMs())
  const assertReleasable = (reader: Reader, key: KeptAnswer): void => {
    requireReleasable(reader, key, nowMs())
    requireSessionReleasable(reader, key, nowMs())
  }
  return {
    claim: (key, bodyHash) =>
      vault.commit((tx) => {
        const claim = claimRequest(tx, key, bodyHash, nowMs())
        if (claim.kind === 'done') assertReleasable(tx, key)
        return claim
      }),
    finish: (key, response) => vault.commit((tx) => finishRequest(tx, key, response)),
    abandon: (key) => vault.commit((tx) => abandonRequest(tx, key)),
    interrupt: (key) => vault.commit((tx) => interruptRequest(tx, key)),
    assertReleasable: (key) => assertReleasable(vault.read, key),
  }
}

export const denialRecorder =
  (vault: DaemonVault, clock: Clock) =>
  async ({ caller, method, requestId, reason }: Denial): Promise<void> => {
    await vault.commit((tx) =>
      appendAudit(tx, {
        timeMs: Math.trunc(clock.nowMs()),
        kind: 'access.denied',
        project: caller.projectId,
        actor: actorOf(caller),
        method: method.split('/').at(-1),
        requestId,
        decision: 'refuse',
        reason,
      }),
    )
  }
