import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { describeConfig } from '../../src/config/describe-config.ts'
import { loadConfig, type Flags } from '../../src/config/load-config.ts'
import type { Environment } from '../../src/config/read-secret.ts'
import { tempDir, tempFile } from './temp-files.ts'

const load = (flags: Flags = {}, environment: Environment = {}) => loadConfig(flags, { environment, cwd: '/srv' })

const refusal = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('was not refused')
}

describe('defaults and precedence', () => {
  it('serves on loopback from ./.countersign', () => {
    const { config, warnings } = load()
    expect(config.dataDir).toBe('/srv/.countersign')
    expect(config.grpcListen).toEqual({ host: '127.0.0.1', port: 50051 })
    expect(config.connectListen).toEqual({ host: '127.0.0.1', port: 50052 })
    expect(config.socket).toBe('/srv/.countersign/countersign.sock')
    expect(config.rootKey.uri).toBe('file:/srv/.countersign/root.key')
    expect(config.cosignerRootKey.uri).toBe('file:/srv/.countersign/cosigner-root.key')
    expect(config.tls).toBeUndefined()
    expect(warnings).toEqual([])
  })

  it('lets a flag outrank a variable, a variable the file, the file the default', () => {
    const path = tempFile(
      'c.toml',
      'grpc_listen = "127.0.0.1:1"\nconnect_listen = "127.0.0.1:2"\nsocket = "s.sock"\n',
    )
    const flags = { config: path, 'grpc-listen': '127.0.0.1:3' }
    const { config, sources } = load(flags, {
      COUNTERSIGN_GRPC_LISTEN: '127.0.0.1:4',
      COUNTERSIGN_CONNECT_LISTEN: '[::1]:0',
    })
    expect(config.grpcListen.port).toBe(3)
    expect(config.connectListen).toEqual({ host: '::1', port: 0 })
    expect(config.socket).toBe(path.replace('c.toml', 's.sock'))
    expect(sources).toMatchObject({
      'grpc-listen': 'flag',
      'connect-listen': 'environment',
      socket: 'file',
      'data-dir': 'default',
    })
  })

  it('takes paths of the file relative to the file and those of flags relative to the working directory', () => {
    const path = tempFile('c.toml', 'data_dir = "data"\nroot_key = "file:keys/a"\n')
    const { config } = load({ config: path, 'cosigner-root-key': 'file:keys/b' })
    expect(config.dataDir).toBe(path.replace('c.toml', 'data'))
    expect(config.rootKey.reference).toBe(path.replace('c.toml', 'keys/a'))
    expect(config.cosignerRootKey.reference).toBe('/srv/keys/b')
  })

  it('freezes what it returns, all the way down', () => {
    const { config, secrets } = load()
    expect(Object.isFrozen(config)).toBe(true)
    expect(Object.isFrozen(config.presignatures)).toBe(true)
    expect(Object.isFrozen(config.grpcListen)).toBe(true)
    expect(Object.isFrozen(secrets)).toBe(true)
  })
})

describe('values out of bounds', () => {
  it.each([
    ['grpc-listen', '127.0.0.1'],
    ['grpc-listen', '127.0.0.1:65536'],
    ['grpc-listen', '127.0.0.1:-1'],
    ['grpc-listen', '::1:50051'],
    ['grpc-listen', ''],
    ['socket', ''],
    ['socket', '/x\0y'],
    ['data-dir', 'x'.repeat(4097)],
    ['root-key', 'root.key'],
    ['root-key', 'http://x'],
    ['root-key', 'file:'],
    ['root-key', 'systemd-cred:../x'],
    ['root-key', 'passphrase:hunter2'],
    ['presignatures-low-water', '-1'],
    ['presignatures-low-water', '1e3'],
    ['presignatures-high-water', '0'],
    ['presignatures-high-water', '4097'],
    ['presignatures-batch', '3'],
    ['presignatures-batch', '65'],
    ['presignature-ttl-seconds', '119'],
    ['allow-plaintext-beyond-loopback', 'yes'],
    ['log-level', 'loud'],
  ])('refuses --%s %s', (name, value) => {
    expect(refusal(() => load({ [name]: value }))).toContain(`--${name}`)
  })

  it('does not repeat a passphrase that was put behind passphrase:', () => {
    expect(refusal(() => load({ 'root-key': 'passphrase:hunter2' }))).not.toContain('hunter2')
  })

  it('refuses a socket path the system could not bind', () => {
    expect(refusal(() => load({ 'data-dir': `/${'d'.repeat(100)}` }))).toContain('unix socket path')
  })
})

