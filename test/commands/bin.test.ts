import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '..', '..')
const bin = join(root, 'bin', 'countersign.js')

/** A Node older than the pinned one, where the machine has one; the wrapper is plain enough for it. */
const olderNode = (): string | undefined =>
  ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
    try {
      return Number(execFileSync(path, ['--version'], { encoding: 'utf8' }).slice(1).split('.')[0]) < 26
    } catch {
      return false
    }
  })

describe('bin/countersign.js', () => {
  let dir = ''
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'countersign-bin-'))
    mkdirSync(join(dir, 'bin'))
    mkdirSync(join(dir, 'src'))
    mkdirSync(join(dir, 'node_modules', '.bin'), { recursive: true })
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
    cpSync(bin, join(dir, 'bin', 'countersign.js'))
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  const run = (node: string, script: string, ...argv: string[]) =>
    spawnSync(node, [script, ...argv], { encoding: 'utf8', env: { PATH: process.env.PATH } })

  it('runs the command line and passes its exit code on', () => {
    expect(run(process.execPath, bin, '--version')).toMatchObject({ status: 0, stderr: '' })
    expect(run(process.execPath, bin, 'crate').status).toBe(2)
  })

  it.runIf(olderNode() !== undefined)('runs on the pinned Node when an older one starts it', () => {
    expect(run(olderNode() ?? '', bin, '--version')).toMatchObject({ status: 0, stderr: '' })
  })

  it('says what is missing when there is no pinned Node and the one at hand is too old', () => {
    const old = join(dir, 'old.mjs')
    const versions = `Object.defineProperty(process, 'versions', {value: {...process.versions, node: '20.0.0'}})`
    writeFileSync(old, `${versions}; await import('./bin/countersign.js')`)
    const { status, stderr } = run(process.execPath, old)
    expect(status).toBe(1)
    expect(stderr).toContain('run npm ci')
  })

  it('starts a hardened process, passes signals on and the exit code back', async () => {
    symlinkSync(process.execPath, join(dir, 'node_modules', '.bin', 'node'))
    writeFileSync(
      join(dir, 'src', 'main.ts'),
      `process.on('SIGTERM', () => process.exit(7))
setInterval(() => {}, 1000)
console.log(JSON.stringify(process.execArgv))`,
    )
    const child = spawn(process.execPath, [join(dir, 'bin', 'countersign.js')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    expect(JSON.parse(line.toString())).toEqual(
      expect.arrayContaining(['--disable-sigusr1', '--report-exclude-env', '--disable-proto=throw', '--max-semi-space-size=8']),
    )
    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).toBe(7)
  })
})
