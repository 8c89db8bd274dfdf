/** `npm run bench [engine|rpc]`: one JSON object a line. */
import { benchEngine } from './engine.ts'
import { benchRpc } from './rpc.ts'

const PARTS = { engine: benchEngine, rpc: benchRpc } as const

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !Object.hasOwn(PARTS, name))
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`)
for (const [name, bench] of Object.entries(PARTS)) {
  if (wanted.length === 0 || wanted.includes(name)) await bench()
}
