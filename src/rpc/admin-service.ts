/** countersign.v1.AdminService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { failure, invalidField } from '../domain/failure.ts'
import type { ApiKeyId } from '../domain/ids.ts'
import { parseApiKeyId } from '../domain/ids.ts'
import type {
  ApiKeySchema,
  BackupSchema,
  FreezeRecordSchema,
  ProjectSchema,
  DelegationLinksSchema,
  RestoreStatusSchema,
  StatusSchema,
  UpdateProjectRequest,
} from '../../gen/countersign/v1/admin_pb.ts'
import {
  ApiKeyState,
  ChainState,
  FreezeScope as WireFreezeScope,
  LinkState as WireLinkState,
  ListApiKeysRequestSchema,
  ListProjectsRequestSchema,
  VaultParty as WireVaultParty,
} from '../../gen/countersign/v1/admin_pb.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import { readGrant, toWireGrant } from './permission-grants.ts'
import type { Handlers } from './pipeline.ts'
import { readSettingsChange, toWireSettings } from './project-settings.ts'
import type {
  AdminUseCases,
  ApiKeyView,
  BackupView,
  FreezeScope,
  FreezeTarget,
  FreezeView,
  LinkState,
  ProjectView,
  StatusView,
  VaultParty,
} from './use-cases.ts'
import { delegateKeyHandlers } from './delegate-key-handlers.ts'
import type { DelegateSideUseCases } from './delegate-side-use-cases.ts'
import { webhookHandlers } from './webhook-service.ts'
import type { WebhookUseCases } from './webhook-use-cases.ts'
import { bothWays, fromTimestamp, optionalTimestamp, orAbsent, toTimestamp } from './wire-words.ts'

const freezeScopes = bothWays<FreezeScope, WireFreezeScope>({
  wallet: WireFreezeScope.WALLET,
  api_key: WireFreezeScope.API_KEY,
  project: WireFreezeScope.PROJECT,
  session_key: WireFreezeScope.SESSION_KEY,
  venue_profile: WireFreezeScope.VENUE_PROFILE,
  all: WireFreezeScope.EVERYTHING,
})

const linkStates = bothWays<LinkState, WireLinkState>({
  starting: WireLinkState.STARTING,
  ready: WireLinkState.READY,
  suspended: WireLinkState.SUSPENDED,
  burned: WireLinkState.BURNED,
})

const vaultParties = bothWays<VaultParty, WireVaultParty>({
  daemon: WireVaultParty.DAEMON,
  cosigner: WireVaultParty.COSIGNER,
})

const chainStates = bothWays<StatusView['chains'][number]['state'], ChainState>({
  usable: ChainState.USABLE,
  unavailable: ChainState.UNAVAILABLE,
  not_configured: ChainState.NOT_CONFIGURED,
})

const KEY_STATES = {
  active: ApiKeyState.ACTIVE,
  expired: ApiKeyState.EXPIRED,
  revoked: ApiKeyState.REVOKED,
} as const satisfies { readonly [S in ApiKeyView['state']]: ApiKeyState }

/** What `all` is called where an id is stored. */
const EVERY_ID = '*'

const toWireProject = (project: ProjectView): MessageInitShape<typeof ProjectSchema> => ({
  projectId: project.projectId,
  displayName: project.displayName,
  ...toWireSettings(project.settings),
  createTime: toTimestamp(project.createTimeMs),
  updateTime: toTimestamp(project.updateTimeMs),
  etag: project.etag,
})

const toWireApiKey = (key: ApiKeyView): MessageInitShape<typeof ApiKeySchema> => ({
  apiKeyId: key.apiKeyId,
  projectId: key.projectId,
  name: key.name,
  permissions: key.grants.map(toWireGrant),
  allowedCidrs: [...key.allowedCidrs],
  requestsPerSecond: key.requestsPerSecond,
  createTime: toTimestamp(key.createTimeMs),
  state: KEY_STATES[key.state],
  publicKey: key.publicKey ?? '',
  developerAuthRequired: key.needsDeveloperAuth,
  ...optionalTimestamp('expireTime', key.expireTimeMs),
  ...optionalTimestamp('rotateTime', key.rotateTimeMs),
  ...optionalTimestamp('revokeTime', key.revokeTimeMs),
})

