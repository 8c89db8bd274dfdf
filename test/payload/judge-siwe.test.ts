/** A page that a project names, and that is no page after all, is nobody's. */
import { expect, it } from 'vitest'
import { requireSiwe } from '../../src/payload/judge-siwe.ts'
import { reasonOf } from '../vault/fixture.ts'

const ADDRESS = '0x3a11a86Cf218C448bE519728cd3Ac5c741FB3424'
const NOW = Date.UTC(2026, 10, 21, 6)
const judge = (domain: string, uri = `https://${domain}/`) => {
  const text = [
    `${domain} wants you to sign in with your Ethereum account:`, ADDRESS, '', '', `URI: ${uri}`, 'Version: 1', 'Chain ID: 1', 'Nonce: 5f2b1c0d9e8a7f6b5c4d3e2f',
    'Issued At: 2026-11-21T06:00:00Z', 'Expiration Time: 2026-11-21T06:02:00Z',
  ].join('\n')
  const address = new Uint8Array(Buffer.from(ADDRESS.slice(2), 'hex'))
  return reasonOf(() => requireSiwe(text, { domains: [domain.toLowerCase()], address, chainId: 1n, nonce: '5f2b1c0d9e8a7f6b5c4d3e2f', nonceMs: NOW, nowMs: NOW }))
}

it.each([
  ['app.example:99999', 'https://app.example/'],
  ['[:::]', 'https://app.example/'],
  ['app.example', 'https://app.example:8443/'],
  ['app.example', 'https://app.example@evil.example/'],
  ['app.example', 'https://evil.example/app.example'],
  ['app.example', 'ftp://app.example/'],
])('%s with the URI %s is SIWE_DOMAIN_MISMATCH', async (domain, uri) => {
  expect(await judge(domain, uri)).toBe('SIWE_DOMAIN_MISMATCH')
})
