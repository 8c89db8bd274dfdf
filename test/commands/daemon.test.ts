/** The command line against a real daemon: started by the wrapper, called as its own start-up message says. */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rootKeyProviders } from '../../src/commands/root-keys.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { decodeLinkRecord, encodeLinkRecord } from '../../src/engine/dkls23/records.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { listLinks, saveLink } from '../../src/vault/links.ts'
import { runCli } from './run-cli.ts'

const root = resolve(import.meta.dirname, '..', '..')
const START_TIMEOUT_MS = 60_000

type Started = { readonly child: ChildProcess; readonly out: () => string; readonly err: () => string }

const start = (...argv: string[]): Started => {
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, [join(root, 'bin', 'countersign.js'), ...argv], { cwd: root, env })
  let out = ''
  let err = ''
  child.stdout.on('data', (bytes: Buffer) => void (out += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => void (err += bytes.toString()))
  return { child, out: () => out, err: () => err }
}

const serving = async ({ child, err }: Started, dataDir: string): Promise<void> => {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!existsSync(join(dataDir, 'endpoints.json'))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`the daemon did not start: ${err()}`)
    await sleep(50)
  }
  await sleep(50)
}

const stopped = async ({ child }: Started, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
  if (child.exitCode !== null) return child.exitCode
  const exit = once(child, 'exit')
  child.kill(signal)
  const [code] = (await exit) as [number | null]
  return code
}

const anyPorts = ['--grpc-listen', '127.0.0.1:0', '--connect-listen', '127.0.0.1:0']

let dir = ''
let dataDir = ''
let daemon: Started
const cli = (...argv: string[]) => runCli(...argv, '--data-dir', dataDir)

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cs-'))
  dataDir = join(dir, 'd')
  daemon = start('dev', '--data-dir', dataDir, ...anyPorts)
  await serving(daemon, dataDir)
})
afterAll(async () => {
  await stopped(daemon)
  rmSync(dir, { recursive: true, force: true })
})

const shell = async (command: string): Promise<string> => {
  const path = `${join(root, 'node_modules', '.bin')}:${process.env.PATH}`
  const options = { cwd: root, env: { ...process.env, PATH: path } }
  const { stdout } = await promisify(execFile)('sh', ['-c', command], options)
  return stdout
}

const hasCurl = (): boolean => spawnSync('curl', ['--version']).status === 0

const runTypeScript = async (snippet: string): Promise<string> => {
  const file = join(dir, 'first.ts')
  writeFileSync(file, snippet.replaceAll("'./src/", `'${root}/src/`).replaceAll("'viem'", `'${viemPath}'`))
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: root })
  return stdout
}

const viemPath = import.meta.resolve('viem')

describe('the first calls of the README', () => {
  /** The code blocks of one section, aimed at this daemon instead of the one on the default ports. */
  const blocks = (language: string): string[] => {
    const { grpc, connect } = JSON.parse(readFileSync(join(dataDir, 'endpoints.json'), 'utf8')) as {
      grpc: string
      connect: string
    }
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    const section = readme.slice(readme.indexOf('## The first call'), readme.indexOf('## In production'))
    return [...section.matchAll(/```(\w+)\n([^]*?)```/g)]
      .filter((match) => match[1] === language)
      .map((match) =>
        (match[2] ?? '')
          .replaceAll('.countersign/', `${dataDir}/`)
          .replaceAll('127.0.0.1:50051', grpc)
          .replaceAll('127.0.0.1:50052', connect)
          .replaceAll('"alice"', '"zoe"')
          .replaceAll("'alice'", "'zoe'"),
      )
  }

  it('create a wallet, sign over the socket, read it as JSON, sign as a viem account', async () => {
    const [create = '', overSocket = '', overJson = ''] = blocks('sh')
    expect(JSON.parse(await shell(create))).toMatchObject({ wallet: { userId: 'zoe' } })
    expect(await shell(overSocket)).toMatch(/0x[0-9a-f]{130}/)
    expect(overJson).toMatch(/^curl /)
    if (hasCurl()) expect(JSON.parse(await shell(overJson))).toMatchObject({ wallet: { userId: 'zoe' } })
    expect(await runTypeScript(blocks('ts')[0] ?? '')).toBe('true\n')
  })
})

