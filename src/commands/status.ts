import {
  ChainStateSchema,
  FreezeScopeSchema,
  GetStatusResponseSchema,
  LinkStateSchema,
  LinkState,
  StatusSchema,
  type Status,
} from '../../gen/countersign/v1/admin_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { BACKUP_COLUMNS, backupRow } from './backup.ts'
import { withDaemon } from './daemon-client.ts'
import { enumText, jsonText, timeText } from './message-text.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

const fetchStatus = async (flags: Flags, terminal: Terminal): Promise<Status> => {
  const { status } = await withDaemon(flags, terminal, ({ admin }) => admin.getStatus({}))
  if (status === undefined) throw new CommandRefusal('the daemon answered without a status')
  return status
}

const linkTable = ({ links }: Status): string =>
  formatTable(
    ['LINK', 'STATE', 'RENEWED', 'PRESIGNATURES'],
    links.map((link) => [
      String(link.shard),
      enumText(LinkStateSchema, link.state),
      timeText(link.renewTime),
      String(link.presignatureCount),
    ]),
  )

const chainTable = ({ chains }: Status): string =>
  formatTable(
    ['CHAIN', 'STATE', 'ID', 'BLOCK', 'SENDING', 'STUCK', ''],
    chains.map(({ network, state, chainId, blockNumber, openTransactionCount, stuckTransactionCount, detail }) => [
      network,
      enumText(ChainStateSchema, state),
      chainId === 0n ? '' : String(chainId),
      blockNumber === 0n ? '' : String(blockNumber),
      String(openTransactionCount),
      String(stuckTransactionCount),
      detail,
    ]),
  )

/** Nothing where there is no such link. */
const delegationText = (links: Status['delegates']): string => {
  if (links === undefined) return ''
  const { activeCount, suspendedCount, burnedCount, openCount, presignatureCount, stopped } = links
  const all = activeCount + suspendedCount + burnedCount
  if (all === 0) return ''
  const which = stopped.map(({ partyId, state }) => `${enumText(LinkStateSchema, state)} ${partyId}`)
  return [`${all} links, ${openCount} open with ${presignatureCount} presignatures`, ...which].join('; ')
}

export const printStatus = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const status = await fetchStatus(flags, terminal)
  if (flags.json === true) return terminal.print(jsonText(StatusSchema, status))
  terminal.print(
    formatFacts([
      ['mode', status.mode],
      [
        'version',
        `${status.version} (protocol ${status.protocolVersion}, vault schema ${status.vaultSchemaVersion})`,
      ],
      ['started', timeText(status.startTime)],
      ['cosigner', `${status.cosignerId} ${status.cosignerAvailable ? 'available' : 'not available'}`.trim()],
      ['wallets', String(status.walletCount)],
      ['audit', `${status.auditSequence} rows`],
      ['presignatures', String(status.presignatureCount)],
      ['delegates', delegationText(status.delegates)],
      ['delegated by', delegationText(status.grantingDaemons)],
    ]),
  )
  terminal.print(linkTable(status))
  printCustody(status, terminal)
  if (status.chains.length > 0) terminal.print(chainTable(status))
  if (status.freezes.length === 0) return
  const rows = status.freezes.map(({ scope, id, note, createTime }) => [
    enumText(FreezeScopeSchema, scope),
    id,
    timeText(createTime),
    note,
  ])
  terminal.print(formatTable(['FROZEN', 'ID', 'SINCE', 'NOTE'], rows))
}

/** What the newest backups are still good for, and what a restore left to do. */
const printCustody = ({ backups, restore }: Status, terminal: Terminal): void => {
  if (backups.length > 0) {
    const rows = backups.flatMap(({ backup, refreshedWalletCount }) =>
      backup === undefined ? [] : [[...backupRow(backup), String(refreshedWalletCount)]],
    )
    terminal.print(formatTable([...BACKUP_COLUMNS, 'REFRESHED SINCE'], rows))
  }
  if (restore === undefined) return
  const state = restore.acknowledgeTime === undefined ? 'sealed' : `acknowledged ${timeText(restore.acknowledgeTime)}`
  terminal.print(
    formatFacts([
      ['restored', `${timeText(restore.restoreTime)} from a backup of ${timeText(restore.backupTime)}, ${state}`],
      ['to refresh', `${restore.unrefreshedWalletCount} wallets`],
    ]),
  )
}

/** The links to the cosigner; a burned one ends with exit code 1 and says what mends it. */
export const printCosignerStatus = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const status = await fetchStatus(flags, terminal)
  terminal.print(flags.json === true ? jsonText(GetStatusResponseSchema, wrap(status)) : linkTable(status))
  const burned = status.links.some(({ state }) => state === LinkState.BURNED)
  if (burned)
    throw new CommandRefusal('a link is burned: stop the daemon, run "countersign cosigner relink", start it')
}

const wrap = (status: Status) => ({ $typeName: 'countersign.v1.GetStatusResponse' as const, status })
