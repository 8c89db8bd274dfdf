import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { decodeBech32, encodeBech32 } from './bech32.ts'
import { readPrivateFile, writePrivateFile } from './private-file.ts'

/**
 * Keys of backups, in age's own notation (C2SP age): a recipient `age1…`, which the daemon has and which only
 * encrypts, and an identity `AGE-SECRET-KEY-1…` in a file of its own, which it never has. Whoever takes the daemon's
 * machine cannot read the backups that were made there, and so not the shares that were refreshed away since.
 */
export type Recipient = { readonly text: string; readonly publicKey: KeyObject; readonly bytes: Uint8Array }
export type Identity = { readonly privateKey: KeyObject; readonly recipient: Recipient }

const RECIPIENT_PREFIX = 'age'
const IDENTITY_PREFIX = 'age-secret-key-'
const KEY_BYTES = 32
const SPKI = Buffer.from('302a300506032b656e032100', 'hex')
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex')

const publicKeyOf = (bytes: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([SPKI, bytes]), format: 'der', type: 'spki' })

const recipientOf = (bytes: Uint8Array): Recipient => ({
  text: Buffer.from(encodeBech32(RECIPIENT_PREFIX, bytes)).toString('ascii'),
  publicKey: publicKeyOf(bytes),
  bytes,
})

/** undefined for what is not an age X25519 recipient. */
export const parseRecipient = (text: string): Recipient | undefined => {
  const bytes = decodeBech32(RECIPIENT_PREFIX, Buffer.from(text, 'latin1'))
  return bytes?.length === KEY_BYTES ? recipientOf(bytes) : undefined
}

const rawPublicKey = (key: KeyObject): Uint8Array =>
  Uint8Array.from(key.export({ format: 'der', type: 'spki' }).subarray(SPKI.length))

/** One line of an identity file; undefined for what is not an X25519 identity. */
export const parseIdentity = (line: Uint8Array): Identity | undefined => {
  const scalar = decodeBech32(IDENTITY_PREFIX, line)
  if (scalar?.length !== KEY_BYTES) return undefined
  const der = Buffer.concat([PKCS8, scalar])
  try {
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    return { privateKey, recipient: recipientOf(rawPublicKey(createPublicKey(privateKey))) }
  } finally {
    scalar.fill(0)
    der.fill(0)
  }
}

/** X25519; throws for a point of low order, whose shared secret would be nobody's. */
export const agreeWith = (privateKey: KeyObject, share: Uint8Array): Uint8Array =>
  diffieHellman({ privateKey, publicKey: publicKeyOf(share) })

const IDENTITY_FILE_MAX_BYTES = 65_536

const linesOf = function* (content: Uint8Array): Iterable<Uint8Array> {
  let start = 0
  while (start < content.length) {
    const found = content.indexOf(0x0a, start)
    const end = found === -1 ? content.length : found
    const isCarriageReturn = end > start && content[end - 1] === 0x0d
    yield content.subarray(start, isCarriageReturn ? end - 1 : end)
    start = end + 1
  }
}

/** The identities of a file that `age-keygen` or `backup keygen` made. BACKUP_KEY_UNREADABLE. */
export const readIdentityFile = (path: string): Identity[] => {
  const unreadable = (why: string) => failure('BACKUP_KEY_UNREADABLE', { path, why })
  const content = Buffer.alloc(IDENTITY_FILE_MAX_BYTES + 1)
  try {
    const length = readPrivateFile(path, content, true, unreadable)
    if (length > IDENTITY_FILE_MAX_BYTES) throw unreadable('it is too large for an identity file')
    const identities: Identity[] = []
    for (const line of linesOf(content.subarray(0, length))) {
      if (line.length === 0 || line[0] === 0x23) continue
      const identity = parseIdentity(line)
      if (identity === undefined) throw unreadable('a line is not an age X25519 identity')
      identities.push(identity)
    }
    if (identities.length === 0) throw unreadable('there is no identity in it')
    return identities
  } finally {
    content.fill(0)
  }
}

/** Makes a new identity file of mode 0600, in the form of `age-keygen`, and answers its recipient. */
export const createIdentityFile = (path: string, nowMs: number): Recipient => {
  const pair = generateKeyPairSync('x25519')
  const recipient = recipientOf(rawPublicKey(pair.publicKey))
  const der = pair.privateKey.export({ format: 'der', type: 'pkcs8' })
  const scalar = der.subarray(PKCS8.length)
  const identity = Buffer.from(encodeBech32(IDENTITY_PREFIX, scalar)).map((code) =>
    code >= 0x61 && code <= 0x7a ? code & 0xdf : code,
  )
  const head = `# created: ${new Date(nowMs).toISOString()}\n# public key: ${recipient.text}\n`
  const content = Buffer.concat([Buffer.from(head), identity, Buffer.from('\n')])
  try {
    writePrivateFile(path, content)
    return recipient
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error'
    throw failure('BACKUP_KEY_UNREADABLE', { path, why: `the file cannot be made (${code})` })
  } finally {
    der.fill(0)
    identity.fill(0)
    content.fill(0)
  }
}
