/**
 * Tables that both vaults have. STRICT throughout; times are milliseconds since the Unix epoch; ids that the
 * protocol fixes are BLOBs. Rows that must never change or go (audit, single-use ids of intents) are guarded by
 * triggers against this program's own mistakes; tampering from outside is what hashes, MACs and AEAD are for.
 */
export const SHARED_TABLES_V1 = `
CREATE TABLE vault_header (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  vault_id BLOB NOT NULL CHECK (length(vault_id) = 16),
  epoch INTEGER NOT NULL,
  provider TEXT NOT NULL,
  wrapped_root BLOB NOT NULL,
  verifier BLOB NOT NULL,
  create_ms INTEGER NOT NULL,
  opened INTEGER NOT NULL
) STRICT;

CREATE TABLE vault_secrets (
  name TEXT PRIMARY KEY,
  record_version INTEGER NOT NULL,
  wrapped_key BLOB NOT NULL,
  nonce BLOB NOT NULL,
  ciphertext BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL,
  revision INTEGER NOT NULL,
  update_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE state_index (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  accumulator BLOB NOT NULL CHECK (length(accumulator) = 32),
  mac BLOB NOT NULL CHECK (length(mac) = 32),
  audit_sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE wallet_shares (
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16),
  slot INTEGER NOT NULL CHECK (slot IN (1, 2)),
  link_id BLOB NOT NULL CHECK (length(link_id) = 16),
  w_epoch INTEGER NOT NULL,
  state TEXT NOT NULL,
  last_used_epoch INTEGER NOT NULL,
  pending_sid BLOB CHECK (pending_sid IS NULL OR length(pending_sid) = 32),
  record_version INTEGER NOT NULL,
  header BLOB NOT NULL,
  wrapped_key BLOB NOT NULL,
  nonce BLOB NOT NULL,
  ciphertext BLOB NOT NULL,
  PRIMARY KEY (wallet_id, slot)
) STRICT, WITHOUT ROWID;
CREATE INDEX wallet_shares_by_link ON wallet_shares (link_id, wallet_id);

CREATE TABLE links (
  link_id BLOB PRIMARY KEY CHECK (length(link_id) = 16),
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'SUSPENDED', 'BURNED')),
  l_epoch INTEGER NOT NULL,
  record_version INTEGER NOT NULL,
  control BLOB NOT NULL,
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE link_strikes (
  number INTEGER PRIMARY KEY,
  link_id BLOB NOT NULL,
  time_ms INTEGER NOT NULL,
  what TEXT NOT NULL
) STRICT;
CREATE INDEX link_strikes_by_link ON link_strikes (link_id, time_ms);

CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY,
  time_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  project TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  subject_type TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  method TEXT NOT NULL,
  request_id TEXT NOT NULL,
  decision TEXT NOT NULL,
  reason TEXT NOT NULL,
  details BLOB NOT NULL,
  prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_by_project ON audit (project, sequence);
CREATE INDEX audit_by_subject ON audit (subject_id, sequence) WHERE subject_id <> '';
CREATE INDEX audit_of_state ON audit (sequence) WHERE kind = 'vault.state_changed';
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'audit rows never change'); END;
CREATE TRIGGER audit_never_shrinks BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'audit rows are never deleted'); END;

CREATE TABLE intents (
  sequence INTEGER PRIMARY KEY REFERENCES audit (sequence),
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16),
  presig_id BLOB NOT NULL CHECK (length(presig_id) = 16),
  r_point BLOB NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  caller TEXT NOT NULL,
  method TEXT NOT NULL,
  request_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('RUNNING', 'DONE', 'FAILED', 'IN_DOUBT')),
  create_ms INTEGER NOT NULL,
  complete_sequence INTEGER REFERENCES audit (sequence),
  signature_hash BLOB,
  r BLOB,
  UNIQUE (wallet_id, presig_id),
  UNIQUE (wallet_id, r_point)
) STRICT;
CREATE INDEX intents_running ON intents (sequence) WHERE state = 'RUNNING';
CREATE INDEX intents_by_request ON intents (caller, method, request_id, sequence) WHERE request_id <> '';
CREATE TRIGGER intents_are_kept BEFORE DELETE ON intents
  BEGIN SELECT RAISE(ABORT, 'intents are never deleted'); END;
CREATE TRIGGER intents_keep_their_ids BEFORE UPDATE OF sequence, wallet_id, presig_id, r_point, digest ON intents
  BEGIN SELECT RAISE(ABORT, 'an intent keeps its ids'); END;

CREATE TABLE freezes (
  scope TEXT NOT NULL,
  id TEXT NOT NULL,
  reason TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE peer_heads (
  peer_id BLOB PRIMARY KEY,
  sequence INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  time_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

/** The last refresh of each wallet, by its audit row: which wallets have other shares than an older backup holds. */
export const SHARED_TABLES_V2 = `
CREATE TABLE refreshes (
  wallet_id BLOB PRIMARY KEY CHECK (length(wallet_id) = 16),
  sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refreshes_by_sequence ON refreshes (sequence);
`
