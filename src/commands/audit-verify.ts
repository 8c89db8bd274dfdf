import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { isFailure } from '../domain/failure.ts'
import type { ChainVerdict } from '../vault/audit-chain.ts'
import { verifyAuditFiles } from '../vault/verify-audit-files.ts'
import { hexText } from './message-text.ts'
import { formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

const asJson = (verdict: ChainVerdict) =>
  verdict.intact
    ? { intact: true, rows: String(verdict.rows), headHash: hexText(verdict.head.hash) }
    : { intact: false, firstBadSequence: String(verdict.firstBadSequence), what: verdict.what }

const rowOf = (party: string, verdict: ChainVerdict): string[] =>
  verdict.intact
    ? [party, 'intact', String(verdict.rows), hexText(verdict.head.hash)]
    : [party, `${verdict.what} at ${verdict.firstBadSequence}`, '', '']

/**
 * `countersign audit verify`: the chains of both parties in the files of a stopped daemon, each also against
 * what the other party remembers. Needs no root key. Exit code 1 when a chain is broken.
 */
export const verifyAudit = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const { config } = loadConfig(flags)
  const paths = dataDirPaths(config.dataDir)
  const verdict = await verifyAuditFiles(paths.daemonVault, paths.cosignerVault).catch((error: unknown) => {
    if (!isFailure(error) || error.reason !== 'VAULT_LOCKED') throw error
    throw new CommandRefusal(`${error.message} (VAULT_LOCKED): stop it, or ask it with --online`)
  })
  if (flags.json === true) {
    terminal.print(JSON.stringify({ daemon: asJson(verdict.daemon), cosigner: asJson(verdict.cosigner) }, null, 2))
  } else {
    const rows = [rowOf('daemon', verdict.daemon), rowOf('cosigner', verdict.cosigner)]
    terminal.print(formatTable(['CHAIN', 'IS', 'ROWS', 'HEAD'], rows))
  }
  if (!verdict.daemon.intact || !verdict.cosigner.intact) throw new CommandRefusal('an audit chain is broken')
}
