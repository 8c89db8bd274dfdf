/**
 * What the cosigner knows of delegates by itself (known-delegates.ts), and the shares that it has sealed to them and that
 * the daemon has not taken yet (forks.ts): ciphertext for somebody else.
 */
export const FORK_TABLES = `
CREATE TABLE known_delegates (
  party_id BLOB PRIMARY KEY CHECK (length(party_id) = 32),
  identity_key BLOB NOT NULL CHECK (length(identity_key) = 32),
  name TEXT NOT NULL,
  rsa_key BLOB NOT NULL,
  create_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE forks (
  wallet_id BLOB PRIMARY KEY CHECK (length(wallet_id) = 16),
  sid BLOB NOT NULL UNIQUE CHECK (length(sid) = 32),
  source_id BLOB NOT NULL CHECK (length(source_id) = 16),
  link_id BLOB NOT NULL CHECK (length(link_id) = 16),
  state TEXT NOT NULL CHECK (state IN ('PENDING', 'DECIDED')),
  message BLOB NOT NULL,
  create_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX forks_by_age ON forks (create_ms);
`
