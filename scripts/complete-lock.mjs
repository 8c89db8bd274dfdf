// `npm install` leaves packages for other platforms out of the lock file when the registry it asked does not carry
// them; `npm ci` then refuses the lock. This adds the missing entries ({version, os, cpu, libc, optional}). They hold
// no integrity hash, because nothing was downloaded to hash. Run after every `npm install`: `npm run lock:complete`.
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))
const LIBC = [['musl', 'musl'], ['gnu', 'glibc']]
const OS = ['darwin', 'linux', 'win32', 'freebsd', 'openbsd', 'netbsd', 'android', 'sunos', 'aix', 'openharmony']
const CPU = ['x64', 'amd64', 'arm64', 'ia32', 'arm', 'armv7', 'ppc64', 's390x', 'riscv64', 'loong64', 'wasm32', 'mips64el']

let added = 0
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const nested = path === '' ? '' : `${path}/`
    const hoisted = `node_modules/${name}`
    if (lock.packages[`${nested}node_modules/${name}`] || lock.packages[hoisted]) continue
    const words = name.split(/[-/]/)
    const os = OS.filter((word) => words.includes(word))
    const cpu = CPU.filter((word) => words.includes(word)).map((word) => (word === 'amd64' ? 'x64' : word === 'armv7' ? 'arm' : word))
    const libc = LIBC.filter(([word]) => words.includes(word)).map(([, value]) => value)
    lock.packages[hoisted] = {
      version,
      ...(os.length ? { os } : {}),
      ...(cpu.length ? { cpu } : {}),
      ...(libc.length ? { libc } : {}),
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
    }
    added += 1
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
process.stdout.write(`${added} entries added\n`)
