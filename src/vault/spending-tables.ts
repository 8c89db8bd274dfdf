/** What external wallets on a chain let a project spend, and the tokens by which they say so. */
export const SPENDING_TABLES = `
CREATE TABLE delegation_tokens (
  token_hash BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
  project TEXT NOT NULL REFERENCES projects (project_id),
  user_id TEXT NOT NULL,
  network TEXT NOT NULL,
  address_key TEXT NOT NULL,
  nonce TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  expire_ms INTEGER NOT NULL,
  used INTEGER NOT NULL CHECK (used IN (0, 1)),
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX delegation_tokens_by_end ON delegation_tokens (expire_ms);

CREATE TABLE external_wallets (
  number INTEGER PRIMARY KEY,
  external_wallet_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  user_id TEXT NOT NULL,
  network TEXT NOT NULL,
  currency TEXT NOT NULL,
  address TEXT NOT NULL,
  address_key TEXT NOT NULL,
  token_address TEXT NOT NULL,
  decimals INTEGER NOT NULL CHECK (decimals BETWEEN 0 AND 36),
  spender TEXT NOT NULL,
  limit_units TEXT NOT NULL,
  transaction_hash TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'REVOKED', 'REPLACED')),
  priority INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX external_wallets_one_live ON external_wallets (project, network, currency, address_key)
  WHERE state <> 'REPLACED';
CREATE INDEX external_wallets_by_user ON external_wallets (project, user_id, number);
CREATE INDEX external_wallets_by_address ON external_wallets (project, address_key);
`
