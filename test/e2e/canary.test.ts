/**
 * Secrets stay where they belong: a mixed workload is run with secrets that are known here, and everything the daemon
 * wrote, printed and answered is searched for them, raw and in every usual encoding.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { FreezeScope, VaultParty } from '../../gen/countersign/v1/admin_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { backUp, makeBackupKeys, restore } from './backup-places.ts'
import { connect, newKey, newWallet, outcomeOf } from './callers.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { makeDataDir, runCli, startDaemon } from './start-daemon.ts'

/** Each restart takes a second, and several on a machine with other work. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const base = makeDataDir()
const data = join(base, 'data')
afterAll(() => rmSync(base, { recursive: true, force: true }))

type Canary = { readonly name: string; readonly forms: readonly Buffer[] }

/** A secret in every form in which it could leak. */
const canaryOf = (name: string, secret: Buffer): Canary => {
  const hexadecimal = secret.toString('hex')
  const base64 = secret.toString('base64').replace(/=+$/, '')
  const decimal = BigInt(`0x${hexadecimal}`).toString()
  const list = JSON.stringify([...secret]).slice(1, -1)
  const texts = [hexadecimal, hexadecimal.toUpperCase(), base64, secret.toString('base64url'), decimal, list]
  return { name, forms: [secret, ...texts.map((text) => Buffer.from(text))] }
}
/** What is text already: itself, its 32 secret characters alone, and both encoded. */
const textCanary = (name: string, text: string): Canary => {
  const bytes = Buffer.from(text)
  const tail = Buffer.from(text.slice(-32))
  return { name, forms: [...canaryOf(name, bytes).forms, ...canaryOf(name, tail).forms] }
}

const hitsIn = (haystack: Buffer, canaries: readonly Canary[]): string[] =>
  canaries.filter(({ forms }) => forms.some((form) => haystack.includes(form))).map(({ name }) => name)

/** Every file below a directory but those that are the secrets' own home. */
const filesBelow = (dir: string, homes: ReadonlySet<string>): string[] =>
  readdirSync(dir).flatMap((name) => {
    const path = join(dir, name)
    const stat = statSync(path)
    if (stat.isDirectory()) return filesBelow(path, homes)
    return stat.isFile() && !homes.has(name) ? [path] : []
  })

const HOMES = new Set(['root.key', 'cosigner-root.key', 'admin.key', 'phrase.txt'])

const searchFiles = (canaries: readonly Canary[]): string[] =>
  filesBelow(base, HOMES).flatMap((path) => hitsIn(readFileSync(path), canaries).map((name) => `${name} in ${path}`))

/** Everything that can be asked, well and badly, with the answers as text. */
const workload = async (client: CountersignClient): Promise<string> => {
  const answers: unknown[] = []
  const note = async (call: Promise<unknown>): Promise<void> => {
    answers.push(await call.catch((error: unknown) => [String(error), (error as { metadata?: unknown }).metadata]))
  }
  for (const userId of ['a', 'b']) await newWallet(client, userId)
  for (const name of SIGNING_NAMES) {
    await note(signAs(name, client, { wallet: 'a', seed: name }))
    await note(signAs(name, client, { wallet: 'nobody', seed: name }))
  }
  await note(client.admin.freeze({ scope: FreezeScope.WALLET, id: 'wal_00', note: 'x' }))
  await note(client.admin.getStatus({}))
  await note(client.admin.listApiKeys({ pageSize: 500 }))
  await note(client.audit.listEvents({ pageSize: 500 }))
  await note(client.wallets.refreshShares({ wallet: 'b' }))
  await note(client.wallets.archiveWallet({ wallet: 'b' }))
  return JSON.stringify(answers, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
}

/** Keys that were made, rotated, revoked and presented wrongly: none of their secrets may stay anywhere. */
const keySecrets = async (
  client: CountersignClient,
  daemon: Parameters<typeof connect>[0],
  requestId: string,
): Promise<string[]> => {
  const kept = await newKey(client, [{ name: 'wallet:sign' }], { requestId })
  const rotated = await client.admin.rotateApiKey({ apiKeyId: kept.apiKeyId, overlapSeconds: 60 })
  const revoked = await newKey(client, [{ name: 'wallet:read' }])
  await client.admin.revokeApiKey({ apiKeyId: revoked.apiKeyId })
  const invented = `csk_${randomBytes(8).toString('hex')}_${randomBytes(32).toString('base64url')}`
  for (const secret of [kept.secret, rotated.secret, revoked.secret, invented]) {
    const caller = connect(daemon, secret)
    await outcomeOf(signAs('SignMessage text', caller, { wallet: 'a' }))
    await outcomeOf(caller.admin.getStatus({}))
    caller.close()
  }
  return [kept.secret, rotated.secret, revoked.secret, invented]
}

const csk = /csk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}/

describe('the search itself', () => {
  it('finds a secret in every form', () => {
    const secret = randomBytes(32)
    const canary = canaryOf('planted', secret)
    for (const form of canary.forms) {
      const hay = Buffer.concat([randomBytes(100), form, randomBytes(100)])
      expect(hitsIn(hay, [canary])).toEqual(['planted'])
    }
    expect(hitsIn(randomBytes(10_000), [canary])).toEqual([])
  })
})

