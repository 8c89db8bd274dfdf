/** The journey of examples/grant.ts, as it is printed. */
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '../..')

const run = async (script: string): Promise<{ readonly code: number | null; readonly text: string }> => {
  const child = spawn(process.execPath, [join(root, script)], { cwd: root, env: { ...process.env, NODE_OPTIONS: '' } })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  return { code, text }
}

it('a person grants, the project signs without them, the person takes it back: by JWT, by e-mail, with the CDP SDK', async () => {
  const { code, text } = await run('examples/grant.ts')
  expect(code, text).toBe(0)
  const count = (what: string): number => text.split(what).length - 1
  expect(count('shop signs')).toBe(3)
  expect(count('shop is refused  GRANT_NOT_FOUND')).toBe(3)
  expect(count('shop is refused  GRANT_REVOKED')).toBe(3)
  expect(text).toContain('three grants, given and taken back')
}, 60_000)
