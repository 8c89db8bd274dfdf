import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

/** The rings of docs/architecture.md: folder of src → folders of src it may import, besides itself. */
const ANY = '*'
const RINGS: Record<string, readonly string[]> = {
  '': [ANY],
  commands: [ANY],
  config: ['domain'],
  rpc: ['wallet', 'sending', 'admin', 'delegation', 'session', 'user', 'signing', 'observe', 'domain'],
  admin: ['signing', 'policy', 'party', 'vault', 'observe', 'domain'],
  wallet: ['signing', 'policy', 'payload', 'chain', 'party', 'vault', 'egress', 'observe', 'domain'],
  sending: ['signing', 'policy', 'payload', 'chain', 'party', 'vault', 'observe', 'domain'],
  delegation: ['sending', 'signing', 'policy', 'payload', 'chain', 'party', 'vault', 'egress', 'observe', 'domain'],
  session: ['signing', 'policy', 'payload', 'chain', 'party', 'vault', 'egress', 'observe', 'domain'],
  user: ['signing', 'policy', 'payload', 'chain', 'party', 'vault', 'egress', 'observe', 'domain'],
  signing: ['policy', 'payload', 'party', 'vault', 'observe', 'domain'],
  party: ['engine', 'payload', 'policy', 'vault', 'observe', 'domain'],
  policy: ['payload', 'domain'],
  payload: ['domain'],
  engine: ['domain'],
  vault: ['domain'],
  chain: ['egress', 'domain'],
  egress: ['domain'],
  observe: ['domain'],
  domain: [],
  /**
   * The engine's scalars, for adding the shares of an exported key and for splitting one that is imported; and party C of
   * delegated access, which reads what it signs.
   */
  client: ['engine', 'party', 'payload', 'domain'],
}

/** Folders that may import the generated stubs. */
const GEN = new Set(['rpc', 'party', 'client', 'commands'])
const PURE = new Set(['policy', 'payload', 'engine'])
const IMPURE_BUILTINS = /^node:(fs|net|http|https|http2|tls|dns|dgram|child_process|worker_threads|os|process)/
/** The kernel reads the .wasm file that lies beside it; nothing else in a pure ring touches a file. */
const PURE_EXCEPTIONS = new Set(['src/engine/kernel/load.ts'])

/** One door a dependency: package → the folders of src that may name it. */
const DOORS: readonly [RegExp, readonly string[]][] = [
  [/^better-sqlite3$/, ['vault']],
  [/^pino$/, ['observe']],
  [/^prom-client$/, ['observe']],
  [/^viem(\/|$)/, ['payload', 'chain', 'client']],
  [/^@connectrpc\//, ['rpc', 'client', 'commands']],
  [/^@grpc\//, ['rpc', 'party']],
  [/^@bufbuild\/protovalidate$/, ['rpc']],
  [/^@bufbuild\/protobuf(\/|$)/, ['rpc', 'party', 'client', 'commands']],
  [/^secp256k1(\/|$)/, ['engine']],
  [/^libsodium-wrappers-sumo$/, ['engine']],
  [/^commander$/, ['commands']],
  [/^jose$/, ['user', 'client']],
  [/^openid-client$/, ['user']],
  [/^nodemailer(\/|$)/, ['egress']],
  [/^@msgpack\/msgpack$/, ['payload']],
  [/^smol-toml$/, ['config']],
  [/^node:/, Object.keys(RINGS)],
]

const root = resolve(import.meta.dirname, '..')

const sourceFiles = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) return name === 'assembly' ? [] : sourceFiles(path)
    return name.endsWith('.ts') ? [path] : []
  })

const IMPORTS = [
  /^(?:import|export)\b[^'"`]*?\bfrom\s*'([^']+)'/gm,
  /^import\s*'([^']+)'/gm,
  /\bimport\(\s*'([^']+)'/g,
  /\brequire\(\s*'([^']+)'/g,
]

const files = sourceFiles(join(root, 'src')).map((path) => {
  const text = readFileSync(path, 'utf8')
  const name = relative(root, path)
  const ring = name.split('/').length > 2 ? (name.split('/')[1] as string) : ''
  const imports = IMPORTS.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] as string))
  return { path, name, ring, text, imports, lines: text.split('\n').length }
})

