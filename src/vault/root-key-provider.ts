import { randomBytes } from 'node:crypto'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { failure, isFailure } from '../domain/failure.ts'
import { readPrivateFile, syncDirectory, writePrivateFile } from './private-file.ts'
import { decryptBound, encryptBound } from './sealed-record.ts'
import {
  DEFAULT_PASSPHRASE_COST,
  decodePassphraseCost,
  encodePassphraseCost,
  stretchPassphrase,
} from './passphrase.ts'

/**
 * Who keeps a vault's root from being read: a provider wraps it when the vault is made and unwraps it at each
 * open. Both calls are asynchronous and see only bytes, so a provider that asks a remote service fits beside the
 * local ones.
 */
export type RootKeyProvider = {
  /** How it is named in errors and status: the scheme and, where it has one, the name; never the secret. */
  readonly name: string
  /** Wraps `root` (32 bytes) so that it opens only under the same `aad`. ROOT_KEY_UNREADABLE when it cannot. */
  readonly wrap: (root: Uint8Array, aad: Uint8Array) => Promise<Uint8Array>
  /** Answers a buffer the caller owns. ROOT_KEY_WRONG for another key or altered bytes; ROOT_KEY_UNREADABLE. */
  readonly unwrap: (wrapped: Uint8Array, aad: Uint8Array) => Promise<Uint8Array>
  /**
   * Begins to replace the provider's own key, where it has one to replace: what `wrap` of the answer makes opens
   * under the provider from then on, before and after `settle`, and under nothing else. `wrapped` is what it keeps now.
   * ROOT_KEY_UNREADABLE.
   */
  readonly renew?: ((wrapped: Uint8Array, aad: Uint8Array) => Promise<RenewedKey>) | undefined
}

export type RenewedKey = {
  readonly wrap: RootKeyProvider['wrap']
  /** After what was wrapped is durable: the new key takes the place of the old one. */
  readonly settle: () => void
  /** Instead of `settle`: nothing was wrapped. */
  readonly abandon: () => void
}

/** `file:/path`, `passphrase:`, `systemd-cred:name`. */
export type RootKeyUri =
  | { readonly scheme: 'file'; readonly path: string }
  | { readonly scheme: 'passphrase' }
  | { readonly scheme: 'systemd-cred'; readonly credential: string }

/** What the environment holds, read by config and passed in. */
export type RootKeySources = {
  /** For `passphrase:`; stays the caller's, who may wipe it after the vault is open. */
  readonly passphrase?: Uint8Array | undefined
  /** For `systemd-cred:`: the value of $CREDENTIALS_DIRECTORY. */
  readonly credentialsDirectory?: string | undefined
}

const CREDENTIAL_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/

/** undefined when `text` names no provider this program has. */
export const parseRootKeyUri = (text: string): RootKeyUri | undefined => {
  const colon = text.indexOf(':')
  const scheme = text.slice(0, Math.max(colon, 0))
  const rest = text.slice(colon + 1)
  if (scheme === 'file') return rest === '' ? undefined : { scheme, path: rest.replace(/^\/\/(?=\/)/, '') }
  if (scheme === 'passphrase') return rest === '' ? { scheme } : undefined
  if (scheme === 'systemd-cred') return CREDENTIAL_NAME.test(rest) ? { scheme, credential: rest } : undefined
  return undefined
}

/** Refuses with ROOT_KEY_UNREADABLE what is not a provider URI. Reads nothing yet. */
export const createRootKeyProvider = (text: string, sources: RootKeySources = {}): RootKeyProvider => {
  const uri = parseRootKeyUri(text)
  if (uri === undefined) {
    const scheme = /^[a-z-]{1,20}:/.exec(text)?.[0] ?? 'unknown:'
    throw failure('ROOT_KEY_UNREADABLE', { provider: scheme, why: 'not a root key provider' })
  }
  if (uri.scheme === 'passphrase') return passphraseProvider(sources.passphrase)
  if (uri.scheme === 'file') return renewableFileProvider(uri.path)
  return keyFileProvider(
    `systemd-cred:${uri.credential}`,
    () => {
      if (sources.credentialsDirectory === undefined) {
        throw failure('ROOT_KEY_UNREADABLE', {
          provider: `systemd-cred:${uri.credential}`,
          why: 'there is no credentials directory',
        })
      }
      return join(sources.credentialsDirectory, uri.credential)
    },
    false,
  )
}

