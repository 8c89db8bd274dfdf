/** What is spent from external wallets, and how far the chains were followed for it. */
export const SPEND_TABLES = `
ALTER TABLE external_wallets ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0 CHECK (indexed IN (0, 1));
CREATE INDEX external_wallets_by_network ON external_wallets (network, number) WHERE state <> 'REPLACED';

CREATE TABLE followed_chains (
  network TEXT PRIMARY KEY,
  block INTEGER NOT NULL,
  block_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE followed_wallets (
  external_wallet_id TEXT PRIMARY KEY,
  allowance TEXT NOT NULL,
  balance TEXT NOT NULL,
  block INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE spends (
  number INTEGER PRIMARY KEY,
  spend_id TEXT NOT NULL UNIQUE,
  send_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  user_id TEXT NOT NULL,
  external_wallet_id TEXT NOT NULL,
  network TEXT NOT NULL,
  currency TEXT NOT NULL,
  decimals INTEGER NOT NULL CHECK (decimals BETWEEN 0 AND 36),
  chain TEXT NOT NULL,
  token TEXT NOT NULL,
  owner TEXT NOT NULL,
  spender TEXT NOT NULL,
  destination TEXT NOT NULL,
  units TEXT NOT NULL,
  principal TEXT NOT NULL,
  request_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('OPEN', 'CONFIRMED', 'SETTLED', 'FAILED')),
  reason TEXT NOT NULL,
  block INTEGER,
  transaction_hash TEXT NOT NULL,
  delivered TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE INDEX spends_held ON spends (chain, token, owner) WHERE state = 'OPEN';
CREATE INDEX spends_by_block ON spends (chain, token, owner, block) WHERE block IS NOT NULL;
CREATE INDEX spends_confirmed ON spends (network, number) WHERE state = 'CONFIRMED';
CREATE INDEX spends_over ON spends (update_ms) WHERE state IN ('SETTLED', 'FAILED');
CREATE INDEX spends_by_request ON spends (principal, request_id) WHERE request_id <> '';
CREATE INDEX spends_by_project ON spends (project, number);
CREATE INDEX spends_by_user ON spends (project, user_id, number);
`
