import { failure, invalidField } from '../domain/failure.ts'
import type { ProjectId, WalletId } from '../domain/ids.ts'
import { parseProjectId, walletIdFromBytes, walletIdToBytes } from '../domain/ids.ts'
import { concatBytes } from './bytes.ts'

/**
 * The typed request that travels from the daemon to its cosigner inside the two-party sign request. The cosigner
 * derives the digest from these bytes alone, so they hold what is signed, never a digest of it (but for a raw
 * digest, which says that it is one).
 *
 * Layout, integers little-endian: version u8 = 1 · kind u8 · method u8 · project length u8 · project (ASCII) ·
 * wallet 16 bytes · body length u32 · body. One value has one encoding; nothing may follow the body.
 */
export type SigningMethod =
  'SignMessage' | 'SignTypedData' | 'SignTransaction' | 'SignAuthorization' | 'SignDigest'

export type SigningContent =
  /** secp256k1: EIP-191 version 0x45, the message without its prefix. Ed25519: the bytes that are signed. */
  | { readonly kind: 'message'; readonly message: Uint8Array }
  /** EIP-712: the JSON exactly as the caller sent it. */
  | { readonly kind: 'typed-data'; readonly json: Uint8Array }
  /** A canonical unsigned EVM transaction (EIP-155 legacy, 0x01, 0x02, 0x03 without sidecar, 0x04). */
  | { readonly kind: 'transaction'; readonly unsigned: Uint8Array }
  /** EIP-7702: the 20-byte address is the delegate; chain id 0 means every chain. */
  | {
      readonly kind: 'authorization'
      readonly chainId: bigint
      readonly address: Uint8Array
      readonly nonce: bigint
    }
  /** 32 bytes that nobody here can read. */
  | { readonly kind: 'digest'; readonly digest: Uint8Array }
  /** A Solana transaction message, legacy or version 0. */
  | { readonly kind: 'solana-message'; readonly message: Uint8Array }

export type SigningPayload = {
  readonly projectId: ProjectId
  readonly walletId: WalletId
  readonly method: SigningMethod
  readonly content: SigningContent
}

export const MAX_BODY_BYTES = 256 * 1024
export const MAX_TRANSACTION_BYTES = 1536 * 1024

const VERSION = 1
const KINDS = ['message', 'typed-data', 'transaction', 'authorization', 'digest', 'solana-message'] as const
const METHODS = ['SignMessage', 'SignTypedData', 'SignTransaction', 'SignAuthorization', 'SignDigest'] as const

/** What each method may carry. SignMessage carries a digest when the caller said `is_formatted`. */
const CARRIES: { readonly [M in SigningMethod]: readonly SigningContent['kind'][] } = {
  SignMessage: ['message', 'digest'],
  SignTypedData: ['typed-data'],
  SignTransaction: ['transaction', 'solana-message'],
  SignAuthorization: ['authorization'],
  SignDigest: ['digest'],
}

const AUTHORIZATION_BYTES = 8 + 20 + 8
const U64_MAX = (1n << 64n) - 1n

const refuse = (description: string) =>
  invalidField('payload', description)

const encodeAuthorization = (chainId: bigint, address: Uint8Array, nonce: bigint): Uint8Array => {
  if (chainId < 0n || chainId > U64_MAX || nonce < 0n || nonce > U64_MAX || address.length !== 20)
    throw failure('AUTHORIZATION_INVALID', { field: 'authorization', why: 'a field is out of range' })
  const body = new Uint8Array(AUTHORIZATION_BYTES)
  const view = new DataView(body.buffer)
  view.setBigUint64(0, chainId, true)
  body.set(address, 8)
  view.setBigUint64(28, nonce, true)
  return body
}

const encodeBody = (content: SigningContent): Uint8Array => {
  if (content.kind === 'message' || content.kind === 'solana-message') return content.message
  if (content.kind === 'typed-data') return content.json
  if (content.kind === 'transaction') return content.unsigned
  if (content.kind === 'digest') return content.digest
  return encodeAuthorization(content.chainId, content.address, content.nonce)
}

