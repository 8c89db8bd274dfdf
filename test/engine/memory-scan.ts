import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** What is looked for, kept inverted so that the search does not find itself. */
export type Pattern = { readonly name: string; readonly inverted: Uint8Array }

const MEMORY = '/proc/self/mem'
const CHUNK_BYTES = 1 << 20
const PREFIX_BYTES = 16

/** False where the process cannot read its own memory. */
export const canScan = (() => {
  try {
    closeSync(openSync(MEMORY, 'r'))
    return true
  } catch {
    return false
  }
})()

/** The first 16 bytes of a secret as they lie there, and as big-endian readers have them. */
export const patternsOf = (name: string, secret: Uint8Array): Pattern[] =>
  [false, true].map((reversed) => {
    const inverted = new Uint8Array(new ArrayBuffer(PREFIX_BYTES))
    for (let i = 0; i < PREFIX_BYTES; i++) inverted[i] = ~(secret[reversed ? secret.length - 1 - i : i] ?? 0)
    return { name: reversed ? `${name}, reversed` : name, inverted }
  })

/** The names of the patterns that lie anywhere in the writable memory of this process. */
export const scanMemory = (patterns: readonly Pattern[]): string[] => {
  const found = new Set<string>()
  const descriptor = openSync(MEMORY, 'r')
  const chunk = new Uint8Array(new ArrayBuffer(CHUNK_BYTES))
  try {
    for (const [start, end] of writableRegions()) {
      for (let at = start; at < end; at += CHUNK_BYTES - PREFIX_BYTES) {
        // What an earlier chunk held must not be found again in this one's own buffer.
        chunk.fill(0)
        const length = readAt(descriptor, chunk, Math.min(CHUNK_BYTES, end - at), at)
        for (const block of written(chunk.subarray(0, length))) {
          for (const name of matches(block, patterns)) found.add(name)
        }
      }
    }
  } finally {
    chunk.fill(0)
    closeSync(descriptor)
  }
  return [...found]
}

const BLOCK_BYTES = 1 << 14
const ZEROS = Buffer.alloc(BLOCK_BYTES)

/** The stretches of a chunk that are not all zeros, each with the beginning of what follows: most of what is reserved is empty. */
function* written(chunk: Uint8Array): Generator<Uint8Array> {
  let from: number | undefined
  for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
    const block = chunk.subarray(at, at + BLOCK_BYTES)
    const isEmpty = ZEROS.compare(block, 0, block.length, 0, block.length) === 0
    if (!isEmpty) from ??= Math.max(0, at - PREFIX_BYTES)
    else if (from !== undefined) {
      yield chunk.subarray(from, Math.min(chunk.length, at + PREFIX_BYTES))
      from = undefined
    }
  }
  if (from !== undefined) yield chunk.subarray(from)
}

const writableRegions = (): (readonly [number, number])[] =>
  readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .flatMap((line) => {
      const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
      return start === undefined || end === undefined ? [] : [[Number.parseInt(start, 16), Number.parseInt(end, 16)] as const]
    })

const readAt = (descriptor: number, into: Uint8Array, length: number, at: number): number => {
  try {
    return readSync(descriptor, into, 0, length, at)
  } catch {
    return 0
  }
}

const keyOf = (a: number, b: number): number => (a << 8) | b

const matches = (bytes: Uint8Array, patterns: readonly Pattern[]): string[] => {
  const byKey = new Map<number, Pattern[]>()
  const known = new Uint8Array(65_536)
  for (const pattern of patterns) {
    const key = keyOf(0xff ^ (pattern.inverted[0] ?? 0), 0xff ^ (pattern.inverted[1] ?? 0))
    known[key] = 1
    byKey.set(key, [...(byKey.get(key) ?? []), pattern])
  }
  const names: string[] = []
  for (let i = 0; i + PREFIX_BYTES <= bytes.length; i++) {
    const key = keyOf(bytes[i] as number, bytes[i + 1] as number)
    if (known[key] === 0) continue
    for (const { name, inverted } of byKey.get(key) ?? []) {
      let j = 2
      while (j < PREFIX_BYTES && ((bytes[i + j] as number) ^ 0xff) === inverted[j]) j += 1
      if (j === PREFIX_BYTES) names.push(name)
    }
  }
  return names
}
