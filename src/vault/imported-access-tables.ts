/**
 * The side of a delegate: RSA keys that delegated access is sealed to (private keys are secrets of the vault,
 * `delegate-key:<kid>`), what was delegated here, with its share in wallet_shares and its wallet API key, or a share that is
 * not ours, in `imported_secrets`; what was taken back, also before it came; and which webhook events were taken.
 */
export const IMPORTED_ACCESS_TABLES = `
CREATE TABLE own_delegate_keys (
  number INTEGER PRIMARY KEY,
  kid TEXT NOT NULL UNIQUE,
  public_key BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED')),
  create_ms INTEGER NOT NULL,
  retire_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;

CREATE TABLE imported_accesses (
  number INTEGER PRIMARY KEY,
  access_id BLOB NOT NULL UNIQUE CHECK (length(access_id) = 16),
  project TEXT NOT NULL REFERENCES projects (project_id),
  granting_id BLOB NOT NULL CHECK (length(granting_id) IN (0, 32)),
  key_type TEXT NOT NULL,
  address TEXT NOT NULL,
  address_key TEXT NOT NULL,
  public_key BLOB NOT NULL,
  user_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('PENDING', 'ACTIVE', 'REVOKED', 'SUSPENDED')),
  granted_ms INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  revoke_ms INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE INDEX imported_accesses_by_address ON imported_accesses (address_key, project);
CREATE INDEX imported_accesses_by_project ON imported_accesses (project, number);
CREATE INDEX imported_accesses_by_granting ON imported_accesses (granting_id, number)
  WHERE state IN ('PENDING', 'ACTIVE');

CREATE TABLE imported_secrets (
  access_id BLOB NOT NULL,
  name TEXT NOT NULL,
  record_version INTEGER NOT NULL,
  wrapped_key BLOB NOT NULL,
  nonce BLOB NOT NULL,
  ciphertext BLOB NOT NULL,
  PRIMARY KEY (access_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE access_revocations (
  project TEXT NOT NULL,
  access_id BLOB NOT NULL CHECK (length(access_id) = 16),
  sent_for BLOB NOT NULL CHECK (length(sent_for) IN (0, 32)),
  event_ms INTEGER NOT NULL,
  PRIMARY KEY (project, access_id, sent_for)
) STRICT, WITHOUT ROWID;

CREATE TABLE received_events (
  project TEXT NOT NULL,
  event_id TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  PRIMARY KEY (project, event_id)
) STRICT, WITHOUT ROWID;
`