describe('contradictions', () => {
  it('refuses plaintext beyond loopback unless it is asked for by name', () => {
    for (const host of ['0.0.0.0', '[::]', '10.0.0.1', 'signer.example', '127.evil.example']) {
      expect(refusal(() => load({ 'grpc-listen': `${host}:1` }))).toContain('--allow-plaintext-beyond-loopback')
      expect(refusal(() => load({ 'connect-listen': `${host}:1` }))).toContain('--connect-listen')
    }
    expect(
      load({ 'grpc-listen': '0.0.0.0:1', 'allow-plaintext-beyond-loopback': true }).config.grpcListen.host,
    ).toBe('0.0.0.0')
    const tls = { 'tls-cert-file': 'c.pem', 'tls-key-file': 'k.pem' }
    expect(load({ 'grpc-listen': '0.0.0.0:1', ...tls }).config.tls?.certFile).toBe('/srv/c.pem')
    for (const host of ['127.0.0.1', '127.1.2.3', '[::1]', 'localhost']) load({ 'grpc-listen': `${host}:1` })
  })

  it('reads where the daemon may reach out to, and refuses what is neither host nor network', () => {
    expect(load({}).config.egress).toEqual({ allow: [], authorityFile: undefined })
    const given = load({ 'egress-allow': 'Keys.Internal, 10.1.0.0/16,::1' }).config.egress.allow
    expect(given).toEqual(['keys.internal', '10.1.0.0/16', '::1'])
    for (const bad of ['', ',', 'a,', 'http://a', '*.example.com', '10.1.0.1/16', '127.1', '2130706433', 'a b'])
      expect(() => load({ 'egress-allow': bad }), bad).toThrow('--egress-allow')
  })

  it('reads how e-mail is sent, and refuses half of it', () => {
    const server = { 'smtp-server': 'mail.example:587', 'smtp-from': 'a@mail.example' }
    expect(load().config.mail).toBeUndefined()
    expect(load(server).config.mail).toEqual({
      server: { host: 'mail.example', port: 587 },
      security: 'starttls',
      username: undefined,
      from: 'a@mail.example',
    })
    const password = tempFile('password', 'word\n')
    const { config, secrets } = load({ ...server, 'smtp-username': 'daemon', 'smtp-password-file': password })
    expect(config.mail?.username).toBe('daemon')
    expect(Buffer.from(secrets.smtpPassword?.reveal() ?? []).toString()).toBe('word')
    expect(refusal(() => load({ 'smtp-server': 'mail.example:587' }))).toContain('--smtp-from')
    expect(refusal(() => load({ ...server, 'smtp-username': 'daemon' }))).toContain('--smtp-password-file')
    expect(refusal(() => load({ ...server, 'smtp-password-file': password }))).toContain('--smtp-username')
    const plain = { ...server, 'smtp-security': 'none', 'smtp-username': 'daemon', 'smtp-password-file': password }
    expect(refusal(() => load(plain))).toContain('plain text')
    for (const [name, bad] of [['smtp-server', 'mail.example'], ['smtp-server', 'mail.example:0'], ['smtp-security', 'ssl'], ['smtp-from', 'a'], ['smtp-username', '']])
      expect(refusal(() => load({ ...server, [name as string]: bad }))).toContain(`--${name}`)
  })

  it('refuses half a TLS configuration', () => {
    expect(refusal(() => load({ 'tls-cert-file': 'c' }))).toContain('--tls-key-file')
    expect(refusal(() => load({ 'tls-key-file': 'k' }))).toContain('--tls-cert-file')
    expect(refusal(() => load({ 'tls-client-ca-file': 'ca' }))).toContain('--tls-cert-file')
  })

  it('refuses one root key for both parties', () => {
    expect(refusal(() => load({ 'root-key': 'file:k', 'cosigner-root-key': 'file:k' }))).toContain('must differ')
  })

  it('lets no pool be deeper than all together', () => {
    const deep = { 'presignatures-high-water': '128', 'presignatures-capacity': '100' }
    expect(refusal(() => load(deep))).toContain('--presignatures-high-water')
  })

  it('serves metrics beyond loopback only where the risk is named, TLS or not', () => {
    expect(load({}).config.metricsListen).toBeUndefined()
    expect(load({ 'metrics-listen': '127.0.0.1:0' }).config.metricsListen).toEqual({ host: '127.0.0.1', port: 0 })
    const far = { 'metrics-listen': '0.0.0.0:9464' }
    expect(refusal(() => load(far))).toContain('--metrics-listen')
    expect(refusal(() => load({ ...far, 'tls-cert-file': 'a', 'tls-key-file': 'b' }))).toContain('--metrics-listen')
    load({ ...far, 'allow-plaintext-beyond-loopback': true })
  })

  it('refuses a low water that is not below the high water', () => {
    expect(refusal(() => load({ 'presignatures-low-water': '64', 'presignatures-high-water': '64' }))).toContain(
      'below the high water',
    )
  })
})

