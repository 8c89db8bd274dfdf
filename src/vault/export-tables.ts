/** The daemon's note of which private keys were handed over (exports.ts). */
export const EXPORT_TABLES = `
CREATE TABLE wallet_exports (
  wallet_id BLOB PRIMARY KEY CHECK (length(wallet_id) = 16),
  export_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`
