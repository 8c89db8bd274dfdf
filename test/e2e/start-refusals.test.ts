/** Starts that must not happen: each ends with one line that says why, exit code 1, and leaves the data as it was. */
import Database from 'better-sqlite3'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { connect, newKey, newWallet, outcomeOf, reasonOf } from './callers.ts'
import { signAs } from './signing-calls.ts'
import { type CliRun, makeDataDir, runCli, startDaemon } from './start-daemon.ts'

/** Each restart takes a second, and several on a machine with other work. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const base = makeDataDir()
/** A stopped daemon's data with two wallets that have signed, and an older copy of it. */
const good = join(base, 'good', 'data')
const older = join(base, 'older')

let count = 0
/** A copy of the good data in a place of its own. */
const copy = (): string => {
  const dir = join(base, `copy-${count++}`)
  cpSync(good, dir, { recursive: true })
  return dir
}

beforeAll(async () => {
  const root = join(base, 'good')
  for (const round of [0, 1]) {
    const daemon = await startDaemon({ dataDir: root, keepData: true })
    const client = connect(daemon, daemon.adminKey)
    await newWallet(client, `user-${round}`)
    await signAs('SignMessage text', client, { wallet: `user-${round}` })
    if (round === 1) {
      for (const userId of ['altered', 'swapped', 'renamed']) await newWallet(client, userId)
      writeFileSync(join(base, 'reader.json'), JSON.stringify(await newKey(client, [{ name: 'wallet:read' }])))
    }
    client.close()
    await daemon.kill('SIGTERM')
    if (round === 0) cpSync(good, older, { recursive: true })
  }
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

const ANY_PORTS = ['--grpc-listen', '127.0.0.1:0', '--connect-listen', '127.0.0.1:0']
const serve = (dataDir: string, ...args: readonly string[]) =>
  runCli(['serve', '--data-dir', dataDir, ...ANY_PORTS, ...args])

/** What must not change: both vaults, both root keys, the admin key. */
const fingerprint = (dir: string): string[] =>
  readdirSync(dir)
    .filter((name) => /\.(db|key)$/.test(name))
    .sort()
    .map((name) => `${name} ${createHash('sha256').update(readFileSync(join(dir, name))).digest('hex')}`)

const expectRefusal = ({ code, stdout, stderr }: CliRun, reason: string, words: RegExp = /./): void => {
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  expect(lines, stderr).toHaveLength(1)
  expect(lines[0]).toMatch(/^countersign: /)
  expect(lines[0]).toContain(`(${reason})`)
  expect(lines[0]).toMatch(words)
  expect(code).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).not.toMatch(/\bat .*\.ts:\d+|node:internal|"stack"/)
}

/** Changes rows as somebody with the file could, past the triggers that guard against the program's own mistakes. */
const tamper = (path: string, ...statements: readonly string[]): void => {
  const db = new Database(path)
  const triggers = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`).all() as { name: string; sql: string }[]
  for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
  for (const statement of statements) expect(db.prepare(statement).run().changes, statement).toBeGreaterThan(0)
  for (const { sql } of triggers) db.exec(sql)
  db.close()
}

const walletIdOf = (userId: string) => `(SELECT wallet_id FROM wallets WHERE user_id = '${userId}')`

describe('the daemon vault', () => {
  it('missing: serve makes none', async () => {
    const dir = join(base, 'nothing')
    expectRefusal(await serve(dir), 'VAULT_MISSING', /vault\.db/)
    expect(existsSync(dir)).toBe(false)
  })

  it('present: init makes no second one', async () => {
    const dir = copy()
    const before = fingerprint(dir)
    expectRefusal(await runCli(['init', '--data-dir', dir]), 'VAULT_EXISTS')
    expect(fingerprint(dir)).toEqual(before)
  })

  const damages: readonly (readonly [string, string, (dir: string) => void])[] = [
    ['cut short', 'VAULT_CORRUPT', (dir) => {
      const path = join(dir, 'vault.db')
      writeFileSync(path, readFileSync(path).subarray(0, 20_000))
    }],
    ['not a database', 'VAULT_CORRUPT', (dir) => writeFileSync(join(dir, 'vault.db'), Buffer.alloc(8_192, 'x'))],
    ['the cosigner\'s file', 'VAULT_CORRUPT', (dir) => cpSync(join(dir, 'cosigner.db'), join(dir, 'vault.db'))],
    ['of a newer version', 'VAULT_TOO_NEW', (dir) => {
      const db = new Database(join(dir, 'vault.db'))
      db.pragma('user_version = 99')
      db.close()
    }],
  ]
  it.each(damages)('%s is refused: %s', async (_name, reason, damage) => {
    const dir = copy()
    damage(dir)
    const before = fingerprint(dir)
    expectRefusal(await serve(dir), reason)
    expect(fingerprint(dir)).toEqual(before)
    expect(existsSync(join(dir, 'endpoints.json'))).toBe(false)
  })

  it('with a row altered or swapped: what needs the row is refused, the rest goes on', async () => {
    const root = join(base, 'rows')
    cpSync(good, join(root, 'data'), { recursive: true })
    const { secret } = JSON.parse(readFileSync(join(base, 'reader.json'), 'utf8')) as { secret: string }
    const path = join(root, 'data', 'vault.db')
    const cells = ['header', 'wrapped_key', 'nonce', 'ciphertext']
    const swapped = cells.map((cell) => `o.${cell}`).join()
    tamper(
      path,
      `UPDATE wallet_shares SET ciphertext = zeroblob(length(ciphertext)) WHERE wallet_id = ${walletIdOf('altered')}`,
      `UPDATE wallet_shares SET (${cells.join()}) = (SELECT ${swapped} FROM wallet_shares o
         WHERE o.wallet_id = ${walletIdOf('user-1')}) WHERE wallet_id = ${walletIdOf('swapped')}`,
      `UPDATE wallets SET user_id = 'mallory' WHERE user_id = 'renamed'`,
      `UPDATE api_keys SET permissions = replace(permissions, 'wallet:read', 'wallet:sign') WHERE name = 'test'`,
    )
    await using daemon = await startDaemon({ dataDir: root, keepData: true })
    const client = connect(daemon, daemon.adminKey)
    const reader = connect(daemon, secret)
    const ask = (wallet: string, by = client) => outcomeOf(signAs('SignMessage text', by, { wallet }))
    expect(await ask('user-0')).toBe('signed')
    expect(await ask('user-1')).toBe('signed')
    for (const userId of ['altered', 'swapped', 'altered', 'swapped']) {
      expect(await ask(userId), userId).toBe('WALLET_SUSPENDED')
    }
    const { events } = await client.audit.listEvents({ kind: 'wallet.suspended' })
    expect(events.map(({ reason }) => reason)).toEqual(Array(2).fill('its record does not open or verify'))
    expect(await ask('mallory')).toBe('VAULT_CORRUPT')
    expect(await ask('renamed')).toBe('WALLET_NOT_FOUND')
    expect(await ask('user-0', reader)).toBe('VAULT_CORRUPT')
    expect(await ask('user-0')).toBe('signed')
    expect(daemon.output()).not.toMatch(/"stack"|node:internal/)
    client.close()
    reader.close()
  })

  it('with a share gone is refused', async () => {
    const dir = copy()
    tamper(join(dir, 'vault.db'), `DELETE FROM wallet_shares WHERE wallet_id = ${walletIdOf('user-1')}`)
    expectRefusal(await serve(dir), 'VAULT_CORRUPT')
  })

  it('an altered audit row, a row cut off, are named by audit verify', async () => {
    const altered = copy()
    tamper(join(altered, 'vault.db'), `UPDATE audit SET actor_id = 'mallory' WHERE sequence = 5`)
    const run = await runCli(['audit', 'verify', '--data-dir', altered])
    expect(run.code).toBe(1)
    expect(run.stdout).toMatch(/daemon +altered at 5/)
    const cut = copy()
    tamper(join(cut, 'vault.db'), 'DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)')
    const second = await runCli(['audit', 'verify', '--data-dir', cut])
    expect(second.code).toBe(1)
    expect(second.stdout).toMatch(/daemon +truncated at/)
  })

  it('put back to an older copy is refused', async () => {
    const dir = copy()
    cpSync(join(older, 'vault.db'), join(dir, 'vault.db'))
    expectRefusal(await serve(dir), 'VAULT_ROLLED_BACK', /rolled back/)
    const verified = await runCli(['audit', 'verify', '--data-dir', dir])
    expect(verified.code).toBe(1)
    expect(verified.stdout).toMatch(/daemon +truncated/)
  })

  it('whose root key is missing, malformed, another or shared with the world', async () => {
    const keys: readonly (readonly [string, string, (path: string) => void])[] = [
      ['missing', 'ROOT_KEY_UNREADABLE', (path) => rmSync(path)],
      ['short', 'ROOT_KEY_UNREADABLE', (path) => writeFileSync(path, 'abcd\n', { mode: 0o600 })],
      ['another', 'ROOT_KEY_WRONG', (path) => writeFileSync(path, `${'ab'.repeat(32)}\n`, { mode: 0o600 })],
      ["the cosigner's", 'ROOT_KEY_WRONG', (path) => cpSync(path.replace('root.key', 'cosigner-root.key'), path)],
    ]
    await Promise.all(
      keys.map(async ([, reason, change]) => {
        const dir = copy()
        change(join(dir, 'root.key'))
        const before = fingerprint(dir)
        expectRefusal(await serve(dir), reason, /root key/)
        expect(fingerprint(dir)).toEqual(before)
      }),
    )
  })

  it('under a passphrase opens with it alone', async () => {
    const dir = join(base, 'phrase')
    const providers = ['--root-key', 'passphrase:', '--cosigner-root-key', 'passphrase:']
    const phrase = (name: string, text: string) => {
      writeFileSync(join(base, name), `${text}\n`, { mode: 0o600 })
      return join(base, name)
    }
    const env = {
      COUNTERSIGN_ROOT_KEY_PASSPHRASE_FILE: phrase('right', 'correct horse battery staple'),
      COUNTERSIGN_COSIGNER_ROOT_KEY_PASSPHRASE_FILE: phrase('right-too', 'another horse battery staple'),
    }
    const init = await runCli(['init', '--data-dir', dir, ...providers], env)
    expect(init.code, init.stderr).toBe(0)
    const before = fingerprint(dir)
    const start = (more: Readonly<Record<string, string>>) =>
      runCli(['serve', '--data-dir', dir, ...ANY_PORTS, ...providers], more)
    const wrong = { ...env, COUNTERSIGN_ROOT_KEY_PASSPHRASE_FILE: phrase('wrong', 'correct horse battery stapl') }
    const bad = await start(wrong)
    const none = await start({})
    expectRefusal(bad, 'ROOT_KEY_WRONG')
    expect(none.code).not.toBe(0)
    expect(none.stderr).toMatch(/passphrase/)
    expect(fingerprint(dir)).toEqual(before)
    expect(bad.stderr + none.stderr).not.toMatch(/horse|stapl/)
    const root = join(base, 'phrase-root')
    mkdirSync(root)
    renameSync(dir, join(root, 'data'))
    await using daemon = await startDaemon({ dataDir: root, command: 'serve', args: providers, env, keepData: true })
    const client = connect(daemon, daemon.adminKey)
    const { status } = await client.admin.getStatus({})
    expect(status?.cosignerAvailable).toBe(true)
    client.close()
  })
})

describe('the place to listen', () => {
  it('a busy port is refused, on either listener', async () => {
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as { port: number }
    const dirs = [copy(), copy()]
    const runs = await Promise.all(
      ['--grpc-listen', '--connect-listen'].map((flag, i) => serve(dirs[i] ?? '', flag, `127.0.0.1:${port}`)),
    )
    server.close()
    for (const run of runs) expectRefusal(run, 'LISTEN_FAILED', new RegExp(`127\\.0\\.0\\.1:${port}.*listening`))
    for (const dir of dirs) {
      expect(existsSync(join(dir, 'endpoints.json'))).toBe(false)
      expect(existsSync(join(dir, 'countersign.sock'))).toBe(false)
      expect((await runCli(['audit', 'verify', '--data-dir', dir])).code).toBe(0)
    }
  })

  it('plaintext beyond loopback is refused', async () => {
    const run = await serve(copy(), '--grpc-listen', '0.0.0.0:0')
    expect([1, 2]).toContain(run.code)
    expect(run.stderr).toMatch(/allow.plaintext.beyond.loopback/i)
  })

  it('a file where the socket should be is not removed', async () => {
    const dir = copy()
    const path = join(dir, 'countersign.sock')
    writeFileSync(path, 'mine')
    expectRefusal(await serve(dir), 'LISTEN_FAILED', /not a socket/)
    expect(readFileSync(path, 'utf8')).toBe('mine')
  })

  it('a socket that a killed daemon left is replaced; one that answers is not', async () => {
    const root = join(base, 'stale')
    cpSync(good, join(root, 'data'), { recursive: true })
    const killed = await startDaemon({ dataDir: root, keepData: true })
    await killed.kill('SIGKILL')
    expect(existsSync(join(root, 'data', 'countersign.sock'))).toBe(true)
    expect(existsSync(join(root, 'data', 'endpoints.json'))).toBe(true)
    await using daemon = await startDaemon({ dataDir: root, keepData: true })
    const client = connect(daemon, daemon.adminKey)
    expect(await outcomeOf(signAs('SignMessage text', client, { wallet: 'user-0' }))).toBe('signed')
    const taken = await serve(copy(), '--socket', daemon.endpoints.socket)
    expectRefusal(taken, 'LISTEN_FAILED', /listening/)
    const second = await serve(join(root, 'data'), '--socket', join(base, 'other.sock'))
    expectRefusal(second, 'VAULT_LOCKED')
    expect(existsSync(join(root, 'data', 'endpoints.json'))).toBe(true)
    expect(await outcomeOf(signAs('SignMessage text', client, { wallet: 'user-0' }))).toBe('signed')
    expect(await reasonOf(client.wallets.getWallet({ wallet: 'nobody' }))).toBe('WALLET_NOT_FOUND')
    client.close()
  })
})

describe('the disk', () => {
  it('full while vaults are made: nothing half made stays in the way', async () => {
    const dir = join(base, 'full')
    // 16 blocks of 1 KiB (512 bytes in some shells): no vault fits.
    const run = await runCli(['init', '--data-dir', dir], {}, 'ulimit -f 16')
    expect(run.code).toBe(1)
    expect(run.stderr).toMatch(/\(VAULT_UNWRITABLE\)/)
    expect(existsSync(join(dir, 'vault.db'))).toBe(false)
    expect((await runCli(['init', '--data-dir', dir])).code).toBe(0)
  })

  it('read-only: refused by name', async () => {
    const dir = copy()
    const before = fingerprint(dir)
    const run = await runCli(['serve', '--data-dir', dir, ...ANY_PORTS], {}, 'ulimit -f 0')
    expect(run.code).toBe(1)
    expect(run.stderr).toMatch(/\((VAULT_UNWRITABLE|AUDIT_UNAVAILABLE)\)/)
    expect(fingerprint(dir)).toEqual(before)
  })
})
