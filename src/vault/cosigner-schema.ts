import type { Schema } from './migrations.ts'
import { FORK_TABLES } from './fork-tables.ts'
import { IMPORT_TABLES } from './import-tables.ts'
import { OWNER_TABLES } from './owner-tables.ts'
import { SHARED_TABLES_V1, SHARED_TABLES_V2 } from './shared-tables.ts'

const COSIGNER_TABLES_V1 = `
CREATE TABLE replies (
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16),
  req_id BLOB NOT NULL CHECK (length(req_id) = 16),
  request_key BLOB NOT NULL CHECK (length(request_key) = 32),
  state TEXT NOT NULL CHECK (state IN ('RUNNING', 'FAILED', 'DONE')),
  response BLOB,
  create_ms INTEGER NOT NULL,
  PRIMARY KEY (wallet_id, req_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_by_age ON replies (create_ms);
`

/** One member a group of tables, each in a file of its own. */
const COSIGNER_TABLES_V3: readonly string[] = [IMPORT_TABLES, OWNER_TABLES]

/** As those of version 3. */
const COSIGNER_TABLES_V4: readonly string[] = [FORK_TABLES]

/** The vault of the cosigner, party S. */
export const COSIGNER_SCHEMA: Schema = {
  kind: 'cosigner',
  applicationId: 0x43534743,
  migrations: [
    { version: 1, sql: SHARED_TABLES_V1 + COSIGNER_TABLES_V1 },
    { version: 2, sql: SHARED_TABLES_V2 },
    { version: 3, sql: COSIGNER_TABLES_V3.join('\n') },
    { version: 4, sql: COSIGNER_TABLES_V4.join('\n') },
  ],
}
