import { CALLER_TABLES } from './caller-tables.ts'
import { DELEGATED_ACCESS_TABLES } from './delegated-access-tables.ts'
import { EXPORT_TABLES } from './export-tables.ts'
import { GRANT_TABLES } from './grant-tables.ts'
import { IMPORT_TABLES } from './import-tables.ts'
import { IMPORTED_ACCESS_TABLES } from './imported-access-tables.ts'
import type { Schema } from './migrations.ts'
import { SEND_TABLES } from './send-tables.ts'
import { SESSION_TABLES } from './session-tables.ts'
import { SHARED_TABLES_V1, SHARED_TABLES_V2 } from './shared-tables.ts'
import { SPEND_TABLES } from './spend-tables.ts'
import { SPENDING_TABLES } from './spending-tables.ts'
import { USER_TABLES } from './user-tables.ts'
import { WEBHOOK_TABLES } from './webhook-tables.ts'

const DAEMON_TABLES_V1 = `
CREATE TABLE projects (
  project_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'DISABLED')),
  settings TEXT NOT NULL,
  revision INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  number INTEGER PRIMARY KEY,
  key_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'REVOKED')),
  secret_mac BLOB NOT NULL CHECK (length(secret_mac) = 32),
  previous_mac BLOB,
  previous_until_ms INTEGER NOT NULL,
  permissions TEXT NOT NULL,
  allowed_cidrs TEXT NOT NULL,
  mtls_identity TEXT,
  expire_ms INTEGER,
  revision INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE INDEX api_keys_by_project ON api_keys (project, number);
CREATE UNIQUE INDEX api_keys_by_identity ON api_keys (mtls_identity)
  WHERE mtls_identity IS NOT NULL AND state = 'ACTIVE';

CREATE TABLE wallets (
  number INTEGER PRIMARY KEY,
  wallet_id BLOB NOT NULL UNIQUE CHECK (length(wallet_id) = 16),
  project TEXT NOT NULL REFERENCES projects (project_id),
  user_id TEXT NOT NULL,
  key_type TEXT NOT NULL,
  owner_type TEXT NOT NULL,
  label TEXT NOT NULL,
  address TEXT NOT NULL,
  address_key TEXT NOT NULL,
  public_key BLOB NOT NULL,
  state TEXT NOT NULL,
  origin TEXT NOT NULL,
  revision INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX wallets_one_live ON wallets (project, user_id, key_type, owner_type, label)
  WHERE state IN ('PENDING', 'ACTIVE', 'SUSPENDED');
CREATE INDEX wallets_by_address ON wallets (address_key, project);
CREATE INDEX wallets_by_project ON wallets (project, number);
CREATE INDEX wallets_by_user ON wallets (project, user_id, number);

CREATE TABLE requests (
  caller TEXT NOT NULL,
  method TEXT NOT NULL,
  request_id TEXT NOT NULL,
  body_hash BLOB NOT NULL CHECK (length(body_hash) = 32),
  state TEXT NOT NULL CHECK (state IN ('RUNNING', 'INTERRUPTED', 'DONE')),
  response BLOB,
  create_ms INTEGER NOT NULL,
  PRIMARY KEY (caller, method, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_age ON requests (create_ms);
CREATE INDEX requests_running ON requests (state) WHERE state = 'RUNNING';

CREATE TABLE usage (
  api_key_id TEXT NOT NULL,
  permission TEXT NOT NULL,
  token TEXT NOT NULL,
  day INTEGER NOT NULL,
  spent BLOB NOT NULL CHECK (length(spent) = 32),
  PRIMARY KEY (api_key_id, permission, token, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_day ON usage (day);
`

/** One member a group of tables, each in a file of its own. */
const DAEMON_TABLES_V3: readonly string[] = [
  EXPORT_TABLES,
  GRANT_TABLES,
  SESSION_TABLES,
  IMPORT_TABLES,
  WEBHOOK_TABLES,
  USER_TABLES,
  CALLER_TABLES,
  SPENDING_TABLES,
]

/** As those of version 3. */
const DAEMON_TABLES_V4: readonly string[] = [SEND_TABLES, SPEND_TABLES, DELEGATED_ACCESS_TABLES, IMPORTED_ACCESS_TABLES]

/** The vault of the daemon, party C. */
export const DAEMON_SCHEMA: Schema = {
  kind: 'daemon',
  applicationId: 0x43534744,
  migrations: [
    { version: 1, sql: SHARED_TABLES_V1 + DAEMON_TABLES_V1 },
    { version: 2, sql: SHARED_TABLES_V2 },
    { version: 3, sql: DAEMON_TABLES_V3.join('\n') },
    { version: 4, sql: DAEMON_TABLES_V4.join('\n') },
  ],
}
