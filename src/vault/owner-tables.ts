/**
 * The cosigner's own register: whose the end users' wallets are and which keys on their devices speak for them
 * (owner-register.ts), what its operator approved and which consents were used (consents.ts).
 */
export const OWNER_TABLES = `
CREATE TABLE wallet_owners (
  wallet_id BLOB PRIMARY KEY CHECK (length(wallet_id) = 16),
  project TEXT NOT NULL,
  user_id TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX wallet_owners_by_user ON wallet_owners (project, user_id);

CREATE TABLE owner_secrets (
  project TEXT NOT NULL,
  user_id TEXT NOT NULL,
  secret_id BLOB NOT NULL CHECK (length(secret_id) = 32),
  public_key BLOB NOT NULL,
  bound_by TEXT NOT NULL CHECK (bound_by IN ('first_wallet', 'wallet_secret', 'operator', 'restore')),
  bind_ms INTEGER NOT NULL,
  mac BLOB NOT NULL,
  PRIMARY KEY (project, user_id, secret_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE operator_approvals (
  approval_id BLOB PRIMARY KEY CHECK (length(approval_id) = 16),
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16),
  key_digest BLOB NOT NULL CHECK (length(key_digest) = 32),
  expire_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE spent_consents (
  nonce BLOB PRIMARY KEY CHECK (length(nonce) = 32),
  expire_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`
