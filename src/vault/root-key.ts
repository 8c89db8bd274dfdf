import { createSecretKey, hkdfSync, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import { assert } from '../domain/failure.ts'

/**
 * Every key of a vault, on one page. The root is 32 random bytes made with the vault and stored only wrapped by
 * its provider (root-key-provider.ts), so the provider can be changed without resealing a row. What becomes of them when
 * the root itself is replaced is told in vault-keys.ts. All other keys are
 * HKDF-SHA256(root, salt = vault id, info = "countersign/vault/v1/" + purpose), 32 bytes:
 *
 * | purpose     | key of |
 * |---|---|
 * | verifier    | nothing: stored, tells the right root from a wrong one |
 * | share       | AES-256-GCM wrapping of the data keys of wallet shares; handed to the share-holding worker |
 * | secret      | AES-256-GCM wrapping of the data keys of the vault's own secrets (audit signing key) |
 * | row-mac     | HMAC over rows that decide what may be signed (API keys, wallets, links) |
 * | state-index | HMAC of the index that notices a rolled-back row |
 * | api-key     | HMAC of API key secrets |
 * | page-token  | HMAC of page tokens |
 * | response    | AES-256-GCM of answers kept for repeated requests: one that made an API key holds its secret |
 */
export type KeyPurpose = 'verifier' | 'share' | 'secret' | 'row-mac' | 'state-index' | 'api-key' | 'page-token' | 'response'

export const ROOT_KEY_BYTES = 32

export class RootKey {
  readonly #root: Uint8Array
  readonly #salt: Uint8Array
  #wiped = false

  /** Takes ownership of `root` (32 bytes): `wipe` overwrites it. */
  constructor(root: Uint8Array, vaultId: Uint8Array) {
    assert(root.length === ROOT_KEY_BYTES, 'a root key has 32 bytes')
    this.#root = root
    this.#salt = vaultId
  }

  /** 32 bytes that the caller owns and wipes. */
  derive(purpose: KeyPurpose): Uint8Array {
    assert(!this.#wiped, 'a wiped root key derives nothing')
    return new Uint8Array(hkdfSync('sha256', this.#root, this.#salt, `countersign/vault/v1/${purpose}`, 32))
  }

  /** The same key as an opaque handle. */
  deriveHandle(purpose: KeyPurpose): KeyObject {
    const bytes = this.derive(purpose)
    const key = createSecretKey(bytes)
    bytes.fill(0)
    return key
  }

  /** The root itself, for its provider to wrap. The caller does not keep it. */
  async useRoot<T>(use: (root: Uint8Array) => Promise<T>): Promise<T> {
    assert(!this.#wiped, 'a wiped root key is not wrapped')
    return use(this.#root)
  }

  wipe(): void {
    this.#root.fill(0)
    this.#wiped = true
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}

export const generateRootKey = (vaultId: Uint8Array): RootKey => new RootKey(randomBytes(ROOT_KEY_BYTES), vaultId)
