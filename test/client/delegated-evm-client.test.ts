import { generateKeyPairSync } from 'node:crypto'
import { expect, it } from 'vitest'
import { createDelegatedEvmClient, fileState } from '../../src/client/delegated-evm-client.ts'

const identityKeyPem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
const open = (url: string) =>
  createDelegatedEvmClient({
    keyShare: '{}', walletApiKey: `cdk_${'A'.repeat(43)}`, identityKeyPem, state: fileState('/nonexistent/state'),
    grantingDaemon: { url, partyId: '00'.repeat(32) },
  })

it.each(['http://shop.example:50051', 'http://10.0.0.7:50051', 'http://localhost.shop.example', 'ftp://127.0.0.1', 'shop.example:50051'])(
  'shows its wallet API key to nobody in clear: %s',
  async (url) => {
    await expect(open(url)).rejects.toThrow(TypeError)
  },
)

it.each(['https://shop.example:50051', 'http://127.0.0.1:50051', 'http://localhost:50051', 'http://[::1]:50051'])(
  'and says of a share that is none that it is none: %s',
  async (url) => {
    await expect(open(url)).rejects.toThrow(RangeError)
  },
)