describe('after a mixed workload', () => {
  it('no secret is in a file, a log line or an answer: root keys in files', async () => {
    let output = ''
    let answers = ''
    const secrets: string[] = []
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const daemon = await startDaemon({ dataDir: base, keepData: true, args: ['--log-level', 'debug'] })
      const client = connect(daemon, daemon.adminKey)
      if (signal === 'SIGKILL') {
        answers += await workload(client)
        secrets.push(daemon.adminKey)
      }
      const made = await keySecrets(client, daemon, randomUUID())
      secrets.push(...made)
      const keys = ['root.key', 'cosigner-root.key'].map((name) => {
        const text = readFileSync(join(data, name), 'utf8').trim()
        return canaryOf(name, Buffer.from(text, 'hex'))
      })
      for (const { forms } of keys) expect(forms[0]).toHaveLength(32)
      const canaries = [...keys, ...secrets.map((secret, i) => textCanary(`API key ${i}`, secret))]
      client.close()
      // The dead daemon's WAL is searched as it lies there, and so is what a clean stop leaves.
      await daemon.kill(signal)
      output += daemon.output()
      expect(searchFiles(canaries)).toEqual([])
      expect(hitsIn(Buffer.from(output), canaries)).toEqual([])
      expect(hitsIn(Buffer.from(answers), canaries)).toEqual([])
    }
    expect(secrets.length).toBeGreaterThan(4)
    expect(output).not.toMatch(csk)
    expect(answers).not.toMatch(csk)
    for (const path of filesBelow(base, HOMES)) expect(csk.test(readFileSync(path, 'latin1')), path).toBe(false)
  })

  it('no key is in a backup, a log line or an answer: backups, a restore and new root keys', async () => {
    const keys = await makeBackupKeys()
    const place = join(base, 'kept')
    const rootKeys = () =>
      ['root.key', 'cosigner-root.key'].map((name) =>
        canaryOf(name, Buffer.from(readFileSync(join(place, 'data', name), 'utf8').trim(), 'hex')),
      )
    const daemon = await startDaemon({ dataDir: place, keepData: true, args: [...keys.args, '--log-level', 'debug'] })
    const client = connect(daemon, daemon.adminKey)
    const canaries = [...rootKeys(), textCanary('admin key', daemon.adminKey)]
    for (const name of ['daemon.txt', 'cosigner.txt']) {
      const identity = /AGE-SECRET-KEY-1[A-Z0-9]+/.exec(readFileSync(join(keys.dir, name), 'utf8'))?.[0]
      canaries.push(textCanary(name, identity ?? ''))
    }
    await newWallet(client, 'kept')
    const pair = await backUp(client, daemon)
    const answers: unknown[] = []
    for (const vault of [VaultParty.DAEMON, VaultParty.COSIGNER]) answers.push(await client.admin.rotateVaultKey({ vault }))
    answers.push(await client.admin.createBackup({}), await client.admin.getStatus({}))
    answers.push(await client.audit.listEvents({ pageSize: 500 }))
    canaries.push(...rootKeys())
    client.close()
    await daemon.kill('SIGKILL')
    const restored = join(base, 'restored')
    const { code, stdout, stderr } = await restore(restored, keys, pair)
    expect(code, 'the root keys are not there').toBe(1)
    rmSync(keys.dir, { recursive: true, force: true })
    const text = JSON.stringify(answers, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
    expect(hitsIn(Buffer.from(daemon.output() + stdout + stderr + text), canaries)).toEqual([])
    expect(searchFiles(canaries)).toEqual([])
    expect(canaries).toHaveLength(7)
  })

  it('no passphrase is in a file, a log line or a message', async () => {
    const phrase = `correct-${randomBytes(16).toString('hex')}`
    const dir = join(base, 'phrase', 'data')
    const file = join(base, 'phrase.txt')
    writeFileSync(file, `${phrase}\n`, { mode: 0o600 })
    const providers = ['--root-key', 'passphrase:', '--cosigner-root-key', 'passphrase:']
    const env = { COUNTERSIGN_ROOT_KEY_PASSPHRASE_FILE: file, COUNTERSIGN_COSIGNER_ROOT_KEY_PASSPHRASE_FILE: file }
    const init = await runCli(['init', '--data-dir', dir, ...providers], env)
    expect(init.code, init.stderr).toBe(0)
    const options = { dataDir: join(base, 'phrase'), command: 'serve', args: [...providers, '--log-level', 'debug'], env }
    const daemon = await startDaemon({ ...options, keepData: true })
    // Both vaults get new root keys under the same passphrase, and open with it again.
    const client = connect(daemon, daemon.adminKey)
    for (const vault of [VaultParty.DAEMON, VaultParty.COSIGNER]) {
      expect((await client.admin.rotateVaultKey({ vault })).provider).toBe('passphrase:')
    }
    client.close()
    await daemon.kill('SIGTERM')
    const again = await startDaemon({ ...options, keepData: true })
    const looking = connect(again, again.adminKey)
    expect((await looking.admin.getStatus({})).status?.cosignerAvailable).toBe(true)
    looking.close()
    await again.kill('SIGTERM')
    const check = await runCli(['config', 'check', '--data-dir', dir, ...providers], env)
    const canary = textCanary('passphrase', phrase)
    const said = [init, check].map(({ stdout, stderr }) => stdout + stderr).join() + daemon.output() + again.output()
    expect(hitsIn(Buffer.from(said), [canary])).toEqual([])
    expect(searchFiles([canary])).toEqual([])
  })
})
