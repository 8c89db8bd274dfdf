import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadClientConfig } from '../../src/config/client-config.ts'
import { coreDumpsOn } from '../../src/config/core-dumps.ts'
import { refuseUnsafeProcess } from '../../src/config/refuse-unsafe-process.ts'
import { tempDir, tempFile } from './temp-files.ts'

const dataDir = (): string => {
  const dir = join(tempDir(), 'data')
  mkdirSync(dir)
  writeFileSync(
    join(dir, 'endpoints.json'),
    '{"grpc":"127.0.0.1:1","connect":"127.0.0.1:2","socket":"/run/c.sock"}',
  )
  writeFileSync(join(dir, 'admin.key'), 'csk_admin\n', { mode: 0o600 })
  return dir
}

const load = (flags: Record<string, string>, environment: Record<string, string> = {}, cwd = '/') =>
  loadClientConfig(flags, { environment, cwd })

const keyOf = (config: ReturnType<typeof load>): string => new TextDecoder().decode(config.apiKey.reveal())

describe('finding the daemon', () => {
  it('takes socket and admin key of the data directory', () => {
    const config = load({ 'data-dir': dataDir() })
    expect(config.endpoint).toEqual({ socket: '/run/c.sock' })
    expect(keyOf(config)).toBe('csk_admin')
  })

  it('takes the data directory that the config file names', () => {
    const dir = dataDir()
    expect(load({ config: tempFile('c.toml', `data_dir = "${dir}"\n`) }).endpoint).toEqual({
      socket: '/run/c.sock',
    })
  })

  it('says that no daemon runs when endpoints.json is not there', () => {
    expect(() => load({ 'data-dir': tempDir() })).toThrow(/no daemon serves/)
  })

  it('takes a named endpoint, over TLS when an authority is given', () => {
    const key = tempFile('k', 'csk_x')
    const ca = tempFile('ca.pem', 'PEM')
    expect(load({ endpoint: 'localhost:1', 'api-key-file': key }).endpoint).toEqual({
      url: 'http://localhost:1',
      caPem: undefined,
    })
    expect(load({ endpoint: 'localhost:1', 'api-key-file': key, 'ca-file': ca }).endpoint).toEqual({
      url: 'https://localhost:1',
      caPem: 'PEM',
    })
    expect(load({ endpoint: 'unix:s.sock', 'api-key-file': key }, {}, '/a').endpoint).toEqual({
      socket: '/a/s.sock',
    })
    expect(load({ endpoint: 'unix:///s.sock', 'api-key-file': key }).endpoint).toEqual({ socket: '/s.sock' })
    for (const endpoint of ['ftp://h:1', 'http://u:p@h:1', 'http://h:1/x', '']) {
      expect(() => load({ endpoint, 'api-key-file': key })).toThrow(/--endpoint/)
    }
  })

  it('sends the key in plaintext to another machine only when asked by name', () => {
    const flags = { endpoint: 'signer.example:1', 'api-key-file': tempFile('k', 'csk_x') }
    expect(() => load(flags)).toThrow(/--allow-plaintext-beyond-loopback/)
    expect(() => load({ ...flags, endpoint: 'http://127.0.0.1.evil.example:1' })).toThrow(/plaintext/)
    load({ ...flags, 'allow-plaintext-beyond-loopback': 'true' })
    load({ ...flags, endpoint: 'https://signer.example:1' })
    load({ ...flags, endpoint: '[::1]:1' })
  })

  it('never sends the admin key of the data directory to another daemon', () => {
    expect(() => load({ endpoint: 'localhost:1', 'data-dir': dataDir() })).toThrow(/needs an API key/)
  })

  it('takes the key from a variable and warns', () => {
    const environment: Record<string, string> = { COUNTERSIGN_API_KEY: 'csk_env' }
    const config = load({ endpoint: 'localhost:1' }, environment)
    expect(keyOf(config)).toBe('csk_env')
    expect(environment).toEqual({})
    expect(config.warnings.join()).not.toContain('csk_env')
  })
})

describe('a process that could be changed from outside', () => {
  it('is refused', () => {
    expect(() => refuseUnsafeProcess({ NODE_OPTIONS: '--require x' }, [])).toThrow(/NODE_OPTIONS/)
    expect(() => refuseUnsafeProcess({}, ['--inspect-brk=0'])).toThrow(/inspect/)
    refuseUnsafeProcess({ NODE_OPTIONS: '' }, ['--disable-sigusr1'])
  })
})

describe('core dumps', () => {
  it('are read from the limits of the process', () => {
    const limits = (soft: string) =>
      tempFile('limits', `Limit  Soft Limit\nMax core file size        ${soft}  unlimited  bytes\n`)
    expect(coreDumpsOn(limits('0'))).toBe(false)
    expect(coreDumpsOn(limits('unlimited'))).toBe(true)
    expect(coreDumpsOn('/nowhere')).toBeUndefined()
  })
})