const NONCE_BYTES = 12
const KEY_BYTES = 32
const WRAP_VERSION = 1

const wrapLocally = (kek: Uint8Array, aad: Uint8Array, root: Uint8Array): Buffer => {
  const nonce = randomBytes(NONCE_BYTES)
  return Buffer.concat([nonce, encryptBound(kek, nonce, aad, root)])
}

const unwrapLocally = (provider: string, kek: Uint8Array, aad: Uint8Array, wrapped: Uint8Array): Uint8Array => {
  const root = decryptBound(kek, wrapped.subarray(0, NONCE_BYTES), aad, wrapped.subarray(NONCE_BYTES))
  if (root === undefined) throw failure('ROOT_KEY_WRONG', { provider })
  return root
}

/** Wrapped form: version u8 ‖ nonce 12 ‖ AES-256-GCM(key of the file, aad, root) 48. */
const keyFileProvider = (name: string, path: () => string, mustBePrivate: boolean): RootKeyProvider => {
  const withKey = <T>(use: (kek: Uint8Array) => T): T => {
    const kek = readKeyFile(name, path(), mustBePrivate)
    try {
      return use(kek)
    } finally {
      kek.fill(0)
    }
  }
  return {
    name,
    wrap: async (root, aad) =>
      withKey((kek) => Buffer.concat([Buffer.from([WRAP_VERSION]), wrapLocally(kek, aad, root)])),
    unwrap: async (wrapped, aad) =>
      withKey((kek) => {
        if (wrapped[0] !== WRAP_VERSION) throw failure('ROOT_KEY_WRONG', { provider: name })
        return unwrapLocally(name, kek, aad, wrapped.subarray(1))
      }),
  }
}

/**
 * A key file that can be replaced without an instant at which neither key opens the vault: the new key lies beside the
 * old one as `<path>.next` until what it wraps is durable, and is tried when the old one does not open. Where it does,
 * a crash came between, and what was left to do is done.
 */
const renewableFileProvider = (path: string): RootKeyProvider => {
  const name = `file:${path}`
  const nextPath = `${path}.next`
  const own = keyFileProvider(name, () => path, true)
  const next = keyFileProvider(name, () => nextPath, true)
  const settle = (): void => {
    try {
      renameSync(nextPath, path)
      syncDirectory(dirname(path))
    } catch (error) {
      throw failure('ROOT_KEY_UNREADABLE', { provider: name, why: `it cannot be replaced (${errorCode(error)})` })
    }
  }
  return {
    ...own,
    unwrap: async (wrapped, aad) => {
      try {
        return await own.unwrap(wrapped, aad)
      } catch (error) {
        if (!isFailure(error) || error.reason !== 'ROOT_KEY_WRONG' || !existsSync(nextPath)) throw error
        const root = await next.unwrap(wrapped, aad)
        settle()
        return root
      }
    },
    renew: async (wrapped, aad) => {
      // A key that is there was made for a rotation that never came to be, or is the present one, not yet in its place.
      if (existsSync(nextPath)) {
        const isPresent = await next.unwrap(wrapped, aad).then(wiped, () => false)
        if (isPresent) settle()
        else rmSync(nextPath)
      }
      createRootKeyFile(nextPath)
      syncDirectory(dirname(nextPath))
      return { wrap: next.wrap, settle, abandon: () => rmSync(nextPath, { force: true }) }
    },
  }
}

