/**
 * Session keys: hot keys that a wallet has authorised, their sealed secrets, how far their nonces have gone and what
 * their caps have used. What they sign is in the audit chain.
 */
export const SESSION_TABLES = `
CREATE TABLE session_keys (
  number INTEGER PRIMARY KEY,
  session_key_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16),
  profile TEXT NOT NULL,
  profile_hash BLOB NOT NULL CHECK (length(profile_hash) = 32),
  network TEXT NOT NULL,
  scheme TEXT NOT NULL CHECK (scheme IN ('secp256k1', 'ed25519', 'hmac-sha256')),
  custody TEXT NOT NULL CHECK (custody IN ('daemon', 'client')),
  public_key BLOB NOT NULL,
  address TEXT NOT NULL,
  terms TEXT NOT NULL,
  expire_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('CREATING', 'PENDING', 'ACTIVE', 'REVOKED')),
  grant_id TEXT,
  replaces TEXT,
  retire_ms INTEGER,
  payload BLOB NOT NULL,
  registration TEXT NOT NULL,
  caller TEXT NOT NULL,
  request_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL,
  mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;
CREATE INDEX session_keys_by_project ON session_keys (project, number);
CREATE INDEX session_keys_by_wallet ON session_keys (wallet_id, number);
CREATE INDEX session_keys_by_grant ON session_keys (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX session_keys_by_address ON session_keys (address, project);
CREATE UNIQUE INDEX session_keys_by_request ON session_keys (caller, request_id) WHERE request_id <> '';
CREATE INDEX session_keys_by_end ON session_keys (min(expire_ms, coalesce(retire_ms, expire_ms)), number)
  WHERE state IN ('PENDING', 'ACTIVE');

CREATE TABLE session_secrets (
  session_key_id TEXT NOT NULL REFERENCES session_keys (session_key_id),
  name TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('secp256k1', 'ed25519', 'hmac', 'text')),
  record_version INTEGER NOT NULL,
  wrapped_key BLOB NOT NULL,
  nonce BLOB NOT NULL,
  ciphertext BLOB NOT NULL,
  create_ms INTEGER NOT NULL,
  PRIMARY KEY (session_key_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE session_nonces (
  session_key_id TEXT PRIMARY KEY REFERENCES session_keys (session_key_id),
  high INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session_usage (
  session_key_id TEXT NOT NULL,
  day INTEGER NOT NULL,
  notional BLOB NOT NULL CHECK (length(notional) = 32),
  PRIMARY KEY (session_key_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_usage_by_day ON session_usage (day);

CREATE TABLE session_requests (
  caller TEXT NOT NULL,
  request_id TEXT NOT NULL,
  session_key_id TEXT NOT NULL,
  sequence INTEGER NOT NULL REFERENCES audit (sequence),
  action_hash BLOB NOT NULL CHECK (length(action_hash) = 32),
  nonce INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  PRIMARY KEY (caller, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_requests_by_age ON session_requests (time_ms);

CREATE TABLE session_counts (
  session_key_id TEXT PRIMARY KEY REFERENCES session_keys (session_key_id),
  without_payload INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`
