import { createHmac, generateKeyPairSync, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { openChaCha, sealChaCha, TAG_BYTES } from './aead.ts'
import { agreeWith } from './backup-keys.ts'
import type { Identity, Recipient } from './backup-keys.ts'

/**
 * The header of an age file (C2SP age, "age-encryption.org/v1"): one X25519 stanza per recipient with the 16-byte
 * file key wrapped for it, and a MAC over all of it under the file key. Only X25519 stanzas are made and opened;
 * others are passed over.
 */
export const FILE_KEY_BYTES = 16
const VERSION_LINE = 'age-encryption.org/v1'
const X25519_LABEL = 'age-encryption.org/v1/X25519'
const NO_NONCE = new Uint8Array(12)
const BODY_COLUMNS = 64
const HEADER_MAX_BYTES = 16_384
const STANZAS_MAX = 64

export const headerCorrupt = () => failure('BACKUP_CORRUPT', { where: 'header' })

export const hkdf = (secret: Uint8Array, salt: Uint8Array, info: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, salt, info, 32))

const encode64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '')

/** Unpadded and canonical, or undefined. */
const decode64 = (text: string): Uint8Array | undefined => {
  const bytes = Buffer.from(text, 'base64')
  return encode64(bytes) === text ? bytes : undefined
}

const macOf = (fileKey: Uint8Array, header: string): Uint8Array =>
  createHmac('sha256', hkdf(fileKey, new Uint8Array(0), 'header')).update(header, 'latin1').digest()

/** The header for one recipient, its last line feed included. */
export const makeHeader = (fileKey: Uint8Array, recipient: Recipient): Uint8Array => {
  const ephemeral = generateKeyPairSync('x25519')
  const share = ephemeral.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const secret = agreeWith(ephemeral.privateKey, recipient.bytes)
  const wrapKey = hkdf(secret, Buffer.concat([share, recipient.bytes]), X25519_LABEL)
  const body = sealChaCha(wrapKey, NO_NONCE, fileKey)
  secret.fill(0)
  wrapKey.fill(0)
  const head = `${VERSION_LINE}\n-> X25519 ${encode64(share)}\n${encode64(body)}\n---`
  return Buffer.from(`${head} ${encode64(macOf(fileKey, head))}\n`, 'latin1')
}

type Stanza = { readonly args: readonly string[]; readonly body: Uint8Array }
export type AgeHeader = { readonly stanzas: readonly Stanza[]; readonly text: string; readonly mac: Uint8Array }

const STANZA_LINE = /^-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)$/
const MAC_LINE = /^--- ([A-Za-z0-9+/]{43})$/

/** Reads a header line by line (without its line feed) from `nextLine`. Refuses with BACKUP_CORRUPT. */
export const readHeader = async (nextLine: (maxBytes: number) => Promise<string>): Promise<AgeHeader> => {
  let text = ''
  const line = async (): Promise<string> => {
    const found = await nextLine(HEADER_MAX_BYTES - text.length)
    return found
  }
  const first = await line()
  if (first !== VERSION_LINE) throw headerCorrupt()
  text = `${first}\n`
  const stanzas: Stanza[] = []
  for (;;) {
    const next = await line()
    const mac = MAC_LINE.exec(next)?.[1]
    const macBytes = mac === undefined ? undefined : decode64(mac)
    if (macBytes !== undefined && stanzas.length > 0) return { stanzas, text: `${text}---`, mac: macBytes }
    const args = STANZA_LINE.exec(next)?.[1]?.split(' ')
    if (args === undefined || stanzas.length === STANZAS_MAX) throw headerCorrupt()
    text += `${next}\n`
    let body = ''
    for (let columns = BODY_COLUMNS; columns === BODY_COLUMNS; ) {
      const part = await line()
      if (part.length > BODY_COLUMNS) throw headerCorrupt()
      columns = part.length
      body += part
      text += `${part}\n`
    }
    const bytes = decode64(body)
    if (bytes === undefined) throw headerCorrupt()
    stanzas.push({ args, body: bytes })
  }
}

const openStanza = ({ args, body }: Stanza, { privateKey, recipient }: Identity): Uint8Array | undefined => {
  if (args[0] !== 'X25519') return undefined
  const share = args.length === 2 ? decode64(args[1] ?? '') : undefined
  if (share?.length !== 32 || body.length !== FILE_KEY_BYTES + TAG_BYTES) throw headerCorrupt()
  const secret = agreed(privateKey, share)
  const wrapKey = hkdf(secret, Buffer.concat([share, recipient.bytes]), X25519_LABEL)
  try {
    return openChaCha(wrapKey, NO_NONCE, body)
  } finally {
    secret.fill(0)
    wrapKey.fill(0)
  }
}

const agreed = (privateKey: KeyObject, share: Uint8Array): Uint8Array => {
  try {
    return agreeWith(privateKey, share)
  } catch {
    throw headerCorrupt()
  }
}

/** The file key, which the caller wipes. BACKUP_KEY_WRONG when it is for none of these; BACKUP_CORRUPT. */
export const openHeader = (header: AgeHeader, identities: readonly Identity[]): Uint8Array => {
  for (const stanza of header.stanzas) {
    for (const identity of identities) {
      const fileKey = openStanza(stanza, identity)
      if (fileKey === undefined) continue
      const expected = macOf(fileKey, header.text)
      if (timingSafeEqual(expected, header.mac)) return fileKey
      fileKey.fill(0)
      throw headerCorrupt()
    }
  }
  throw failure('BACKUP_KEY_WRONG', {})
}