const maxBodyBytes = (kind: SigningContent['kind']): number =>
  kind === 'transaction' ? MAX_TRANSACTION_BYTES : MAX_BODY_BYTES

/**
 * The one encoding of a signing payload. Refuses what `parseSigningPayload` would: a method that does not carry
 * this kind of content (INVALID_REQUEST), a body over its bound (REQUEST_TOO_LARGE). Does not look into the
 * content: `examine` does.
 */
export const encodeSigningPayload = (payload: SigningPayload): Uint8Array => {
  const { content, method } = payload
  if (!CARRIES[method].includes(content.kind)) throw refuse(`${method} does not carry a ${content.kind}`)
  const body = encodeBody(content)
  if (body.length > maxBodyBytes(content.kind))
    throw failure('REQUEST_TOO_LARGE', { limitBytes: maxBodyBytes(content.kind) })
  if (content.kind === 'digest' && body.length !== 32) throw refuse('a digest has 32 bytes')
  const project = Buffer.from(payload.projectId, 'ascii')
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, body.length, true)
  const head = Uint8Array.of(VERSION, KINDS.indexOf(content.kind), METHODS.indexOf(method), project.length)
  return concatBytes(head, project, walletIdToBytes(payload.walletId), length, body)
}

const decodeAuthorization = (body: Uint8Array): SigningContent => {
  if (body.length !== AUTHORIZATION_BYTES) throw refuse('an authorization has 36 bytes')
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const chainId = view.getBigUint64(0, true)
  return { kind: 'authorization', chainId, address: body.slice(8, 28), nonce: view.getBigUint64(28, true) }
}

const decodeBody = (kind: SigningContent['kind'], body: Uint8Array): SigningContent => {
  if (kind === 'message' || kind === 'solana-message') return { kind, message: body }
  if (kind === 'typed-data') return { kind, json: body }
  if (kind === 'transaction') return { kind, unsigned: body }
  if (kind === 'authorization') return decodeAuthorization(body)
  if (body.length !== 32) throw refuse('a digest has 32 bytes')
  return { kind, digest: body }
}

/**
 * The inverse of `encodeSigningPayload`: accepts exactly the bytes it makes and copies what it keeps. Refuses
 * (INVALID_REQUEST) unknown versions, kinds and methods, a method that does not carry the kind, wrong lengths,
 * trailing bytes, and (REQUEST_TOO_LARGE) a body over its bound.
 */
export const parseSigningPayload = (bytes: Uint8Array): SigningPayload => {
  const [version, kindCode, methodCode, projectLength] = bytes
  if (version !== VERSION) throw refuse('unknown version')
  const kind = KINDS[kindCode ?? -1]
  const method = METHODS[methodCode ?? -1]
  if (kind === undefined || method === undefined) throw refuse('unknown kind or method')
  if (!CARRIES[method].includes(kind)) throw refuse(`${method} does not carry a ${kind}`)
  const bodyAt = 4 + (projectLength ?? 0) + 16 + 4
  if (projectLength === undefined || bytes.length < bodyAt) throw refuse('truncated')
  const projectId = parseProjectId(Buffer.from(bytes.subarray(4, 4 + projectLength)).toString('latin1'))
  if (projectId === undefined) throw refuse('the project id is malformed')
  const walletId = walletIdFromBytes(bytes.subarray(4 + projectLength, 20 + projectLength))
  const bodyLength = new DataView(bytes.buffer, bytes.byteOffset + bodyAt - 4, 4).getUint32(0, true)
  if (bodyLength > maxBodyBytes(kind)) throw failure('REQUEST_TOO_LARGE', { limitBytes: maxBodyBytes(kind) })
  if (bytes.length !== bodyAt + bodyLength) throw refuse('the length does not match')
  return { projectId, walletId, method, content: decodeBody(kind, bytes.slice(bodyAt)) }
}