describe('the file', () => {
  it.each([
    ['grpc_listne = "x"\n', ':1:1: unknown key grpc_listne'],
    ['log_level = "info"\n\n  [server]\nport = 1\n', ':3:4: unknown section server'],
    [
      '[[socket]]\npath = "a"\napi_key_id = "key_0123456789abcdef"\nmode = 7\n',
      ':4:1: unknown key mode in [[socket]]',
    ],
    ['[[socket]]\npath = "a"\napi_key_id = "csk_abc"\n', ':3:1: api_key_id'],
    ['[[socket]]\npath = "a"\n[[socket]]\npath = "b"\n', '[[socket]] number 2: lacks api_key_id'],
    ['[[socket]]\napi_key_id = "key_0123456789abcdef"\n', '[[socket]] number 1: lacks path'],
    ['[socket]\npath = "a"\n', 'write it as [[socket]]'],
    ['root_key_passphrase = "hunter2"\n', 'is a secret: name a file with root_key_passphrase_file'],
    ['log_level = "info"\nlog_level = "warn"\n', ':2:1'],
    ['log_level = \n', ':1:'],
    ['presignatures_high_water = 99999999999999999999\n', ':1:1: presignatures_high_water'],
    ['presignatures_high_water = 5000\n', ':1:1: presignatures_high_water: expected a whole number'],
    ['presignatures_high_water = 6.5\n', ':1:1: presignatures_high_water: expected a whole number'],
    ['grpc_listen = 50051\n', ':1:1: grpc_listen: expected host:port'],
    ['grpc_listen = ["a"]\n', ':1:1: grpc_listen'],
    ['__proto__ = 1\n', ':1:1: document contains an unsafe property'],
    ['[[tls_identity]]\nidentity = "spiffe://d/w"\napi_key_id = "key_0123456789abcdef"\n', '--tls-client-ca-file'],
  ])('refuses %j', (text, expected) => {
    const path = tempFile('c.toml', text)
    const message = refusal(() => load({ config: path }))
    expect(message).toContain(expected)
    expect(message).toContain(expected.startsWith('--') ? '' : expected.startsWith(':') ? path : '')
    expect(message).not.toContain('hunter2')
  })

  it('refuses a file that is not there, a directory, and one too large', () => {
    expect(refusal(() => load({ config: '/nowhere/c.toml' }))).toBe('/nowhere/c.toml: cannot be read (ENOENT)')
    expect(refusal(() => load({ config: tempDir() }))).toContain('cannot be read (EISDIR)')
    expect(refusal(() => load({ config: tempFile('c.toml', `# ${'x'.repeat(1_048_576)}`) }))).toContain(
      'larger than',
    )
  })

  it('reads bound sockets and TLS identities', () => {
    const path = tempFile(
      'c.toml',
      `tls_cert_file = "c"
tls_key_file = "k"
tls_client_ca_file = "ca"
[[socket]]
path = "/run/main.sock"
[[socket]]
path = "/run/bot.sock"
api_key_id = "key_0123456789abcdef"
[[tls_identity]]
identity = "spiffe://example.org/bot"
api_key_id = "key_0123456789abcdef"
[[tls_identity]]
identity = "CN=desk"
api_key_id = "key_fedcba9876543210"
`,
    )
    const { config } = load({ config: path })
    expect(config.socket).toBe('/run/main.sock')
    expect(config.sockets).toEqual([{ path: '/run/bot.sock', apiKeyId: 'key_0123456789abcdef' }])
    expect(config.tlsIdentities.map(({ identity }) => identity)).toEqual(['spiffe://example.org/bot', 'CN=desk'])
  })

  it('refuses two sockets at one path', () => {
    const path = tempFile(
      'c.toml',
      'socket = "/run/a.sock"\n'.replace('socket', 'log_level = "info"\n[[socket]]\npath') +
        '[[socket]]\npath = "/run/a.sock"\napi_key_id = "key_0123456789abcdef"\n',
    )
    expect(refusal(() => load({ config: path }))).toContain('named twice')
  })
})

