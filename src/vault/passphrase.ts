import { argon2 } from 'node:crypto'

/** Argon2id (RFC 9106). The default is the RFC's second recommended option: 64 MiB, 3 passes, 4 lanes. */
export type PassphraseCost = {
  readonly memoryKib: number
  readonly passes: number
  readonly lanes: number
  /** 16 bytes. */
  readonly salt: Uint8Array
}

export const DEFAULT_PASSPHRASE_COST = { memoryKib: 65_536, passes: 3, lanes: 4 }

const VERSION = 2
const ENCODED_BYTES = 1 + 4 + 4 + 1 + 16
/** A header that was tampered with must not make an open take all memory. */
const MEMORY_KIB_MAX = 4 * 1024 * 1024
const PASSES_MAX = 64

/** version u8 = 2 ‖ memoryKib u32 LE ‖ passes u32 LE ‖ lanes u8 ‖ salt 16. */
export const encodePassphraseCost = (cost: PassphraseCost): Buffer => {
  const out = Buffer.alloc(ENCODED_BYTES)
  out.writeUInt8(VERSION, 0)
  out.writeUInt32LE(cost.memoryKib, 1)
  out.writeUInt32LE(cost.passes, 5)
  out.writeUInt8(cost.lanes, 9)
  out.set(cost.salt, 10)
  return out
}

/**
 * Reads the leading cost of `encoded`; `bytes` is how many it took. undefined when it is not one this program
 * makes.
 */
export const decodePassphraseCost = (encoded: Uint8Array): (PassphraseCost & { bytes: number }) | undefined => {
  if (encoded.length < ENCODED_BYTES || encoded[0] !== VERSION) return undefined
  const view = Buffer.from(encoded.buffer, encoded.byteOffset, ENCODED_BYTES)
  const cost = {
    memoryKib: view.readUInt32LE(1),
    passes: view.readUInt32LE(5),
    lanes: view.readUInt8(9),
    salt: Uint8Array.from(view.subarray(10)),
    bytes: ENCODED_BYTES,
  }
  const sane =
    cost.lanes >= 1 && cost.memoryKib >= 8 * cost.lanes && cost.memoryKib <= MEMORY_KIB_MAX &&
    cost.passes >= 1 && cost.passes <= PASSES_MAX
  return sane ? cost : undefined
}

/** 32 bytes that the caller wipes. Runs off the event loop. */
export const stretchPassphrase = (passphrase: Uint8Array, cost: PassphraseCost): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    argon2(
      'argon2id',
      {
        message: passphrase,
        nonce: cost.salt,
        memory: cost.memoryKib,
        passes: cost.passes,
        parallelism: cost.lanes,
        tagLength: 32,
      },
      (error, key) => (error === null || error === undefined ? resolve(key) : reject(error)),
    )
  })
