import type { SqlParam } from './store.ts'

/** What a query asks for: `sql` goes behind WHERE, `params` are bound in the order of its question marks. */
export type Conditions = { readonly sql: string; readonly params: readonly SqlParam[] }

/**
 * All of the conditions, each written with one question mark, that have something to compare with; one at least. What is
 * compared with is bound, never part of the text: so there are as many statements to prepare as there are sets of
 * conditions, whatever is asked for.
 */
export const allOf = (conditions: { readonly [condition: string]: SqlParam | undefined }): Conditions => {
  const asked = Object.entries(conditions).flatMap(([sql, value]) => (value === undefined ? [] : [{ sql, value }]))
  return { sql: asked.map(({ sql }) => sql).join(' AND '), params: asked.map(({ value }) => value) }
}