describe('secrets', () => {
  const reveal = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes)

  it('come from a file named by flag, variable or config file, without the line end', () => {
    const path = tempFile('p', 'correct horse\n')
    for (const [flags, environment] of [
      [{ 'root-key-passphrase-file': path }, {}],
      [{}, { COUNTERSIGN_ROOT_KEY_PASSPHRASE_FILE: path }],
      [{ config: tempFile('c.toml', `root_key_passphrase_file = "${path}"\n`) }, {}],
    ] as const) {
      const { secrets, warnings } = load(flags, environment)
      expect(reveal(secrets.rootKeyPassphrase?.reveal())).toBe('correct horse')
      expect(warnings).toEqual([])
    }
  })

  it("come from systemd's credentials directory by their name", () => {
    const path = tempFile('cosigner-root-key-passphrase', 'battery')
    const { secrets, config } = load(
      {},
      { CREDENTIALS_DIRECTORY: path.replace('/cosigner-root-key-passphrase', '') },
    )
    expect(reveal(secrets.cosignerRootKeyPassphrase?.reveal())).toBe('battery')
    expect(config.credentialsDirectory).toBeDefined()
  })

  it('are accepted in a variable, taken out of the environment and warned about', () => {
    const environment: Environment = { COUNTERSIGN_ROOT_KEY_PASSPHRASE: 'correct horse' }
    const { secrets, warnings } = load({}, environment)
    expect(reveal(secrets.rootKeyPassphrase?.reveal())).toBe('correct horse')
    expect(environment).toEqual({})
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('COUNTERSIGN_ROOT_KEY_PASSPHRASE_FILE')
    expect(warnings[0]).not.toContain('horse')
  })

  it('are refused from two variables at once, and the direct one is removed all the same', () => {
    const environment: Environment = {
      COUNTERSIGN_ROOT_KEY_PASSPHRASE: 'correct horse',
      COUNTERSIGN_ROOT_KEY_PASSPHRASE_FILE: '/p',
    }
    const message = refusal(() => load({}, environment))
    expect(message).toContain('give one')
    expect(message).not.toContain('horse')
    expect(environment.COUNTERSIGN_ROOT_KEY_PASSPHRASE).toBeUndefined()
  })

  it('are refused empty, too long or unreadable', () => {
    const fromFile = (text: string) => () => load({ 'root-key-passphrase-file': tempFile('p', text) })
    expect(refusal(fromFile('\n'))).toContain('empty')
    expect(refusal(fromFile('x'.repeat(4097)))).toContain('at most')
    expect(refusal(() => load({ 'root-key-passphrase-file': '/nowhere' }))).toContain('ENOENT')
    expect(refusal(() => load({ 'root-key-passphrase-fd': '9999' }))).toContain('EBADF')
    expect(refusal(() => load({ 'root-key-passphrase-fd': 'x' }))).toContain('file descriptor')
  })

  it('in a file others can read are warned about', () => {
    const { warnings } = load({ 'root-key-passphrase-file': tempFile('p', 'x', 0o644) })
    expect(warnings[0]).toContain('chmod 600')
  })

  it('never show, however the loaded configuration is printed', () => {
    const environment: Environment = { COUNTERSIGN_ROOT_KEY_PASSPHRASE: 'correct horse' }
    const loaded = load({ 'cosigner-root-key-passphrase-file': tempFile('p', 'battery staple') }, environment)
    const bytes = [...new TextEncoder().encode('correct horse')].join(',')
    const printed = [
      JSON.stringify(loaded),
      inspect(loaded, { depth: 20, showHidden: true }),
      String(loaded.secrets.rootKeyPassphrase),
      JSON.stringify(describeConfig(loaded)),
      Object.values(loaded.secrets).map((secret) => inspect(secret)).join(','),
    ].join('\n')
    expect(printed).not.toMatch(/horse|battery/)
    expect(printed.replaceAll(/\s/g, '')).not.toContain(bytes)
    expect(describeConfig(loaded)).toContainEqual({ name: 'root-key-passphrase', value: 'set', source: '' })
  })
})

