/**
 * `npm run bench`: one JSON object a line. `engine` and `rpc` name its halves; `--compare`, `--load`, `--scale`,
 * `--session`, `--remote` and `--delegated` are runs of their own. `--quick` does next to nothing of each, to see whether
 * it works.
 */
import { benchCompare } from './compare.ts'
import { FULL, QUICK } from './compare-sizes.ts'
import { benchProfiles, FULL_PROFILES, QUICK_PROFILES } from './profiles.ts'
import { benchLoad, FULL_LOAD, QUICK_LOAD } from './h2load.ts'
import { benchDelegated, FULL_DELEGATED, QUICK_DELEGATED } from './delegated.ts'
import { benchEngine } from './engine.ts'
import { benchScale, FULL_SCALE, QUICK_SCALE } from './scale.ts'
import { benchSession, FULL_SESSION, QUICK_SESSION } from './session.ts'
import { benchRemote, FULL_REMOTE, QUICK_REMOTE } from './remote.ts'
import { benchRpc } from './rpc.ts'

const QUICK_FLAG = '--quick'
const words = process.argv.slice(2)
const isQuick = words.includes(QUICK_FLAG)
const wanted = words.filter((word) => word !== QUICK_FLAG)

const PARTS: { readonly [name: string]: () => Promise<void> } = {
  engine: benchEngine,
  rpc: benchRpc,
  '--profiles': () => benchProfiles(isQuick ? QUICK_PROFILES : FULL_PROFILES),
  '--compare': () => benchCompare(isQuick ? QUICK : FULL),
  '--load': () => benchLoad(isQuick ? QUICK_LOAD : FULL_LOAD),
  '--session': () => benchSession(isQuick ? QUICK_SESSION : FULL_SESSION),
  '--remote': () => benchRemote(isQuick ? QUICK_REMOTE : FULL_REMOTE),
  '--delegated': () => benchDelegated(isQuick ? QUICK_DELEGATED : FULL_DELEGATED),
  '--scale': () => benchScale(isQuick ? QUICK_SCALE : FULL_SCALE),
}

const unknown = wanted.filter((name) => !Object.hasOwn(PARTS, name))
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`)
for (const name of wanted.length === 0 ? ['engine', 'rpc'] : Object.keys(PARTS)) {
  if (wanted.length === 0 || wanted.includes(name)) await PARTS[name]?.()
}
