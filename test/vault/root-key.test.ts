import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { createDaemonVault, openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { decodePassphraseCost, encodePassphraseCost, stretchPassphrase } from '../../src/vault/passphrase.ts'
import { RootKey } from '../../src/vault/root-key.ts'
import { createRootKeyFile, createRootKeyProvider, parseRootKeyUri } from '../../src/vault/root-key-provider.ts'
import { makePlace, makeVault, NOW, reasonOf, tamper } from './fixture.ts'

const AAD = new Uint8Array([1, 2, 3])
const ROOT = randomBytes(32)

test('provider URIs are parsed strictly', () => {
  expect(parseRootKeyUri('file:/a/b')).toEqual({ scheme: 'file', path: '/a/b' })
  expect(parseRootKeyUri('file:///a/b')).toEqual({ scheme: 'file', path: '/a/b' })
  expect(parseRootKeyUri('passphrase:')).toEqual({ scheme: 'passphrase' })
  expect(parseRootKeyUri('systemd-cred:kek')).toEqual({ scheme: 'systemd-cred', credential: 'kek' })
  for (const bad of ['', 'file:', 'file', 'passphrase:hunter2', 'systemd-cred:', 'systemd-cred:../x',
    'systemd-cred:a/b', 'systemd-cred:.', 'aws-kms:x', '/a/b']) {
    expect(parseRootKeyUri(bad), bad).toBeUndefined()
  }
})

test('an unknown provider is refused without repeating what might be a secret', () => {
  expect(() => createRootKeyProvider('passphrase:hunter2')).toThrow(/passphrase:/)
  expect(() => createRootKeyProvider('passphrase:hunter2')).not.toThrow(/hunter2/)
})

test('a key file is 64 hex digits or 32 raw bytes, with mode 0600', async () => {
  const { dir } = makePlace()
  const key = randomBytes(32)
  const write = (content: string | Uint8Array, mode = 0o600): string => {
    const path = join(dir, `${randomBytes(6).toString('hex')}.key`)
    writeFileSync(path, content, { mode })
    return `file:${path}`
  }
  const hex = key.toString('hex')
  const wrapped = await createRootKeyProvider(write(hex)).wrap(ROOT, AAD)
  for (const same of [key, `${hex}\n`, `${hex}\r\n`, hex.toUpperCase()]) {
    expect(Buffer.from(await createRootKeyProvider(write(same)).unwrap(wrapped, AAD))).toEqual(ROOT)
  }
  const texts = ['', hex.slice(1), `${hex}0`, `${hex} `, `g${hex.slice(1)}`]
  for (const bad of [...texts, randomBytes(31), randomBytes(33)]) {
    const provider = createRootKeyProvider(write(bad))
    expect(await reasonOf(() => provider.unwrap(wrapped, AAD))).toBe('ROOT_KEY_UNREADABLE')
  }
  for (const mode of [0o640, 0o604, 0o660]) {
    const open = createRootKeyProvider(write(hex, mode))
    expect(await reasonOf(() => open.unwrap(wrapped, AAD)), mode.toString(8)).toBe('ROOT_KEY_UNREADABLE')
  }
  const missing = createRootKeyProvider(`file:${join(dir, 'absent')}`)
  expect(await reasonOf(() => missing.unwrap(wrapped, AAD))).toBe('ROOT_KEY_UNREADABLE')
  const directory = createRootKeyProvider(`file:${dir}`)
  expect(await reasonOf(() => directory.unwrap(wrapped, AAD))).toBe('ROOT_KEY_UNREADABLE')
})

test('a made key file is private, fresh and never overwritten', async () => {
  const { dir } = makePlace()
  const path = join(dir, 'fresh.key')
  createRootKeyFile(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(path).size).toBe(65)
  expect(await reasonOf(() => createRootKeyFile(path))).toBe('ROOT_KEY_UNREADABLE')
})

test('a wrapped root opens under its own key and additional data only', async () => {
  const { provider } = makePlace()
  const wrapped = await provider.wrap(ROOT, AAD)
  expect(Buffer.from(wrapped).includes(ROOT)).toBe(false)
  expect(await reasonOf(() => makePlace().provider.unwrap(wrapped, AAD))).toBe('ROOT_KEY_WRONG')
  expect(await reasonOf(() => provider.unwrap(wrapped, new Uint8Array([9])))).toBe('ROOT_KEY_WRONG')
  for (let at = 0; at < wrapped.length; at++) {
    const altered = Uint8Array.from(wrapped)
    altered[at] = altered[at]! ^ 1
    expect(await reasonOf(() => provider.unwrap(altered, AAD)), `byte ${at}`).toBe('ROOT_KEY_WRONG')
  }
  expect(await reasonOf(() => provider.unwrap(new Uint8Array(0), AAD))).toBe('ROOT_KEY_WRONG')
})

test('a credential is read from the given directory', async () => {
  const { dir, provider } = makePlace()
  const credentialsDirectory = join(dir, 'credentials')
  mkdirSync(credentialsDirectory)
  writeFileSync(join(credentialsDirectory, 'kek'), randomBytes(32), { mode: 0o440 })
  const credential = createRootKeyProvider('systemd-cred:kek', { credentialsDirectory })
  const wrapped = await credential.wrap(ROOT, AAD)
  expect(Buffer.from(await credential.unwrap(wrapped, AAD))).toEqual(ROOT)
  expect(await reasonOf(() => provider.unwrap(wrapped, AAD))).toBe('ROOT_KEY_WRONG')
  const homeless = createRootKeyProvider('systemd-cred:kek')
  expect(await reasonOf(() => homeless.unwrap(wrapped, AAD))).toBe('ROOT_KEY_UNREADABLE')
})

test('argon2id gives the known answer of the reference implementation', async () => {
  // phc-winner-argon2 src/test.c: version 0x13, t = 2, m = 2^16 KiB, p = 1, argon2id.
  const cost = { memoryKib: 65_536, passes: 2, lanes: 1, salt: Buffer.from('somesalt') }
  const key = await stretchPassphrase(Buffer.from('password'), cost)
  expect(Buffer.from(key).toString('hex')).toBe('09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7')
})

test('a stored cost that would take all memory is not obeyed', () => {
  const cost = { memoryKib: 65_536, passes: 3, lanes: 4, salt: randomBytes(16) }
  expect(decodePassphraseCost(encodePassphraseCost(cost))).toMatchObject({ memoryKib: 65_536, passes: 3 })
  for (const bad of [{ memoryKib: 2 ** 31 }, { passes: 0 }, { passes: 1000 }, { lanes: 0 }, { memoryKib: 8 }]) {
    expect(decodePassphraseCost(encodePassphraseCost({ ...cost, ...bad }))).toBeUndefined()
  }
})

test('a vault under a passphrase opens with it and with no other', async () => {
  const { path } = makePlace()
  const withPassphrase = (text: string) => createRootKeyProvider('passphrase:', { passphrase: Buffer.from(text) })
  const vault = await createDaemonVault({ path, provider: withPassphrase('correct horse'), nowMs: NOW })
  await vault.close()
  const attempt = (text: string) => openDaemonVault({ path, provider: withPassphrase(text), nowMs: NOW })
  expect(await reasonOf(() => attempt('correct horsf'))).toBe('ROOT_KEY_WRONG')
  expect(await reasonOf(() => attempt(''))).toBe('ROOT_KEY_UNREADABLE')
  await (await attempt('correct horse')).close()
})

test('a wrong root key is refused, and the vault opens with the right one afterwards', async () => {
  const vault = await makeVault()
  await vault.close()
  const { path } = vault.place
  const wrong = makePlace().provider
  expect(await reasonOf(() => openDaemonVault({ path, provider: wrong, nowMs: NOW }))).toBe('ROOT_KEY_WRONG')
  await (await openDaemonVault({ ...vault.place, nowMs: NOW })).close()
})

test('a header taken from another vault of the same key is refused', async () => {
  const place = makePlace()
  const first = await makeVault(place)
  const second = await makeVault({ ...makePlace(), provider: place.provider })
  await first.close()
  await second.close()
  let stolen: unknown
  tamper(second.place.path, (db) => {
    stolen = db.prepare('SELECT wrapped_root FROM vault_header').pluck().get()
  })
  tamper(first.place.path, (db) => db.prepare('UPDATE vault_header SET wrapped_root = ?').run(stolen))
  expect(await reasonOf(() => openDaemonVault({ ...first.place, nowMs: NOW }))).toBe('ROOT_KEY_WRONG')
})

test('a root key derives one key a purpose and vault, prints as [secret] and can be wiped', () => {
  const bytes = randomBytes(32)
  const root = new RootKey(bytes, new Uint8Array(16))
  const other = new RootKey(Uint8Array.from(bytes), new Uint8Array(16).fill(1))
  const keys = [root.derive('share'), root.derive('secret'), root.derive('verifier'), other.derive('share')]
  expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(4)
  expect(root.derive('share')).toEqual(keys[0])
  const printed = [String(root), JSON.stringify(root), inspect({ root })]
  expect(printed).toEqual(['[secret]', '"[secret]"', '{ root: [secret] }'])
  root.wipe()
  expect(bytes.every((byte) => byte === 0)).toBe(true)
  expect(() => root.derive('share')).toThrow(/wiped/)
})
