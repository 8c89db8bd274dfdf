import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { runCli } from './run-cli.ts'

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'countersign-cli-'))
})
afterAll(() => {
  rmSync(dir, { recursive: true, force: true })
  vi.unstubAllEnvs()
})

describe('wrong usage', () => {
  it.each([
    [['crate']],
    [['wallet']],
    [['wallet', 'create']],
    [['wallet', 'create', 'alice', '--key-type', 'rsa']],
    [['wallet', 'create', 'alice', '--request-id', 'x']],
    [['wallet', 'sign-message', 'alice']],
    [['wallet', 'sign-message', 'alice', 'a', '--data-hex', '00']],
    [['wallet', 'sign-message', 'alice', '--data-hex', '0']],
    [['wallet', 'sign-message', 'alice', '--digest-hex', 'zz']],
    [['wallet', 'send', 'alice']],
    [['wallet', 'send', 'alice', 'ethereum']],
    [['wallet', 'send', 'alice', 'ethereum', '--to', '0x1', '--cancel', 'snd_1']],
    [['wallet', 'send', 'alice', 'ethereum', '--to', '0x1', '--value', '1.5']],
    [['wallet', 'list', '--limit', '-1']],
    [['wallet', 'list', 'extra']],
    [['api-key', 'create']],
    [['api-key', 'create', '--permission', 'admin', '--expires-in-days', '0']],
    [['api-key', 'create', '--permissions-file', '/nowhere']],
    [['api-key', 'rotate', 'key_0123456789abcdef', '--overlap-seconds', '604801']],
    [['webhook', 'create']],
    [['webhook', 'create', 'https://a.example/', '--format', 'xml']],
    [['webhook', 'rotate', 'whk_0', '--overlap-seconds', '604801']],
    [['webhook', 'deliveries', 'whk_0', '--state', 'lost']],
    [['webhook', 'redeliver', 'whk_0']],
    [['audit', 'list', '--after', '-3']],
    [['freeze']],
    [['freeze', 'wallet']],
    [['freeze', 'everything', 'x']],
    [['freeze', 'moon', 'x']],
    [['serve', '--grpc-listen', 'x']],
    [['serve', '--unknown']],
    [['config', 'check', '--log-level', 'loud']],
    [['completion', 'powershell']],
  ])('%j ends with exit code 2, one complaint and no result', async (argv) => {
    const { exitCode, out, notes } = await runCli(...argv)
    expect(exitCode).toBe(2)
    expect(out).toBe('')
    expect(notes).not.toBe('')
    expect(notes).not.toMatch(/\n\s+at /)
  })

  it('offers the command that was meant', async () => {
    expect((await runCli('wallet', 'crate')).notes).toContain('Did you mean create?')
  })

  it('takes no secret as an argument', async () => {
    const { out } = await runCli('help', 'serve')
    expect(out).toContain('--root-key-passphrase-file <path>')
    expect(out).not.toMatch(/--root-key-passphrase </)
    expect((await runCli('status', '--api-key', 'csk_x')).exitCode).toBe(2)
  })

  it('shows help and the version as results', async () => {
    expect(await runCli('--help')).toMatchObject({ exitCode: 0, notes: '' })
    expect((await runCli('--version')).out).toMatch(/^\d+\.\d+\.\d+$/)
  })
})

describe('a daemon that cannot be reached', () => {
  it('is one line and exit code 1', async () => {
    const key = join(dir, 'key')
    writeFileSync(key, 'csk_test\n', { mode: 0o600 })
    const status = (endpoint: string) => runCli('status', '--endpoint', endpoint, '--api-key-file', key)
    const line = (code: string) =>
      `countersign: the daemon cannot be reached (${code}): is it running, and is the address right?`
    expect(await status('127.0.0.1:1')).toEqual({ exitCode: 1, out: '', notes: line('ECONNREFUSED') })
    expect(await runCli('status', '--data-dir', dir)).toEqual({
      exitCode: 1,
      out: '',
      notes: `countersign: no daemon serves from ${dir}: start one, or give --endpoint`,
    })
    expect(await status(`unix:${dir}/none.sock`)).toEqual({ exitCode: 1, out: '', notes: line('ENOENT') })
  })
})

describe('config check', () => {
  it('prints every setting and its source, without secrets', async () => {
    const file = join(dir, 'c.toml')
    const passphrase = join(dir, 'p')
    writeFileSync(passphrase, 'correct horse\n', { mode: 0o600 })
    writeFileSync(file, 'log_level = "warn"\nroot_key = "passphrase:"\nroot_key_passphrase_file = "p"\n')
    const { exitCode, out } = await runCli('config', 'check', '--config', file, '--grpc-listen', '127.0.0.1:0')
    expect(exitCode).toBe(0)
    expect(out).toMatch(/^log-level +warn +file$/m)
    expect(out).toMatch(/^grpc-listen +127\.0\.0\.1:0 +flag$/m)
    expect(out).toMatch(/^connect-listen +127\.0\.0\.1:50052 +default$/m)
    expect(out).toMatch(/^root-key +passphrase: +file$/m)
    expect(out).toMatch(/^root-key-passphrase +set$/m)
    expect(out).toMatch(/^cosigner-root-key-passphrase +not set$/m)
    expect(out).not.toContain('horse')
  })

  it('prints the same as JSON', async () => {
    const { out } = await runCli('config', 'check', '--json')
    const { settings } = JSON.parse(out) as { settings: { name: string; value: string; source: string }[] }
    expect(settings).toContainEqual({ name: 'log-level', value: 'info', source: 'default' })
  })

  it('names the place of a mistake in the file', async () => {
    const file = join(dir, 'bad.toml')
    writeFileSync(file, 'log_level = "info"\nlog_levle = "info"\n')
    expect(await runCli('config', 'check', '--config', file)).toEqual({
      exitCode: 2,
      out: '',
      notes: `countersign: ${file}:2:1: unknown key log_levle`,
    })
  })

  it('warns of a secret in a variable, on stderr and without it', async () => {
    vi.stubEnv('COUNTERSIGN_ROOT_KEY_PASSPHRASE', 'correct horse')
    const { exitCode, out, notes } = await runCli('config', 'check')
    expect(exitCode).toBe(0)
    expect(notes).toContain('warning: COUNTERSIGN_ROOT_KEY_PASSPHRASE holds a secret')
    expect(out + notes).not.toContain('horse')
    expect(process.env.COUNTERSIGN_ROOT_KEY_PASSPHRASE).toBeUndefined()
  })
})

describe('a process that its environment could change', () => {
  it('does not serve', async () => {
    vi.stubEnv('NODE_OPTIONS', '--require ./x.js')
    for (const command of ['serve', 'dev']) {
      const { exitCode, notes } = await runCli(command, '--data-dir', join(dir, 'never'))
      expect(exitCode).toBe(2)
      expect(notes).toMatch(/^countersign: NODE_OPTIONS: must not be set/)
    }
    vi.stubEnv('NODE_OPTIONS', undefined)
  })
})
