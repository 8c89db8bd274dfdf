import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCli } from './run-cli.ts'

const hasShell = (shell: string): boolean => {
  try {
    execFileSync(shell, ['-c', 'true'])
    return true
  } catch {
    return false
  }
}

/** Sources the script in a real bash and asks for the words after `line`. */
const completeInBash = async (line: string): Promise<string[]> => {
  const { out } = await runCli('completion', 'bash')
  const words = line.split(' ')
  const script = `${out}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${words.length - 1}
_countersign
printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' }).trim().split('\n')
}

describe.runIf(hasShell('bash'))('bash completion', () => {
  it('offers commands, then subcommands, then flags', async () => {
    expect(await completeInBash('countersign wal')).toEqual(['wallet'])
    expect(await completeInBash('countersign wallet ')).toEqual(expect.arrayContaining(['create', 'get', 'list']))
    expect(await completeInBash('countersign wallet ')).not.toContain('revoke')
    expect(await completeInBash('countersign wallet create --key')).toEqual(['--key-type'])
    expect(await completeInBash('countersign serve --grpc')).toEqual(['--grpc-listen'])
    expect(await completeInBash('countersign api-key r')).toEqual(['rotate', 'revoke'])
  })

  it('is not led astray by arguments that are named like commands', async () => {
    expect(await completeInBash('countersign wallet get --endpoint audit --js')).toEqual(['--json'])
  })
})

describe.each(['bash', 'zsh', 'fish'])('the %s script', (shell) => {
  it('names every command and holds no unfilled value', async () => {
    const { exitCode, out } = await runCli('completion', shell)
    expect(exitCode).toBe(0)
    for (const name of [
      'dev',
      'init',
      'serve',
      'wallet',
      'refresh',
      'sign-message',
      'api-key',
      'webhook',
      'redeliver',
      'audit',
      'relink',
      'completion',
    ]) {
      expect(out).toContain(name)
    }
    expect(out).not.toMatch(/undefined|\[object/)
  })

  it.runIf(hasShell(shell))('parses', async () => {
    const { out } = await runCli('completion', shell)
    const dir = mkdtempSync(join(tmpdir(), 'countersign-completion-'))
    const script = join(dir, 'script')
    writeFileSync(script, out)
    execFileSync(shell, ['-n', script])
    rmSync(dir, { recursive: true })
  })
})
