// Compiles the contracts that tests talk to: test/contracts/*.sol → *.json beside them, {name: creation bytecode}.
//   npm exec --yes --package=solc@0.8.37 -c 'node scripts/build-contracts.mjs'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const folder = resolve(import.meta.dirname, '../test/contracts')
for (const file of readdirSync(folder).filter((name) => name.endsWith('.sol'))) {
  const input = {
    language: 'Solidity',
    sources: { [file]: { content: readFileSync(resolve(folder, file), 'utf8') } },
    settings: {
      optimizer: { enabled: true, runs: 200 },
      evmVersion: 'shanghai',
      metadata: { appendCBOR: false, bytecodeHash: 'none' },
      outputSelection: { '*': { '*': ['evm.bytecode.object'] } },
    },
  }
  const output = JSON.parse(execFileSync('solcjs', ['--standard-json'], { input: JSON.stringify(input), encoding: 'utf8' }).replace(/^[^{]*/, ''))
  const errors = (output.errors ?? []).filter(({ severity }) => severity === 'error')
  if (errors.length > 0) throw new Error(errors.map(({ formattedMessage }) => formattedMessage).join('\n'))
  const made = Object.entries(output.contracts[file]).map(([name, { evm }]) => [name, `0x${evm.bytecode.object}`])
  writeFileSync(resolve(folder, file.replace(/\.sol$/, '.json')), `${JSON.stringify(Object.fromEntries(made), null, 2)}\n`)
}
