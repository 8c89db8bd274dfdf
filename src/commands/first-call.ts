/** What `dev` prints once it serves: where it listens, and a first call to copy. */
import { join, relative } from 'node:path'
import type { Config } from '../config/config.ts'
import type { EndpointsFile } from '../config/client-config.ts'

const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/** Paths inside the working directory are shown relative to it. */
const shown = (path: string, cwd: string): string => {
  const near = relative(cwd, path)
  return near === '' || near.startsWith('..') ? path : near
}

/** The commands and the snippet work by copy and paste from `cwd`; the key itself is never printed. */
export const firstCall = (
  endpoints: EndpointsFile,
  config: Pick<Config, 'dataDir' | 'tls'> & { readonly cosigner?: Config['cosigner'] },
  cwd: string = process.cwd(),
): string => {
  const keyFile = shellWord(shown(join(config.dataDir, 'admin.key'), cwd))
  const socket = shellWord(shown(endpoints.socket, cwd))
  const bearer = `-H "authorization: Bearer $(cat ${keyFile})"`
  const scheme = config.tls === undefined ? 'http' : 'https'
  const plain = config.tls === undefined ? ' --http2-prior-knowledge' : ''
  const dataDirFlag =
    shown(config.dataDir, cwd) === '.countersign' ? '' : ` --data-dir ${shellWord(config.dataDir)}`
  return `
Countersign serves (${config.cosigner === undefined ? 'split at rest, one host' : 'split over two hosts'}):
  gRPC      ${endpoints.grpc}
  gRPC      unix:${shown(endpoints.socket, cwd)}
  Connect   ${scheme}://${endpoints.connect}
  API key   ${shown(join(config.dataDir, 'admin.key'), cwd)}

Create a wallet, then sign with it (in another terminal, in this directory):

  npx buf curl --protocol grpc${plain} ${bearer} \\
    -d '{"userId": "alice", "keyType": "KEY_TYPE_SECP256K1"}' \\
    ${scheme}://${endpoints.grpc}/countersign.v1.WalletService/CreateWallet

  npx buf curl --protocol grpc --http2-prior-knowledge --unix-socket ${socket} ${bearer} \\
    -d '{"wallet": "alice", "text": "hello"}' \\
    http://localhost/countersign.v1.WalletService/SignMessage

The same with the command line and in TypeScript (save it as first.ts here, run: npm exec -- node first.ts):

  npm run --silent countersign -- wallet sign-message alice hello${dataDirFlag}

  import { readFileSync } from 'node:fs'
  import { createCountersignClient } from './src/client/countersign-client.ts'
  const apiKey = readFileSync('${keyFile}', 'utf8').trim()
  using client = createCountersignClient({ ${tsEndpoint(endpoints, config)}, apiKey })
  const content = { case: 'text', value: 'hello' } as const
  const { signature } = await client.wallets.signMessage({ wallet: 'alice', content })
  console.log(signature?.hex)
`
}

const tsEndpoint = (endpoints: EndpointsFile, config: Pick<Config, 'tls'>): string =>
  config.tls === undefined ? `endpoint: '${endpoints.grpc}'` : `socketPath: '${endpoints.socket}'`