describe('the first call that dev prints', () => {
  it('works by copy and paste: buf over TCP, buf over the socket, the command line', async () => {
    const lines = daemon.out().replaceAll('\\\n', ' ').split('\n')
    const commands = lines.map((line) => line.trim()).filter((line) => /^(npx|npm) /.test(line))
    expect(commands).toHaveLength(3)
    const [create = '', overSocket = '', overCli = ''] = commands
    expect(JSON.parse(await shell(create))).toMatchObject({ wallet: { userId: 'alice' } })
    const { signature } = JSON.parse(await shell(overSocket)) as { signature: { hex: string } }
    expect(signature.hex).toMatch(/^0x[0-9a-f]{130}$/)
    expect(await shell(overCli)).toMatch(/^signature +0x[0-9a-f]{130}$/m)
  })

  it('works by copy and paste: TypeScript', async () => {
    const text = daemon.out()
    const snippet = text.slice(text.indexOf('  import { readFileSync }')).replaceAll(/^ {2}/gm, '')
    const stdout = await runTypeScript(snippet)
    expect(stdout).toMatch(/^0x[0-9a-f]{130}\n$/)
  })

  it('shows no key', () => {
    const secret = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim()
    expect(daemon.out() + daemon.err()).not.toContain(secret)
    expect(daemon.out()).toContain('admin.key')
  })
})

