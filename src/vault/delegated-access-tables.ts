/**
 * Servers that end users let sign with them: who they are and what their shares are sealed to (delegates.ts), and what
 * each was given (delegated-access.ts). The daemon's halves are in `wallet_shares`, under the access's own id.
 */
export const DELEGATED_ACCESS_TABLES = `
CREATE TABLE delegates (
  number INTEGER PRIMARY KEY,
  delegate_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  name TEXT NOT NULL,
  identity_key BLOB NOT NULL CHECK (length(identity_key) = 32),
  webhook_id TEXT,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL,
  mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;
CREATE UNIQUE INDEX delegates_by_name ON delegates (project, name);
CREATE UNIQUE INDEX delegates_by_identity ON delegates (project, identity_key);
CREATE INDEX delegates_by_project ON delegates (project, number);

CREATE TABLE delegate_keys (
  delegate_id TEXT NOT NULL REFERENCES delegates (delegate_id),
  kid TEXT NOT NULL,
  public_key BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED')),
  create_ms INTEGER NOT NULL,
  retire_ms INTEGER,
  mac BLOB NOT NULL CHECK (length(mac) = 32),
  PRIMARY KEY (delegate_id, kid)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX delegate_keys_one_active ON delegate_keys (delegate_id) WHERE state = 'ACTIVE';

CREATE TABLE delegated_access (
  number INTEGER PRIMARY KEY,
  access_id BLOB NOT NULL UNIQUE CHECK (length(access_id) = 16),
  project TEXT NOT NULL REFERENCES projects (project_id),
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16),
  user_id TEXT NOT NULL,
  delegate_id TEXT NOT NULL REFERENCES delegates (delegate_id),
  kid TEXT NOT NULL,
  link_id BLOB NOT NULL CHECK (length(link_id) = 16),
  terms TEXT NOT NULL,
  expire_ms INTEGER NOT NULL,
  grant_id TEXT,
  state TEXT NOT NULL CHECK (state IN ('MAKING', 'PENDING', 'ACTIVE', 'REVOKED', 'EXPIRED')),
  api_key_mac BLOB NOT NULL CHECK (length(api_key_mac) = 32),
  public_shares BLOB NOT NULL CHECK (length(public_shares) = 32),
  caller TEXT NOT NULL,
  request_id TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  activate_ms INTEGER,
  end_ms INTEGER,
  end_reason TEXT NOT NULL,
  mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;
CREATE INDEX delegated_access_by_project ON delegated_access (project, number);
CREATE INDEX delegated_access_by_wallet ON delegated_access (wallet_id, number);
CREATE INDEX delegated_access_by_user ON delegated_access (project, user_id, number);
CREATE INDEX delegated_access_by_delegate ON delegated_access (delegate_id, number);
CREATE INDEX delegated_access_by_link ON delegated_access (link_id) WHERE state IN ('MAKING', 'PENDING', 'ACTIVE');
CREATE INDEX delegated_access_by_grant ON delegated_access (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX delegated_access_by_expiry ON delegated_access (expire_ms) WHERE state IN ('MAKING', 'PENDING', 'ACTIVE');
CREATE UNIQUE INDEX delegated_access_by_api_key ON delegated_access (api_key_mac);
CREATE INDEX delegated_access_by_request ON delegated_access (caller, request_id) WHERE request_id <> '';

CREATE TABLE delegated_deliveries (
  access_id BLOB PRIMARY KEY CHECK (length(access_id) = 16),
  envelopes TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`
