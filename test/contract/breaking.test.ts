/** The contract against the last landed one, and that the check can fail. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const base = mkdtempSync(join(tmpdir(), 'countersign-contract-'))
const AUDIT = 'proto/countersign/v1/audit.proto'

beforeEach(() => {
  for (const name of ['proto', 'buf.yaml']) {
    rmSync(join(base, name), { recursive: true, force: true })
    cpSync(join(root, name), join(base, name), { recursive: true })
  }
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

const judge = (): { readonly status: number | null; readonly output: string } => {
  const args = ['breaking', base, '--against', join(root, 'test/contract/landed.binpb')]
  const { status, stdout, stderr } = spawnSync(join(root, 'node_modules/.bin/buf'), args, { encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

const edit = (from: string, to: string): void => {
  const path = join(base, AUDIT)
  const text = readFileSync(path, 'utf8')
  if (!text.includes(from)) throw new Error(`${AUDIT} has no ${from}`)
  writeFileSync(path, text.replace(from, to))
}

describe('the contract', () => {
  it('breaks no client of the landed one', () => {
    expect(judge()).toEqual({ status: 0, output: '' })
  })

  it('may grow', () => {
    edit('string description = 6;', 'string description = 6;\n  string hint = 7;')
    expect(judge()).toEqual({ status: 0, output: '' })
  })

  const breaks: readonly (readonly [string, string, string, RegExp])[] = [
    ['a field that is gone', '  string description = 6;', '', /"description".*was deleted/],
    ['a field that has another name', 'string description = 6;', 'string text = 6;', /changed name from "description"/],
    ['a field of another type', 'string description = 6;', 'bytes description = 6;', /changed type/],
    ['a number that moved', 'string description = 6;', 'string description = 16;', /"description".*was deleted/],
    ['an RPC that is gone', '  rpc GetCheckpoint(GetCheckpointRequest) returns (GetCheckpointResponse);', '', /RPC "GetCheckpoint"/],
    ['an enum value that is gone', '  AUDIT_OUTCOME_REFUSED = 2;', '', /"AuditOutcome" was deleted/],
  ]
  it.each(breaks)('is refused with %s', (_what, from, to, says) => {
    edit(from, to)
    const { status, output } = judge()
    expect(output).toMatch(says)
    expect(status).toBe(100)
  })
})