const toWireFreeze = (freeze: FreezeView): MessageInitShape<typeof FreezeRecordSchema> => ({
  scope: freezeScopes.toWire(freeze.scope),
  id: freeze.scope === 'all' ? '' : freeze.id,
  note: freeze.note,
  actor: freeze.actor,
  createTime: toTimestamp(freeze.createTimeMs),
})

const toWireBackup = (backup: BackupView): MessageInitShape<typeof BackupSchema> => ({
  vault: vaultParties.toWire(backup.vault),
  fileName: backup.fileName,
  sizeBytes: BigInt(backup.sizeBytes),
  auditSequence: backup.auditSequence,
  createTime: toTimestamp(backup.createTimeMs),
})

const toWireRestore = (
  restore: NonNullable<StatusView['restore']>,
): MessageInitShape<typeof RestoreStatusSchema> => ({
  restoreTime: toTimestamp(restore.restoreTimeMs),
  backupTime: toTimestamp(restore.backupTimeMs),
  vaultEpoch: restore.vaultEpoch,
  unrefreshedWalletCount: BigInt(restore.unrefreshedWalletCount),
  ...optionalTimestamp('acknowledgeTime', restore.acknowledgeTimeMs),
})

const readVault = (wire: number): VaultParty => {
  const party = vaultParties.fromWire(wire)
  if (party === undefined)
    throw invalidField('vault', 'is required')
  return party
}

const toWireDelegationLinks = (links: StatusView['delegates']): MessageInitShape<typeof DelegationLinksSchema> => ({
  activeCount: links.active,
  suspendedCount: links.suspended,
  burnedCount: links.burned,
  openCount: links.open,
  presignatureCount: BigInt(links.presignatures),
  stopped: links.stopped.map(({ peerId, state, burns }) => ({ partyId: peerId, state: linkStates.toWire(state), burnCount: burns })),
})

const toWireStatus = (status: StatusView): MessageInitShape<typeof StatusSchema> => ({
  mode: status.mode,
  version: status.version,
  protocolVersion: status.protocolVersion,
  vaultSchemaVersion: status.vaultSchemaVersion,
  startTime: toTimestamp(status.startTimeMs),
  cosignerAvailable: status.cosignerAvailable,
  cosignerId: status.cosignerId,
  links: status.links.map(({ shard, state, renewTimeMs, presignatureCount }) => ({
    shard,
    state: linkStates.toWire(state),
    presignatureCount,
    ...optionalTimestamp('renewTime', renewTimeMs),
  })),
  freezes: status.freezes.map(toWireFreeze),
  walletCount: status.walletCount,
  auditSequence: status.auditSequence,
  presignatureCount: status.presignatureCount,
  backups: status.backups.map((backup) => ({
    backup: toWireBackup(backup),
    refreshedWalletCount: BigInt(backup.refreshedWalletCount),
  })),
  webhooks: {
    pendingCount: BigInt(status.webhooks.pending),
    deliveredCount: BigInt(status.webhooks.delivered),
    failedAttemptCount: BigInt(status.webhooks.failedAttempts),
    ...optionalTimestamp('oldestPendingTime', status.webhooks.oldestMs),
  },
  chains: status.chains.map(({ state, chainId, block, openSends, stuckSends, oldestSendMs, ...rest }) => ({
    ...rest,
    state: chainStates.toWire(state),
    chainId: chainId ?? 0n,
    blockNumber: block ?? 0n,
    openTransactionCount: openSends,
    stuckTransactionCount: stuckSends,
    ...optionalTimestamp('oldestOpenTransactionTime', oldestSendMs),
  })),
  delegates: toWireDelegationLinks(status.delegates),
  grantingDaemons: toWireDelegationLinks(status.grantingDaemons),
  ...(status.restore === undefined ? {} : { restore: toWireRestore(status.restore) }),
})

const readTarget = ({ scope, id }: { readonly scope: number; readonly id: string }): FreezeTarget => {
  const known = freezeScopes.fromWire(scope)
  if (known === undefined)
    throw invalidField('scope', 'is required')
  return { scope: known, id: known === 'all' ? EVERY_ID : id }
}

/** The message's rules check its form, so an id that does not parse belongs to no key. */
const readApiKeyId = (text: string): ApiKeyId => {
  const apiKeyId = parseApiKeyId(text)
  if (apiKeyId === undefined) throw failure('API_KEY_NOT_FOUND', {})
  return apiKeyId
}

