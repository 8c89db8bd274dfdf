/**
 * End users: who they are, how they are known again, what they signed in with, and what is under way. Rows that say whose
 * something is are under a MAC. Of secrets (refresh tokens, codes, states) there are MACs only.
 */
export const USER_TABLES = `
CREATE TABLE project_macs (
  project TEXT PRIMARY KEY REFERENCES projects (project_id),
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE end_users (
  number INTEGER PRIMARY KEY,
  project TEXT NOT NULL REFERENCES projects (project_id),
  user_id TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  UNIQUE (project, user_id)
) STRICT;

CREATE TABLE end_user_identities (
  project TEXT NOT NULL,
  method TEXT NOT NULL CHECK (method IN ('jwt', 'email', 'oidc')),
  subject TEXT NOT NULL,
  user_id TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  mac BLOB NOT NULL,
  PRIMARY KEY (project, method, subject),
  FOREIGN KEY (project, user_id) REFERENCES end_users (project, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX end_user_identities_by_user ON end_user_identities (project, user_id);

CREATE TABLE user_sessions (
  session_id TEXT PRIMARY KEY,
  project TEXT NOT NULL,
  user_id TEXT NOT NULL,
  method TEXT NOT NULL CHECK (method IN ('jwt', 'email', 'oidc')),
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'SIGNED_OUT', 'REUSED', 'EVICTED')),
  auth_ms INTEGER NOT NULL,
  expire_ms INTEGER NOT NULL,
  mac BLOB NOT NULL,
  FOREIGN KEY (project, user_id) REFERENCES end_users (project, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_sessions_by_user ON user_sessions (project, user_id, auth_ms) WHERE state = 'ACTIVE';
CREATE INDEX user_sessions_by_expiry ON user_sessions (expire_ms);

CREATE TABLE refresh_tokens (
  token_mac BLOB PRIMARY KEY CHECK (length(token_mac) = 32),
  session_id TEXT NOT NULL REFERENCES user_sessions (session_id),
  state TEXT NOT NULL CHECK (state IN ('CURRENT', 'USED')),
  expire_ms INTEGER NOT NULL,
  use_ms INTEGER,
  use_request_id TEXT NOT NULL,
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX refresh_tokens_one_current ON refresh_tokens (session_id) WHERE state = 'CURRENT';
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expire_ms);

CREATE TABLE email_codes (
  flow_id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES projects (project_id),
  email TEXT NOT NULL,
  code_mac BLOB NOT NULL CHECK (length(code_mac) = 32),
  attempts INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('OPEN', 'USED', 'SPENT')),
  create_ms INTEGER NOT NULL,
  expire_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX email_codes_by_address ON email_codes (project, email, create_ms);
CREATE INDEX email_codes_by_age ON email_codes (create_ms);

CREATE TABLE oidc_flows (
  flow_mac BLOB PRIMARY KEY CHECK (length(flow_mac) = 32),
  project TEXT NOT NULL REFERENCES projects (project_id),
  provider TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  expire_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX oidc_flows_by_expiry ON oidc_flows (expire_ms);

CREATE TABLE token_keys (
  key_id TEXT PRIMARY KEY,
  public_key BLOB NOT NULL,
  sign_from_ms INTEGER NOT NULL,
  sign_until_ms INTEGER NOT NULL,
  verify_until_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`