const ringOf = (specifier: string, from: string): string => {
  const target = relative(root, resolve(dirname(from), specifier))
  if (!target.startsWith('src/')) return target.split('/')[0] as string
  return target.split('/').length > 2 ? (target.split('/')[1] as string) : ''
}

const violations = (judge: (file: (typeof files)[number]) => string[]): string[] =>
  files.flatMap((file) => judge(file).map((what) => `${file.name}: ${what}`))

describe('the rings', () => {
  it('finds the sources', () => {
    expect(files.length).toBeGreaterThan(3)
    expect(files.filter((file) => !(file.ring in RINGS)).map((file) => file.name)).toEqual([])
  })

  it('lets a folder import only what the table allows', () => {
    const found = violations((file) =>
      file.imports
        .filter((specifier) => specifier.startsWith('.'))
        .filter((specifier) => {
          const target = ringOf(specifier, file.path)
          if (target === file.ring) return false
          if (target === 'gen') return !GEN.has(file.ring)
          const allowed = RINGS[file.ring] ?? []
          return !(allowed.includes(ANY) ? target !== 'client' || file.ring !== 'rpc' : allowed.includes(target))
        })
        .map((specifier) => `may not import ${specifier}`),
    )
    expect(found).toEqual([])
  })

  it('opens each dependency through one door', () => {
    const found = violations((file) =>
      file.imports
        .filter((specifier) => !specifier.startsWith('.'))
        .filter((specifier) => {
          const door = DOORS.find(([pattern]) => pattern.test(specifier))
          return door === undefined || !door[1].includes(file.ring)
        })
        .map((specifier) => `may not import ${specifier}`),
    )
    expect(found).toEqual([])
  })

  it('keeps the pure rings pure', () => {
    const found = violations((file) => {
      if (!PURE.has(file.ring) || PURE_EXCEPTIONS.has(file.name)) return []
      const builtins = file.imports.filter((specifier) => IMPURE_BUILTINS.test(specifier))
      const calls = [/\bDate\.now\(/, /\bnew Date\(\)/, /\bMath\.random\(/, /\brandomBytes\(/, /\brandomFillSync\(/]
      return [...builtins, ...calls.filter((call) => call.test(file.text)).map(String)].map((what) => `uses ${what}`)
    })
    expect(found).toEqual([])
  })

  it('reads the environment only in config', () => {
    expect(violations((file) => (/process\.env/.test(file.text) && file.ring !== 'config' ? ['process.env'] : []))).toEqual([])
  })

  it('keeps files small, named for what they hold, without barrels and default exports', () => {
    const found = violations((file) => {
      const limit = file.ring === 'engine' ? 800 : 400
      return [
        ...(file.lines > limit ? [`${file.lines} lines`] : []),
        ...(file.name.endsWith('/index.ts') ? ['is a barrel'] : []),
        ...(/^export default/m.test(file.text) ? ['has a default export'] : []),
        ...(/\b(util|utils|common|helpers?|managers?|core)(\/|\.ts$)/.test(file.name) ? ['has a vague name'] : []),
      ]
    })
    expect(found).toEqual([])
  })

  it('signs with the two parties and nothing else: only the bench composes another engine', () => {
    const naming = (word: RegExp): string[] => files.filter(({ text }) => word.test(text)).map(({ name }) => name)
    expect(naming(/\bcomposeDaemon\b/)).toEqual(['src/commands/serve.ts'])
    expect(naming(/\bnew TwoPartyEngine\b/)).toEqual(['src/commands/serve.ts'])
  })

  it('never adds a peer share to an own share: no engine function takes both', () => {
    const found = violations((file) =>
      /\b(shareC|xC)\b[^\n]*\b(shareS|xS)\b/.test(file.text) && /scalarAdd\([^)]*x[CS][^)]*x[CS]/.test(file.text)
        ? ['adds both shares']
        : [],
    )
    expect(found).toEqual([])
  })
})
