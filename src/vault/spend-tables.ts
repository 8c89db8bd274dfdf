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
`
