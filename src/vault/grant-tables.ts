/** What end users have granted their project. A row stays when its grant has ended, so that its end can be told. */
export const GRANT_TABLES = `
CREATE TABLE grants (
  number INTEGER PRIMARY KEY,
  grant_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  user_id TEXT NOT NULL,
  address TEXT NOT NULL,
  address_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'REVOKED', 'EXPIRED')),
  expire_ms INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  end_ms INTEGER,
  mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX grants_one_active ON grants (project, user_id, address_key) WHERE state = 'ACTIVE';
CREATE INDEX grants_by_scope ON grants (project, user_id, address_key, number);
CREATE INDEX grants_by_user ON grants (project, user_id, number);
CREATE INDEX grants_by_project ON grants (project, number);
CREATE INDEX grants_by_expiry ON grants (expire_ms) WHERE state = 'ACTIVE';
`
