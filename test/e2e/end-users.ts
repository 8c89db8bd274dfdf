/** People of a test daemon, who have signed in before it started, each with a device of their own. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { join } from 'node:path'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { UserId } from '../../src/domain/ids.ts'
import { parseProjectId, parseUserId } from '../../src/domain/ids.ts'
import { type CountersignClient, createCountersignClient } from '../../src/client/countersign-client.ts'
import type { EndUserSecret } from '../../src/client/end-user.ts'
import { createDataDir, hasVault } from '../../src/commands/create-data-dir.ts'
import { rootKeyProviders } from '../../src/commands/root-keys.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { createAccessTokens } from '../../src/user/access-tokens.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { findOrCreateEndUser } from '../../src/vault/end-users.ts'
import { DEFAULT_PROJECT, getProject, insertProject } from '../../src/vault/projects.ts'
import { insertSession } from '../../src/vault/user-sessions.ts'
import type { Endpoints } from './start-daemon.ts'

export type Person = { readonly userId: UserId; readonly projectId: string; readonly accessToken: string }

const SESSION_MS = 1_800_000

/** Makes the data directory that `startDaemon({ dataDir: base })` finds, with these people (`user` or `project/user`) in it. */
export const makePeople = async (base: string, names: readonly string[]): Promise<readonly Person[]> => {
  const dataDir = join(base, 'data')
  const { config, secrets } = loadConfig({ 'data-dir': dataDir }, { environment: {}, cwd: base })
  if (!hasVault(config)) await createDataDir(config, secrets, 'everything')
  const nowMs = Date.now()
  const provider = rootKeyProviders(config, secrets).daemon
  await using vault = await openDaemonVault({ path: join(dataDir, 'vault.db'), provider, nowMs })
  const tokens = createAccessTokens(vault)
  const people: Person[] = []
  for (const name of names) {
    const [user = '', projectName] = name.split('/').toReversed()
    const project = projectName === undefined ? DEFAULT_PROJECT : parseProjectId(projectName)!
    const userId = parseUserId(user)!
    const draft = await vault.commit((tx) => {
      if (getProject(tx, project) === undefined) insertProject(tx, { projectId: project, name: '', nowMs })
      findOrCreateEndUser(tx, { project, method: 'jwt', subject: userId, userId, nowMs })
      const session = insertSession(tx, { project, userId, method: 'jwt', nowMs, expireMs: nowMs + SESSION_MS })
      return tokens.draft(tx, session, nowMs)
    })
    people.push({ userId, projectId: project, accessToken: await tokens.sign(draft) })
  }
  return people
}

export type Device = EndUserSecret & { readonly publicKey: string }

/** A P-256 key as a device makes one. */
export const newDevice = (walletSecretId?: string): Device => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    walletSecretId,
    publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
    sign: (signed) => new Uint8Array(sign('sha256', signed, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
  }
}

export const connectAs = (
  daemon: { readonly endpoints: Endpoints },
  { accessToken }: { readonly accessToken: string },
  walletSecret?: EndUserSecret,
): CountersignClient => createCountersignClient({ endpoint: daemon.endpoints.grpc, endUser: { accessToken, walletSecret } })

/** A person's client with a wallet secret that is registered. */
export const connectWithDevice = async (
  daemon: { readonly endpoints: Endpoints },
  person: { readonly accessToken: string },
): Promise<CountersignClient> => {
  const device = newDevice()
  const client = connectAs(daemon, person, device)
  await client.endUsers.registerWalletSecret({ publicKey: device.publicKey, validUntil: timestampFromMs(Date.now() + 3_600_000) })
  return client
}