const readProjectUpdate = ({ project, updateMask }: UpdateProjectRequest) => {
  if (project === undefined || updateMask === undefined)
    throw invalidField('project', 'is required')
  const isNamed = (path: string): boolean => updateMask.paths.includes(path)
  const changes = {
    ...(isNamed('display_name') ? { displayName: project.displayName } : {}),
    ...readSettingsChange(project, isNamed),
  }
  return { projectId: project.projectId, etag: orAbsent(project.etag), changes }
}

const projectHandlers = (admin: AdminUseCases, tokens: PageTokens) =>
  ({
    createProject: async ({ projectId, displayName }, call) => ({
      project: toWireProject(await admin.createProject(call, { projectId, displayName })),
    }),
    getProject: async ({ projectId }, call) => ({
      project: toWireProject(await admin.getProject(call, { projectId })),
    }),
    listProjects: async (request, call) => {
      const { items, nextPageToken } = await listPage(tokens, ListProjectsRequestSchema, request, call, (page) =>
        admin.listProjects(call, page),
      )
      return { projects: items.map(toWireProject), nextPageToken }
    },
    updateProject: async (request, call) => ({
      project: toWireProject(await admin.updateProject(call, readProjectUpdate(request))),
    }),
  }) satisfies Partial<Handlers<'admin'>>

const apiKeyHandlers = (admin: AdminUseCases, tokens: PageTokens) =>
  ({
    createApiKey: async (request, call) => {
      const { apiKey, secret } = await admin.createApiKey(call, {
        projectId: orAbsent(request.projectId),
        name: request.name,
        grants: request.permissions.map(readGrant),
        allowedCidrs: request.allowedCidrs,
        requestsPerSecond: request.requestsPerSecond,
        expireTimeMs: fromTimestamp(request.expireTime),
        publicKey: orAbsent(request.publicKey),
        needsDeveloperAuth: request.developerAuthRequired,
      })
      return { apiKey: toWireApiKey(apiKey), secret }
    },
    getApiKey: async ({ apiKeyId }, call) => ({
      apiKey: toWireApiKey(await admin.getApiKey(call, { apiKeyId: readApiKeyId(apiKeyId) })),
    }),
    listApiKeys: async (request, call) => {
      const projectId = orAbsent(request.projectId)
      const { items, nextPageToken } = await listPage(tokens, ListApiKeysRequestSchema, request, call, (page) =>
        admin.listApiKeys(call, { ...page, projectId }),
      )
      return { apiKeys: items.map(toWireApiKey), nextPageToken }
    },
    rotateApiKey: async ({ apiKeyId, overlapSeconds }, call) => {
      const args = { apiKeyId: readApiKeyId(apiKeyId), overlapMs: overlapSeconds * 1_000 }
      const { apiKey, secret } = await admin.rotateApiKey(call, args)
      return { apiKey: toWireApiKey(apiKey), secret }
    },
    revokeApiKey: async ({ apiKeyId }, call) => ({
      apiKey: toWireApiKey(await admin.revokeApiKey(call, { apiKeyId: readApiKeyId(apiKeyId) })),
    }),
  }) satisfies Partial<Handlers<'admin'>>

export const createAdminService = (
  admin: AdminUseCases,
  webhooks: WebhookUseCases,
  delegate: DelegateSideUseCases,
  tokens: PageTokens,
): Handlers<'admin'> => ({
  ...delegateKeyHandlers(delegate),
  ...projectHandlers(admin, tokens),
  ...apiKeyHandlers(admin, tokens),
  ...webhookHandlers(webhooks, tokens),
  freeze: async (request, call) => ({
    freeze: toWireFreeze(await admin.freeze(call, { ...readTarget(request), note: request.note })),
  }),
  unfreeze: async (request, call) => ({ freeze: toWireFreeze(await admin.unfreeze(call, readTarget(request))) }),
  createBackup: async (_request, call) => ({ backups: (await admin.createBackup(call)).map(toWireBackup) }),
  rotateVaultKey: async (request, call) => {
    const rotated = await admin.rotateVaultKey(call, { vault: readVault(request.vault) })
    const { provider, shareCount } = rotated
    return { vault: vaultParties.toWire(rotated.vault), provider, shareCount: BigInt(shareCount) }
  },
  getStatus: async (_request, call) => ({ status: toWireStatus(await admin.getStatus(call)) }),
})