describe('commands against the daemon', () => {
  it('create, find and list wallets', async () => {
    const created = await cli('wallet', 'create', 'bob', '--label', 'desk 1', '--json')
    expect(created).toMatchObject({ exitCode: 0, notes: '' })
    const wallet = JSON.parse(created.out) as { walletId: string; address: string }
    for (const reference of [wallet.walletId, wallet.address, wallet.address.toLowerCase(), 'bob']) {
      expect((await cli('wallet', 'get', reference)).out).toContain(wallet.walletId)
    }
    expect((await cli('wallet', 'list', '--user-id', 'bob')).out).toMatch(/^wal_\S+ +0x\S+ +bob +desk 1 +active/m)
    const again = await cli('wallet', 'create', 'bob', '--label', 'desk 1')
    expect(again).toEqual({
      exitCode: 1,
      out: '',
      notes: `countersign: the wallet exists: ${wallet.walletId} (WALLET_ALREADY_EXISTS)`,
    })
    expect((await cli('wallet', 'get', 'nobody')).notes).toBe('countersign: no such wallet (WALLET_NOT_FOUND)')
  })

  it('repeat safely under one request id', async () => {
    const requestId = '6f1f3c1e-54a6-4a0e-9c39-0f8f7c6b2a11'
    const first = await cli('wallet', 'create', 'carol', '--request-id', requestId, '--json')
    expect(await cli('wallet', 'create', 'carol', '--request-id', requestId, '--json')).toEqual(first)
    const other = await cli('wallet', 'create', 'dave', '--request-id', requestId)
    expect(other.notes).toContain('(IDEMPOTENCY_MISMATCH)')
  })

  it('make a narrowed key whose secret goes into a file, use it, rotate and revoke it', async () => {
    const secretFile = join(dir, 'reader.key')
    const create = ['api-key', 'create', '--name', 'reader', '--permission', 'wallet:read']
    const made = await cli(...create, '--secret-file', secretFile, '--json')
    expect(made.exitCode).toBe(0)
    const secret = readFileSync(secretFile, 'utf8').trim()
    expect(made.out + made.notes).not.toContain(secret)
    const { apiKey } = JSON.parse(made.out) as { apiKey: { apiKeyId: string } }
    const withKey = (...argv: string[]) => cli(...argv, '--api-key-file', secretFile)
    expect((await withKey('wallet', 'list')).exitCode).toBe(0)
    const refused = await withKey('wallet', 'sign-message', 'bob', 'x')
    expect(refused.exitCode).toBe(1)
    expect(refused.notes).toContain('(PERMISSION_MISSING)')
    expect((await withKey('status')).exitCode).toBe(1)
    expect((await cli('api-key', 'get', apiKey.apiKeyId)).out).toContain('wallet:read')
    expect((await cli('api-key', 'list')).out).toContain(apiKey.apiKeyId)
    expect(
      (await cli('api-key', 'rotate', apiKey.apiKeyId, '--secret-file', join(dir, 'second.key'))).exitCode,
    ).toBe(0)
    expect((await withKey('wallet', 'list')).notes).toContain('(API_KEY_INVALID)')
    expect((await cli('api-key', 'revoke', apiKey.apiKeyId)).out).toMatch(/^state +revoked$/m)
    const second = await cli('wallet', 'list', '--api-key-file', join(dir, 'second.key'))
    expect(second.notes).toContain('(API_KEY_INVALID)')
  })

  it('refuse to make a key whose secret file exists', async () => {
    const taken = join(dir, 'taken')
    writeFileSync(taken, 'mine')
    const before = (await cli('api-key', 'list')).out
    const refused = await cli('api-key', 'create', '--permission', 'wallet:read', '--secret-file', taken)
    expect(refused).toMatchObject({ exitCode: 1, out: '' })
    expect(readFileSync(taken, 'utf8')).toBe('mine')
    expect((await cli('api-key', 'list')).out).toBe(before)
  })

  it('make a webhook whose secret goes into a file, look at it, turn it off and on, rotate and delete it', async () => {
    const secretFile = join(dir, 'hook.secret')
    const made = await cli('webhook', 'create', 'https://receiver.example/', '--event', 'wallet.*', '--secret-file', secretFile, '--json')
    expect(made.exitCode).toBe(0)
    const secret = readFileSync(secretFile, 'utf8').trim()
    expect(secret).toMatch(/^whsec_/)
    expect(made.out + made.notes).not.toContain(secret)
    const { webhookId } = (JSON.parse(made.out) as { webhook: { webhookId: string } }).webhook
    expect((await cli('webhook', 'disable', webhookId)).out).toMatch(/^state +disabled$/m)
    await cli('wallet', 'create', 'hooked')
    expect((await cli('webhook', 'list')).out).toContain(`${webhookId}        countersign  disabled  wallet.*  https://receiver.example/`)
    const [, row] = (await cli('webhook', 'deliveries', webhookId, '--state', 'pending')).out.split('\n')
    expect(row).toContain('wallet.created')
    const [eventId = ''] = row?.split(' ') ?? []
    expect((await cli('webhook', 'redeliver', webhookId, eventId)).out).toContain(eventId)
    const rotated = await cli('webhook', 'rotate', webhookId, '--overlap-seconds', '60')
    expect(rotated.out).toMatch(/^secret +whsec_/m)
    expect((await cli('webhook', 'list', '--project', 'nowhere')).notes).toContain('(PROJECT_NOT_FOUND)')
    expect((await cli('webhook', 'create', 'https://127.0.0.1/')).notes).toContain('(WEBHOOK_URL_REFUSED)')
    expect((await cli('webhook', 'delete', webhookId)).out).toContain('is deleted')
    expect((await cli('webhook', 'enable', webhookId)).notes).toContain('(WEBHOOK_NOT_FOUND)')
  })

  it('freeze and unfreeze', async () => {
    await cli('wallet', 'create', 'erin')
    expect((await cli('freeze', 'everything', '--note', 'drill')).out).toMatch(/^frozen +everything$/m)
    expect((await cli('wallet', 'sign-message', 'erin', 'x')).notes).toContain('(FROZEN)')
    expect((await cli('status')).out).toContain('drill')
    expect((await cli('unfreeze', 'everything')).exitCode).toBe(0)
    expect((await cli('unfreeze', 'everything')).notes).toContain('(FREEZE_NOT_FOUND)')
    expect((await cli('wallet', 'sign-message', 'erin', 'x')).exitCode).toBe(0)
  })

  it('show status, links and the audit chain', async () => {
    expect((await cli('status')).out).toMatch(/split at rest, one host/)
    expect((await cli('cosigner', 'status')).out).toMatch(/ready/)
    const events = JSON.parse((await cli('audit', 'list', '--limit', '0', '--json')).out) as { sequence: string }[]
    expect(events.map(({ sequence }) => Number(sequence))).toEqual(events.map((_, index) => index + 1))
    expect((await cli('audit', 'verify', '--online')).exitCode).toBe(0)
    expect((await cli('audit', 'verify')).notes).toContain('(VAULT_LOCKED)')
  })
})

describe('a second daemon', () => {
  it('on the same data is refused in one line', async () => {
    const second = start('serve', '--data-dir', dataDir, ...anyPorts, '--socket', join(dir, 'other.sock'))
    const [code] = (await once(second.child, 'exit')) as [number]
    expect(code).toBe(1)
    expect(second.err()).toContain(`countersign: another daemon holds ${dataDir} (VAULT_LOCKED)`)
    expect((await cli('status')).exitCode).toBe(0)
  })
})

