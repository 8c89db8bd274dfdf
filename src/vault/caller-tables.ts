/** What callers prove themselves with beside API keys, and what proved itself once already. */
export const CALLER_TABLES = `
CREATE TABLE wallet_secrets (
  number INTEGER PRIMARY KEY,
  project TEXT NOT NULL REFERENCES projects (project_id),
  user_id TEXT NOT NULL,
  wallet_secret_id TEXT NOT NULL,
  public_key BLOB NOT NULL,
  valid_until_ms INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX wallet_secrets_by_user ON wallet_secrets (project, user_id, wallet_secret_id);

CREATE TABLE used_token_ids (
  scope BLOB NOT NULL CHECK (length(scope) = 32),
  token_id TEXT NOT NULL,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (scope, token_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_token_ids_by_end ON used_token_ids (until_ms);
`
