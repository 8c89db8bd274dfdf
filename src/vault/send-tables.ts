/** What the daemon sends to chains: one row a send, which holds the lease of its nonce, and one for each version of it. */
export const SEND_TABLES = `
CREATE TABLE sent_transactions (
  number INTEGER PRIMARY KEY,
  send_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16),
  network TEXT NOT NULL,
  chain TEXT NOT NULL,
  family TEXT NOT NULL CHECK (family IN ('EVM', 'SOLANA')),
  sender TEXT NOT NULL,
  purpose TEXT NOT NULL CHECK (purpose IN ('SEND', 'SPEND')),
  subject TEXT NOT NULL,
  confirmations INTEGER NOT NULL CHECK (confirmations BETWEEN 1 AND 1000),
  nonce INTEGER,
  state TEXT NOT NULL CHECK (state IN ('SIGNING', 'SIGNED', 'BROADCAST', 'INCLUDED', 'CONFIRMED', 'REPLACED', 'FAILED', 'EXPIRED')),
  reason TEXT NOT NULL,
  mined_version INTEGER,
  block INTEGER,
  block_hash TEXT NOT NULL,
  succeeded INTEGER CHECK (succeeded IN (0, 1)),
  depth INTEGER NOT NULL,
  stuck_version INTEGER,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX sent_transactions_leases ON sent_transactions (chain, sender, nonce) WHERE nonce IS NOT NULL;
CREATE INDEX sent_transactions_open ON sent_transactions (network, number)
  WHERE state IN ('SIGNING', 'SIGNED', 'BROADCAST', 'INCLUDED');
CREATE INDEX sent_transactions_open_of_sender ON sent_transactions (chain, sender)
  WHERE state IN ('SIGNING', 'SIGNED', 'BROADCAST', 'INCLUDED');
CREATE INDEX sent_transactions_by_wallet ON sent_transactions (wallet_id, number);
CREATE INDEX sent_transactions_by_project ON sent_transactions (project, number);
CREATE INDEX sent_transactions_by_network ON sent_transactions (project, network, number);
CREATE INDEX sent_transactions_over ON sent_transactions (update_ms)
  WHERE state IN ('CONFIRMED', 'REPLACED', 'FAILED', 'EXPIRED');

CREATE TABLE sent_versions (
  send_id TEXT NOT NULL REFERENCES sent_transactions (send_id),
  version INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('ORIGINAL', 'SPEED_UP', 'CANCEL')),
  caller TEXT NOT NULL,
  principal TEXT NOT NULL,
  request_id TEXT NOT NULL,
  body_hash BLOB NOT NULL CHECK (length(body_hash) = 32),
  unsigned BLOB NOT NULL,
  anchor TEXT NOT NULL,
  last_valid INTEGER,
  raw BLOB,
  hash TEXT NOT NULL,
  intent INTEGER,
  create_ms INTEGER NOT NULL,
  mac BLOB NOT NULL,
  PRIMARY KEY (send_id, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_versions_by_request ON sent_versions (principal, request_id) WHERE request_id <> '';
CREATE INDEX sent_versions_unsigned ON sent_versions (send_id) WHERE raw IS NULL;
`
