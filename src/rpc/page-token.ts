/**
 * Page tokens. One carries a cursor and a MAC over it, the caller, the RPC and the filter, so that it continues
 * the list it came from and no other: another caller, RPC, filter or a changed byte is PAGE_TOKEN_INVALID. The
 * cursor itself is not secret.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { failure } from '../domain/failure.ts'

/** What a token is bound to. `filter` is any canonical text of the filter, page size and token left out. */
export type PageScope = { readonly caller: string; readonly method: string; readonly filter: string }

const MAC_BYTES = 16

const computeMac = (key: KeyObject, scope: PageScope, cursor: Uint8Array): Uint8Array => {
  const hmac = createHmac('sha256', key)
  const length = Buffer.allocUnsafe(4)
  for (const part of ['countersign/page-token/v1', scope.caller, scope.method, scope.filter, cursor]) {
    length.writeUInt32BE(Buffer.byteLength(part))
    hmac.update(length).update(part)
  }
  return hmac.digest().subarray(0, MAC_BYTES)
}

export type PageTokens = {
  readonly seal: (scope: PageScope, cursor: string | undefined) => string
  /** The cursor; undefined for the empty token, which asks for the first page. Throws PAGE_TOKEN_INVALID. */
  readonly open: (scope: PageScope, token: string) => string | undefined
}

/** `key`: a secret key of 32 bytes. */
export const createPageTokens = (key: KeyObject): PageTokens => ({
  seal: (scope, cursor) => {
    if (cursor === undefined) return ''
    const bytes = Buffer.from(cursor, 'utf8')
    return Buffer.concat([computeMac(key, scope, bytes), bytes]).toString('base64url')
  },
  open: (scope, token) => {
    if (token === '') return undefined
    const bytes = Buffer.from(token, 'base64url')
    const cursor = bytes.subarray(MAC_BYTES)
    const isOurs =
      bytes.length > MAC_BYTES &&
      bytes.toString('base64url') === token &&
      timingSafeEqual(bytes.subarray(0, MAC_BYTES), computeMac(key, scope, cursor))
    if (!isOurs) throw failure('PAGE_TOKEN_INVALID', {})
    return cursor.toString('utf8')
  },
})
