import { failure } from '../domain/failure.ts'
import { concatBytes, fromHex } from './bytes.ts'
import { checkDigest } from './digest.ts'
import { keccak256 } from './keccak.ts'
import type { SigningContent } from './signing-payload.ts'

const BARE_DIGEST = /^(?:0x)?(?<digits>[0-9a-fA-F]{64})$/

/** What a caller asks to sign as a message: text stands for its UTF-8 bytes, data for itself. */
export type MessageInput = { readonly text: string } | { readonly data: Uint8Array }

const textToBytes = (text: string): Uint8Array => {
  if (!text.isWellFormed())
    throw failure('INVALID_REQUEST', {
      violations: [{ field: 'text', description: 'is not well-formed Unicode' }],
    })
  return new Uint8Array(Buffer.from(text, 'utf8'))
}

/** EIP-191 version 0x45: keccak256("\x19Ethereum Signed Message:\n" ‖ decimal length ‖ message), 32 bytes. */
export const hashMessage = (message: Uint8Array): Uint8Array =>
  keccak256(concatBytes(Buffer.from(`\u0019Ethereum Signed Message:\n${message.length}`, 'utf8'), message))

/** A message to be signed under EIP-191, as the content of a signing payload. */
export const parseMessage = (input: MessageInput): SigningContent => ({
  kind: 'message',
  message: 'text' in input ? textToBytes(input.text) : input.data,
})

/**
 * The digest that a caller of SignMessage vouches for with `is_formatted`: 32 bytes of data, or text of 64 hex
 * digits with or without 0x. Anything else is MESSAGE_NOT_DIGEST; a digest that is zero as a scalar is
 * DIGEST_REFUSED. It is a raw digest like SignDigest's and needs the same permission.
 */
export const parseFormattedDigest = (input: MessageInput): SigningContent => {
  const digits = 'text' in input ? BARE_DIGEST.exec(input.text)?.groups?.['digits'] : undefined
  const digest = 'text' in input ? fromHex(`0x${digits ?? ''}`) : input.data
  if (digest?.length !== 32) throw failure('MESSAGE_NOT_DIGEST', {})
  return { kind: 'digest', digest: checkDigest(digest) }
}
