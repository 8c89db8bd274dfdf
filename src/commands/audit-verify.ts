import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { isFailure } from '../domain/failure.ts'
import type { ChainVerdict } from '../vault/audit-chain.ts'
import { loadIdentity } from '../party/remote/identity-files.ts'
import { verifyAuditFile, verifyAuditFiles } from '../vault/verify-audit-files.ts'
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
 * what the other party remembers; on a host of its own a party's chain alone. Needs no root key. Exit code 1 when a chain is broken.
 */
export const verifyAudit = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const { config } = loadConfig(flags)
  const paths = dataDirPaths(config.dataDir)
  const verdicts = await verifyWhatIsHere(config.dataDir, paths).catch((error: unknown) => {
    if (!isFailure(error) || error.reason !== 'VAULT_LOCKED') throw error
    throw new CommandRefusal(`${error.message} (VAULT_LOCKED): stop it, or ask it with --online`)
  })
  const parties = Object.entries(verdicts)
  if (flags.json === true) {
    const shown = Object.fromEntries(parties.map(([party, verdict]) => [party, asJson(verdict)]))
    terminal.print(JSON.stringify(shown, null, 2))
  } else {
    const rows = parties.map(([party, verdict]) => rowOf(party, verdict))
    terminal.print(formatTable(['CHAIN', 'IS', 'ROWS', 'HEAD'], rows))
  }
  if (parties.some(([, { intact }]) => !intact)) throw new CommandRefusal('an audit chain is broken')
}

/** A party that has a channel has its peer on another host. */
const verifyWhatIsHere = async (
  dataDir: string,
  { daemonVault, cosignerVault }: ReturnType<typeof dataDirPaths>,
): Promise<Readonly<Record<string, ChainVerdict>>> => {
  const alone = (['daemon', 'cosigner'] as const).find((role) => loadIdentity(dataDir, role) !== undefined)
  if (alone === undefined) return { ...(await verifyAuditFiles(daemonVault, cosignerVault)) }
  return { [alone]: await verifyAuditFile(alone === 'daemon' ? daemonVault : cosignerVault, alone) }
}