const wiped = (root: Uint8Array): true => {
  root.fill(0)
  return true
}

const KEY_FILE_MAX_BYTES = 66

/** 32 raw bytes, or 64 hex digits with at most a line end behind them. */
const readKeyFile = (provider: string, path: string, mustBePrivate: boolean): Uint8Array => {
  const unreadable = (why: string) => failure('ROOT_KEY_UNREADABLE', { provider, why })
  const content = Buffer.alloc(KEY_FILE_MAX_BYTES + 1)
  try {
    const length = readPrivateFile(path, content, mustBePrivate, unreadable)
    const key = decodeKey(content.subarray(0, length))
    if (key === undefined) throw unreadable('it holds neither 32 bytes nor 64 hex digits')
    return key
  } finally {
    content.fill(0)
  }
}

const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'error'

const HEX_DIGIT_VALUE = (code: number): number => {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

/** Decodes without making a string: strings cannot be wiped. */
const decodeKey = (content: Uint8Array): Uint8Array | undefined => {
  if (content.length === KEY_BYTES) return Uint8Array.from(content)
  let end = content.length
  while (end > 64 && (content[end - 1] === 0x0a || content[end - 1] === 0x0d)) end--
  if (end !== 64) return undefined
  const key = new Uint8Array(KEY_BYTES)
  let invalid = 0
  for (let at = 0; at < KEY_BYTES; at++) {
    const high = HEX_DIGIT_VALUE(content[2 * at] ?? 0)
    const low = HEX_DIGIT_VALUE(content[2 * at + 1] ?? 0)
    invalid |= high | low
    key[at] = (high << 4) | low
  }
  return invalid < 0 ? undefined : key
}

/** Makes a new random key file, 64 hex digits, mode 0600, fsynced. Refuses to touch a file that is there. */
export const createRootKeyFile = (path: string): void => {
  const provider = `file:${path}`
  const key = randomBytes(KEY_BYTES)
  const text = Buffer.from(`${key.toString('hex')}\n`, 'ascii')
  try {
    writePrivateFile(path, text)
  } catch (error) {
    throw failure('ROOT_KEY_UNREADABLE', { provider, why: `the file cannot be made (${errorCode(error)})` })
  } finally {
    key.fill(0)
    text.fill(0)
  }
}

/**
 * Wrapped form: cost and salt (passphrase.ts) ‖ nonce 12 ‖ AES-256-GCM(argon2id(passphrase), aad ‖ cost and salt,
 * root).
 */
const passphraseProvider = (passphrase: Uint8Array | undefined): RootKeyProvider => {
  const name = 'passphrase:'
  const required = (): Uint8Array => {
    // One that its owner has wiped must not become the passphrase of anything.
    if (passphrase === undefined || passphrase.every((byte) => byte === 0)) {
      throw failure('ROOT_KEY_UNREADABLE', { provider: name, why: 'no passphrase was given' })
    }
    return passphrase
  }
  return {
    name,
    wrap: async (root, aad) => {
      const cost = encodePassphraseCost({ ...DEFAULT_PASSPHRASE_COST, salt: randomBytes(16) })
      const kek = await stretchPassphrase(required(), decodePassphraseCost(cost)!)
      try {
        return Buffer.concat([cost, wrapLocally(kek, Buffer.concat([aad, cost]), root)])
      } finally {
        kek.fill(0)
      }
    },
    unwrap: async (wrapped, aad) => {
      const decoded = decodePassphraseCost(wrapped)
      if (decoded === undefined) throw failure('ROOT_KEY_WRONG', { provider: name })
      const kek = await stretchPassphrase(required(), decoded)
      try {
        const cost = wrapped.subarray(0, decoded.bytes)
        return unwrapLocally(name, kek, Buffer.concat([aad, cost]), wrapped.subarray(decoded.bytes))
      } finally {
        kek.fill(0)
      }
    },
  }
}
