// Compiles src/engine/kernel/assembly to src/engine/kernel/kernel.wasm. With --check it writes nothing and fails when
// the committed file is not byte for byte what the sources give; with --text it prints the module as text.
import { readFileSync, writeFileSync } from 'node:fs'
import { main } from 'assemblyscript/asc'

const folder = new URL('../src/engine/kernel/', import.meta.url)
const target = new URL('kernel.wasm', folder)
const read = (name) => {
  try {
    return readFileSync(new URL(name, folder), 'utf8')
  } catch {
    return null
  }
}

const outputs = new Map()
const { error } = await main(
  [
    'assembly/kernel.ts', '--outFile', 'kernel.wasm', '--textFile', 'kernel.wat', '-O3', '--converge', '--noAssert', '--runtime', 'stub',
    '--enable', 'simd', '--enable', 'bulk-memory', '--initialMemory', '64', '--maximumMemory', '64',
  ],
  { readFile: read, writeFile: (name, data) => outputs.set(name, data), listFiles: () => [] },
)
if (error) throw error

const built = outputs.get('kernel.wasm')
if (process.argv.includes('--check')) {
  if (!readFileSync(target).equals(Buffer.from(built))) {
    process.stderr.write('kernel.wasm is not what its sources compile to: run npm run build:kernel\n')
    process.exitCode = 1
  }
} else if (process.argv.includes('--text')) {
  process.stdout.write(outputs.get('kernel.wat'))
} else {
  writeFileSync(target, built)
  process.stdout.write(`kernel.wasm: ${built.length} bytes\n`)
}
