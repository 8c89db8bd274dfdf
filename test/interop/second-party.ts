import assert from 'node:assert/strict'
import { join } from 'node:path'
import { PYTHON } from './build-clients.ts'
import type { Checks } from './checks.ts'
import { runProgram } from './run-program.ts'

const SCRIPT = join(import.meta.dirname, 'peer.py')
const LIMIT_MS = 600_000
const RESULT = /^(ok|FAIL) +(.+)$/

/** Runs the protocol's second implementation against `engine:peer`, in both roles; each of its checks is one of ours. */
export const judgeSecondParty = async (checks: Checks): Promise<void> => {
  const { code, stdout, stderr } = await runProgram(PYTHON, [SCRIPT], { timeoutMs: LIMIT_MS })
  const lines = stdout.split('\n')
  for (const [at, line] of lines.entries()) {
    const [, verdict, name] = RESULT.exec(line) ?? []
    if (name === undefined) continue
    await checks.check(`protocol in Python, ${name}`, () => assert.equal(verdict, 'ok', lines[at + 1]?.trim() ?? name))
  }
  assert.equal(code, 0, `peer.py ended with ${code}\n${lines.at(-2) ?? ''}\n${stderr}`)
}