describe('chains', () => {
  const toml = (...lines: readonly string[]) => ({ config: tempFile('c.toml', ['[[chain]]', ...lines].join('\n')) })
  const ENDPOINT = 'https://rpc.example/v3/0123456789abcdef'
  const GENESIS = '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d'

  it('are tables of the file; their endpoints are secrets', () => {
    const loaded = load(toml('network = "linea"', 'chain_id = 59144', `rpc = "${ENDPOINT}, http://127.0.0.1:8545"`))
    const sending = { pollMs: 2_000, maxFeePerGas: 1_000n * 10n ** 9n, maxGas: 16_777_216n }
    expect(loaded.config.chains).toEqual([{ network: 'linea', chainId: 59_144n, sending, hosts: ['rpc.example', '127.0.0.1:8545'] }])
    expect(loaded.secrets.chainEndpoints.get('linea')?.map((url) => url.reveal())).toEqual([ENDPOINT, 'http://127.0.0.1:8545/'])
    expect(describeConfig(loaded)).toContainEqual({ name: '[[chain]]', value: 'linea (59144) → rpc.example, 127.0.0.1:8545', source: 'file' })
    expect(inspect(loaded, { depth: 20, showHidden: true }) + JSON.stringify(describeConfig(loaded))).not.toContain('0123456789')
  })

  it('say how much is paid and how often is looked, on EVM chains', () => {
    const { config } = load(toml('network = "a"', 'chain_id = 1', `rpc = "${ENDPOINT}"`, 'poll_ms = 50', 'max_fee_gwei = 3', 'max_gas = 21000'))
    expect(config.chains).toMatchObject([{ sending: { pollMs: 50, maxFeePerGas: 3n * 10n ** 9n, maxGas: 21_000n } }])
  })

  it('of Solana are told by their genesis hash', () => {
    const { config } = load(toml('network = "solana"', `genesis_hash = "${GENESIS}"`, `rpc = "${ENDPOINT}"`))
    const sending = { pollMs: 1_000, maxPriorityFee: 100_000n }
    expect(config.chains).toEqual([{ network: 'solana', genesisHash: GENESIS, commitment: 'confirmed', hosts: ['rpc.example'], sending }])
    const final = load(toml('network = "solana"', `genesis_hash = "${GENESIS}"`, 'commitment = "finalized"', 'max_priority_fee_lamports = 0', 'poll_ms = 50', `rpc = "${ENDPOINT}"`))
    expect(final.config.chains[0]).toMatchObject({ commitment: 'finalized', sending: { pollMs: 50, maxPriorityFee: 0n } })
  })

  it('take endpoints from a file of their own, one a line', () => {
    const path = tempFile('endpoints', `# main\n${ENDPOINT}\n\nhttps://other.example\n`, 0o600)
    const { secrets } = load(toml('network = "ethereum"', 'chain_id = 1', `rpc_file = "${path}"`))
    expect(secrets.chainEndpoints.get('ethereum')).toHaveLength(2)
  })

  it.each([
    ['a network in capitals', ['network = "Linea"', 'chain_id = 1', `rpc = "${ENDPOINT}"`], 'network name'],
    ['no network', ['chain_id = 1', `rpc = "${ENDPOINT}"`], 'lacks network'],
    ['no chain id', ['network = "a"', `rpc = "${ENDPOINT}"`], 'lacks chain_id'],
    ['a cluster and a chain id', ['network = "a"', 'chain_id = 1', `genesis_hash = "${GENESIS}"`, `rpc = "${ENDPOINT}"`], 'both chain_id'],
    ['a cluster with a cap of gas', ['network = "a"', `genesis_hash = "${GENESIS}"`, 'max_gas = 30000', `rpc = "${ENDPOINT}"`], 'max_gas, which is of EVM'],
    ['no fee at all', ['network = "a"', 'chain_id = 1', 'max_fee_gwei = 0', `rpc = "${ENDPOINT}"`], 'whole number'],
    ['a genesis hash that is none', ['network = "a"', 'genesis_hash = "abc"', `rpc = "${ENDPOINT}"`], 'genesis hash'],
    ['another commitment', ['network = "a"', `genesis_hash = "${GENESIS}"`, 'commitment = "processed"', `rpc = "${ENDPOINT}"`], 'confirmed or finalized'],
    ['the commitment of an EVM chain', ['network = "a"', 'chain_id = 1', 'commitment = "confirmed"', `rpc = "${ENDPOINT}"`], 'commitment'],
    ['the fees of Solana on an EVM chain', ['network = "a"', 'chain_id = 1', 'max_priority_fee_lamports = 1', `rpc = "${ENDPOINT}"`], 'which is of Solana'],
    ['a priority fee of a whole SOL', ['network = "a"', `genesis_hash = "${GENESIS}"`, 'max_priority_fee_lamports = 1000000000', `rpc = "${ENDPOINT}"`], 'whole number'],
    ['chain id 0', ['network = "a"', 'chain_id = 0', `rpc = "${ENDPOINT}"`], 'whole number'],
    ['no endpoint', ['network = "a"', 'chain_id = 1'], 'either rpc or rpc_file'],
    ['endpoints twice', ['network = "a"', 'chain_id = 1', `rpc = "${ENDPOINT}"`, 'rpc_file = "/none"'], 'either rpc or rpc_file'],
    ['an endpoint that is no URL', ['network = "a"', 'chain_id = 1', 'rpc = "rpc.example"'], 'http(s) URLs'],
    ['an endpoint of another scheme', ['network = "a"', 'chain_id = 1', 'rpc = "ws://rpc.example"'], 'http(s) URLs'],
    ['a password in an endpoint', ['network = "a"', 'chain_id = 1', 'rpc = "https://u:hunter2@rpc.example"'], 'without a name or password'],
    ['a file that is not there', ['network = "a"', 'chain_id = 1', 'rpc_file = "/none"'], 'ENOENT'],
    ['an unknown key', ['network = "a"', 'chain_id = 1', `rpc = "${ENDPOINT}"`, 'confirm = 1'], 'unknown key confirm'],
    ['a network twice', ['network = "a"', 'chain_id = 1', `rpc = "${ENDPOINT}"`, '[[chain]]', 'network = "a"', 'chain_id = 2', `rpc = "${ENDPOINT}"`], 'twice'],
  ])('refuses %s, and repeats no endpoint', (_name, lines, why) => {
    const text = refusal(() => load(toml(...lines)))
    expect(text).toContain(why)
    expect(text).not.toMatch(/0123456789|hunter2/)
  })
})

it('warns of a variable it does not know, and does not refuse it', () => {
  expect(load({}, { COUNTERSIGN_GRPC_LISTNE: 'x' }).warnings).toEqual([
    'COUNTERSIGN_GRPC_LISTNE is not a variable this program knows',
  ])
})
