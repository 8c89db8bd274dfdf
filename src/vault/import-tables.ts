/** Imports that were taken in, at either party: none is taken twice (used-imports.ts). */
export const IMPORT_TABLES = `
CREATE TABLE used_imports (
  import_id BLOB PRIMARY KEY CHECK (length(import_id) = 16),
  wallet_id BLOB NOT NULL CHECK (length(wallet_id) = 16)
) STRICT, WITHOUT ROWID;
`