describe('npm start', () => {
  it('hands its signals to the daemon', async () => {
    const other = join(dir, 'n')
    const { NODE_OPTIONS: _, ...env } = process.env
    const argv = ['start', '--silent', '--', '--data-dir', other, ...anyPorts]
    const child = spawn('npm', argv, { cwd: root, env, stdio: 'ignore' })
    const started: Started = { child, out: () => '', err: () => '' }
    await serving(started, other)
    await stopped(started)
    expect(existsSync(join(other, 'endpoints.json'))).toBe(false)
    expect((await runCli('audit', 'verify', '--data-dir', other)).exitCode).toBe(0)
  })
})

describe('a burned link', () => {
  const burn = async (target: string): Promise<void> => {
    const { config, secrets } = loadConfig({ 'data-dir': target }, { environment: {}, cwd: dir })
    const providers = rootKeyProviders(config, secrets)
    const nowMs = Date.now()
    const daemonVault = await openDaemonVault({
      path: join(target, 'vault.db'),
      provider: providers.daemon,
      nowMs,
    })
    const path = join(target, 'cosigner.db')
    const cosignerVault = await openCosignerVault({ path, provider: providers.cosigner, nowMs })
    for (const vault of [daemonVault, cosignerVault]) {
      await vault.commit((tx) => {
        for (const { control } of listLinks(tx)) {
          saveLink(tx, encodeLinkRecord({ ...decodeLinkRecord(control), state: 'BURNED', burns: 1 }), nowMs)
        }
      })
      await vault.close()
    }
  }

  it('signs nothing until an operator relinks, and then the same wallet signs', async () => {
    const other = mkdtempSync(join(dir, 'b'))
    const dev = async (): Promise<Started> => {
      const started = start('dev', '--data-dir', other, ...anyPorts)
      await serving(started, other)
      return started
    }
    const at = (...argv: string[]) => runCli(...argv, '--data-dir', other)
    const first = await dev()
    expect((await at('wallet', 'create', 'alice')).exitCode).toBe(0)
    expect(await stopped(first)).toBe(0)
    await burn(other)
    const second = await dev()
    expect((await at('wallet', 'sign-message', 'alice', 'x')).notes).toContain('(LINK_BURNED)')
    const status = await at('cosigner', 'status')
    expect(status).toMatchObject({ exitCode: 1, out: expect.stringMatching(/burned/) as string })
    expect(status.notes).toContain('countersign cosigner relink')
    expect((await at('cosigner', 'relink')).notes).toContain('(VAULT_LOCKED)')
    expect(await stopped(second)).toBe(0)
    expect((await at('cosigner', 'relink')).exitCode).toBe(0)
    const third = await dev()
    expect((await at('wallet', 'sign-message', 'alice', 'x')).out).toMatch(/^signature +0x/)
    // Its links come back one after the other.
    await expect.poll(async () => (await at('cosigner', 'status')).exitCode, { timeout: 20_000 }).toBe(0)
    expect(await stopped(third)).toBe(0)
    expect((await at('audit', 'verify')).exitCode).toBe(0)
  })
})

describe('serve', () => {
  it('never makes a vault', async () => {
    const other = join(dir, 'none')
    const started = start('serve', '--data-dir', other, ...anyPorts)
    const [code] = (await once(started.child, 'exit')) as [number]
    expect(code).toBe(1)
    expect(started.err()).toContain('(VAULT_MISSING)')
    expect(existsSync(other)).toBe(false)
  })

  it('runs what init made, and stops at SIGTERM and SIGINT with exit code 0', async () => {
    const other = join(dir, 'p')
    expect((await runCli('init', '--data-dir', other)).exitCode).toBe(0)
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const started = start('serve', '--data-dir', other, ...anyPorts)
      await serving(started, other)
      expect((await runCli('status', '--data-dir', other)).exitCode).toBe(0)
      expect(await stopped(started, signal)).toBe(0)
      expect(existsSync(join(other, 'endpoints.json'))).toBe(false)
      expect(existsSync(join(other, 'countersign.sock'))).toBe(false)
    }
    expect((await runCli('audit', 'verify', '--data-dir', other)).exitCode).toBe(0)
  })
})
