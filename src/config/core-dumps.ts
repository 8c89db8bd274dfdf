import { readFileSync } from 'node:fs'

/**
 * Whether a crash of this process may write its memory, keys included, to disk. Undefined where it cannot be told.
 */
export const coreDumpsOn = (limitsFile = '/proc/self/limits'): boolean | undefined => {
  try {
    const limit = /^Max core file size\s+(\S+)/m.exec(readFileSync(limitsFile, 'utf8'))?.[1]
    return limit === undefined ? undefined : limit !== '0'
  } catch {
    return undefined
  }
}
