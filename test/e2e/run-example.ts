/** One of examples/, as a process of its own: how it ended and what it printed. */
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

export const runExample = async (script: string): Promise<{ readonly code: number | null; readonly text: string }> => {
  const child = spawn(process.execPath, [join(root, script)], { cwd: root, env: { ...process.env, NODE_OPTIONS: '' } })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  return { code, text }
}
