import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A configuration in a folder of its own, which is gone afterwards. */
export const configFile = (lines: readonly string[]) => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-config-'))
  const path = join(folder, 'countersign.toml')
  writeFileSync(path, lines.join('\n'))
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}
