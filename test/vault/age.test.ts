/** age files against the C2SP vectors (test/vectors/age), and whole files of our own taken apart. */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { decryptAge, encryptAge } from '../../src/vault/age-stream.ts'
import { createIdentityFile, type Identity, parseIdentity, parseRecipient, readIdentityFile } from '../../src/vault/backup-keys.ts'
import { makePlace, reasonOf } from './fixture.ts'

type Vector = {
  readonly name: string
  readonly expect: 'success' | 'header failure' | 'HMAC failure' | 'payload failure' | 'no match'
  readonly identities: readonly string[]
  readonly payloadSha256?: string
  readonly compressed?: string
  readonly file: string
}
const { vectors } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../vectors/age/vectors.json'), 'utf8'),
) as { vectors: readonly Vector[] }

const identityOf = (text: string): Identity => {
  const identity = parseIdentity(Buffer.from(text))
  if (identity === undefined) throw new Error('not an identity')
  return identity
}

/** Handed over in pieces whose ends fall anywhere. */
async function* inPieces(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const collect = async (parts: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const all: Uint8Array[] = []
  for await (const part of parts) all.push(Uint8Array.from(part))
  return Buffer.concat(all)
}

const open = (identities: readonly Identity[], file: Uint8Array, size = 1_000): Promise<Buffer> =>
  collect(decryptAge(identities, inPieces(file, size)))

const REASONS = {
  'header failure': 'BACKUP_CORRUPT',
  'HMAC failure': 'BACKUP_CORRUPT',
  'payload failure': 'BACKUP_CORRUPT',
  'no match': 'BACKUP_KEY_WRONG',
} as const

describe('the C2SP vectors', () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
    const raw = Buffer.from(vector.file, 'base64')
    const file = vector.compressed === undefined ? raw : inflateSync(raw)
    const identities = vector.identities.map(identityOf)
    if (vector.expect === 'success') {
      const payload = await open(identities, file, 777)
      expect(createHash('sha256').update(payload).digest('hex')).toBe(vector.payloadSha256)
    } else {
      expect(await reasonOf(() => open(identities, file, 777))).toBe(REASONS[vector.expect])
    }
  })
})

const CHUNK = 65_536
const TAG = 16

const makeKey = () => {
  const path = join(makePlace().dir, 'identity.txt')
  const recipient = createIdentityFile(path, 0)
  return { path, recipient, identities: readIdentityFile(path) }
}

describe('a file of our own', () => {
  it.each([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 200_000])('of %i bytes opens again', async (length) => {
    const { recipient, identities } = makeKey()
    const plaintext = randomBytes(length)
    const file = await collect(encryptAge(recipient, inPieces(plaintext, 10_007)))
    expect(await open(identities, file)).toEqual(plaintext)
    expect(await reasonOf(() => open(makeKey().identities, file))).toBe('BACKUP_KEY_WRONG')
  })

  const sealed = async (length: number) => {
    const key = makeKey()
    const file = await collect(encryptAge(key.recipient, inPieces(randomBytes(length), CHUNK)))
    const payload = file.indexOf('\n', file.indexOf('--- ')) + 1 + 16
    return { ...key, file, payload }
  }

  it('does not open with any byte changed', async () => {
    const { file, identities } = await sealed(300)
    for (let at = 0; at < file.length; at++) {
      const changed = Buffer.from(file)
      changed[at] = (changed[at] ?? 0) ^ 1
      const reason = await reasonOf(() => open(identities, changed))
      expect(['BACKUP_CORRUPT', 'BACKUP_KEY_WRONG'], `byte ${at}`).toContain(reason)
    }
  })

  it('does not open cut off anywhere, or with anything behind it', async () => {
    const { file, identities } = await sealed(300)
    for (let length = 0; length < file.length; length++) {
      expect(await reasonOf(() => open(identities, file.subarray(0, length))), `${length}`).toBe('BACKUP_CORRUPT')
    }
    expect(await reasonOf(() => open(identities, Buffer.concat([file, Buffer.of(0)])))).toBe('BACKUP_CORRUPT')
  })

  it('does not open with chunks left out, repeated or in another order', async () => {
    const { file, payload, identities } = await sealed(3 * CHUNK + 100)
    const head = file.subarray(0, payload)
    const chunk = (at: number) => file.subarray(payload + at * (CHUNK + TAG), payload + (at + 1) * (CHUNK + TAG))
    const chunks = [0, 1, 2, 3].map(chunk)
    expect(Buffer.concat([head, ...chunks]).equals(file)).toBe(true)
    for (const order of [[0, 2, 1, 3], [1, 0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 1, 2, 3], [3], [0, 1, 2, 3, 3]]) {
      const mixed = Buffer.concat([head, ...order.map(chunk)])
      expect(await reasonOf(() => open(identities, mixed)), order.join()).toBe('BACKUP_CORRUPT')
    }
    const other = await collect(encryptAge((await sealed(1)).recipient, inPieces(randomBytes(3 * CHUNK + 100), CHUNK)))
    const foreign = Buffer.concat([head, chunk(0), other.subarray(payload + CHUNK + TAG)])
    expect(await reasonOf(() => open(identities, foreign))).toBe('BACKUP_CORRUPT')
  })
})

describe('keys', () => {
  it('are read as age-keygen writes them, and name their recipient', () => {
    const { path, recipient, identities } = makeKey()
    const text = readFileSync(path, 'utf8')
    expect(text).toMatch(/^# created: .*\n# public key: age1[a-z0-9]{58}\nAGE-SECRET-KEY-1[A-Z0-9]{58}\n$/)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(identities.map((identity) => identity.recipient.text)).toEqual([recipient.text])
    expect(parseRecipient(recipient.text)?.text).toBe(recipient.text)
  })

  it('known answer: the identity of age’s own documentation', () => {
    const vector = vectors.find(({ name }) => name === 'x25519')
    const identity = identityOf(vector?.identities[0] ?? '')
    expect(identity.recipient.text).toMatch(/^age1[a-z0-9]{58}$/)
  })

  it('are refused when they are not keys, or when others may read them', async () => {
    const { recipient } = makeKey()
    for (let at = 0; at < recipient.text.length; at++) {
      const other = recipient.text[at] === 'q' ? 'p' : 'q'
      expect(parseRecipient(recipient.text.slice(0, at) + other + recipient.text.slice(at + 1)), `${at}`).toBeUndefined()
    }
    expect(parseRecipient(recipient.text.toUpperCase())?.text).toBe(recipient.text)
    expect(parseRecipient(`A${recipient.text.slice(1)}`)).toBeUndefined()
    expect(parseRecipient('')).toBeUndefined()
    const { dir } = makePlace()
    const write = (content: string, mode = 0o600): string => {
      const path = join(dir, `${randomBytes(4).toString('hex')}.txt`)
      writeFileSync(path, content, { mode })
      return path
    }
    const good = readFileSync(makeKey().path, 'utf8')
    for (const path of [write(''), write('# nothing\n'), write(`${good}more\n`), write(good, 0o644), join(dir, 'none')]) {
      expect(await reasonOf(() => readIdentityFile(path))).toBe('BACKUP_KEY_UNREADABLE')
    }
    expect(readIdentityFile(write(good.replaceAll('\n', '\r\n')))).toHaveLength(1)
    expect(await reasonOf(() => createIdentityFile(write(good), 0))).toBe('BACKUP_KEY_UNREADABLE')
  })
})
