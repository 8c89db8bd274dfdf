import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'

const made: string[] = []

afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true })
})

/** A directory that is gone after the test. */
export const tempDir = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-config-'))
  made.push(dir)
  return dir
}

export const tempFile = (name: string, text: string, mode = 0o600): string => {
  const path = join(tempDir(), name)
  writeFileSync(path, text, { mode })
  return path
}
