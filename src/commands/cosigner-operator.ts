/**
 * `countersign cosigner freeze|unfreeze|info`: its operator's calls of a running cosigner, on its own host. Who can read
 * the cosigner's channel key is its operator: the caller shows the cosigner its own certificate.
 */
import { readFileSync } from 'node:fs'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { parseProjectId, parseWalletId } from '../domain/ids.ts'
import { CosignerCaller } from '../party/remote/cosigner-caller.ts'
import { loadIdentity } from '../party/remote/identity-files.ts'
import type { FreezeSubject } from '../vault/freezes.ts'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { BACKUP_COLUMNS, backupRow } from './backup.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

const withCosigner = async (flags: Flags, terminal: Terminal, work: (caller: CosignerCaller) => Promise<void>): Promise<void> => {
  const { config, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const identity = loadIdentity(config.dataDir, 'cosigner')
  if (identity === undefined) throw new CommandRefusal(`no channel key in ${config.dataDir}: is this the cosigner's host?`)
  const { certificate } = identity.own
  using caller = new CosignerCaller(addressOf(config.dataDir), { keyPem: identity.keyPem, certificate, peerCertificate: certificate })
  await work(caller)
}

const addressOf = (dataDir: string): string => {
  try {
    const { cosigner } = JSON.parse(readFileSync(dataDirPaths(dataDir).endpoints, 'utf8')) as { readonly cosigner?: unknown }
    if (typeof cosigner === 'string') return cosigner
  } catch {
    // None is there, or it is being written.
  }
  throw new CommandRefusal(`no cosigner serves ${dataDir}`)
}

export type FreezeOptions = { readonly wallet?: string; readonly project?: string; readonly everything?: boolean; readonly note?: string }

const subjectOf = ({ wallet, project, everything }: FreezeOptions): FreezeSubject => {
  const named = [wallet, project, everything === true ? '' : undefined].filter((one) => one !== undefined)
  if (named.length !== 1) throw new UsageRefusal('name one: --wallet, --project or --everything')
  if (wallet !== undefined && parseWalletId(wallet) === undefined) throw new UsageRefusal('--wallet takes wal_ and 32 hex digits')
  if (project !== undefined && parseProjectId(project) === undefined) throw new UsageRefusal('--project is malformed')
  const scope = wallet !== undefined ? 'wallet' : project !== undefined ? 'project' : 'all'
  return { scope, id: wallet ?? project ?? '' }
}

export const freezeAtCosigner = (options: FreezeOptions, flags: Flags, terminal: Terminal): Promise<void> => {
  const subject = subjectOf(options)
  return withCosigner(flags, terminal, async (caller) => {
    await caller.freeze(subject, options.note ?? '')
    terminal.print('frozen')
  })
}

export const unfreezeAtCosigner = (options: FreezeOptions, flags: Flags, terminal: Terminal): Promise<void> => {
  const subject = subjectOf(options)
  return withCosigner(flags, terminal, async (caller) => {
    await caller.unfreeze(subject)
    terminal.print('the freeze is taken back')
  })
}

export const printCosignerInfo = (flags: Flags, terminal: Terminal): Promise<void> =>
  withCosigner(flags, terminal, async (caller) => {
    const info = await caller.info()
    terminal.print(`cosigner  ${info.cosignerId}`)
    terminal.print(`daemon    ${info.daemonId === '' ? 'none is paired' : `${info.daemonId}${info.connected ? ', joined' : ', away'}`}`)
    terminal.print(`version   ${info.version}`)
    terminal.print(`audit     ${info.auditSequence} rows`)
    if (info.freezes.length === 0) return
    const rows = info.freezes.map(({ scope, id, byOperator, note }) => [
      NAMES.get(scope) ?? '',
      id,
      byOperator ? 'operator' : 'daemon',
      note,
    ])
    terminal.print(formatTable(['FROZEN', 'ID', 'BY', 'NOTE'], rows))
  })

/** While it signs; its own directory and recipient. */
export const backUpCosigner = (flags: Flags, terminal: Terminal): Promise<void> =>
  withCosigner(flags, terminal, async (caller) => {
    const made = await caller.backup()
    if (made !== undefined) terminal.print(formatTable([...BACKUP_COLUMNS], [backupRow(made)]))
  })

export const rotateCosignerKey = (flags: Flags, terminal: Terminal): Promise<void> =>
  withCosigner(flags, terminal, async (caller) => {
    const { provider, shareCount } = await caller.rotateKey()
    terminal.print(formatFacts([['root key', provider], ['shares', String(shareCount)]]))
    if (provider.startsWith('file:')) {
      terminal.note('the key file is a new one: keep a copy of it apart from the vault, and make a backup')
    }
  })

const NAMES: ReadonlyMap<FreezeScope, string> = new Map([
  [FreezeScope.WALLET, 'wallet'],
  [FreezeScope.PROJECT, 'project'],
  [FreezeScope.EVERYTHING, 'everything'],
])
