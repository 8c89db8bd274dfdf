import { assert } from '../domain/failure.ts'
import { verifyAuditChain, type AuditHead, type ChainVerdict } from './audit-chain.ts'
import { COSIGNER_SCHEMA } from './cosigner-schema.ts'
import { DAEMON_SCHEMA } from './daemon-schema.ts'
import type { Schema } from './migrations.ts'
import { openDatabaseForReading } from './open-database.ts'
import { createStore, type Reader, type VaultKeys } from './store.ts'

/** The chain is hashed without a key, so an auditor needs the files alone. */
const noKey = (): never => {
  assert(false, 'verifying a chain uses no key')
  throw new Error('unreachable')
}
const NO_KEYS: VaultKeys = {
  get rowMac() {
    return noKey()
  },
  get stateIndex() {
    return noKey()
  },
  get apiKeyPepper() {
    return noKey()
  },
  get pageToken() {
    return noKey()
  },
  get response() {
    return noKey()
  },
}

type OpenFile = { readonly reader: Reader; readonly close: () => void }

const openFile = (path: string, schema: Schema): OpenFile => {
  const { db, close } = openDatabaseForReading(path, schema)
  const header = db.prepare('SELECT vault_id FROM vault_header WHERE id = 1').get() as
    { vault_id: Buffer } | undefined
  return {
    reader: createStore(db, { kind: schema.kind, vaultId: header?.vault_id ?? new Uint8Array(16), keys: NO_KEYS }),
    close,
  }
}

const rememberedPeers = (reader: Reader): AuditHead[] =>
  reader.all<AuditHead>('SELECT sequence, hash FROM peer_heads WHERE sequence > 0')

export type AuditFilesVerdict = { readonly daemon: ChainVerdict; readonly cosigner: ChainVerdict }

/**
 * Verifies the audit chains of a daemon and its embedded cosigner in their files, without their root keys and
 * without writing, each also against the head that the other party remembers. Refuses: VAULT_MISSING,
 * VAULT_LOCKED (a daemon runs), VAULT_CORRUPT, VAULT_TOO_NEW.
 */
export const verifyAuditFiles = async (daemonPath: string, cosignerPath: string): Promise<AuditFilesVerdict> => {
  const daemon = openFile(daemonPath, DAEMON_SCHEMA)
  try {
    const cosigner = openFile(cosignerPath, COSIGNER_SCHEMA)
    try {
      return {
        daemon: await verifyAuditChain(daemon.reader, { remembered: rememberedPeers(cosigner.reader) }),
        cosigner: await verifyAuditChain(cosigner.reader, { remembered: rememberedPeers(daemon.reader) }),
      }
    } finally {
      cosigner.close()
    }
  } finally {
    daemon.close()
  }
}

/** The chain of a party whose peer is on another host: there is no head of the peer's to compare it with. */
export const verifyAuditFile = async (path: string, party: 'daemon' | 'cosigner'): Promise<ChainVerdict> => {
  const file = openFile(path, party === 'daemon' ? DAEMON_SCHEMA : COSIGNER_SCHEMA)
  try {
    return await verifyAuditChain(file.reader)
  } finally {
    file.close()
  }
}
