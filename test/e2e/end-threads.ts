/**
 * Preloaded into a daemon under test (`--import`), and so into each of its threads: a thread ends itself when a file of
 * its name appears in the directory that the URL's query names. Nothing in the product knows of it.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread, threadName } from 'node:worker_threads'

const directory = new URL(import.meta.url).searchParams.get('directory')
if (!isMainThread && directory !== null && threadName !== null) {
  const file = join(directory, threadName.replaceAll(' ', '-'))
  const look = (): void => {
    try {
      rmSync(file)
    } catch {
      return
    }
    process.exit(1)
  }
  setInterval(look, 10).unref()
}
