import { parseTypedData } from '../../src/payload/typed-data.ts'
import { refusalOf } from './refusal.ts'

export const DOMAIN_TYPES = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
]

export const mail = () => ({
  types: {
    EIP712Domain: DOMAIN_TYPES,
    Person: [
      { name: 'name', type: 'string' },
      { name: 'wallet', type: 'address' },
    ],
    Mail: [
      { name: 'from', type: 'Person' },
      { name: 'to', type: 'Person[]' },
      { name: 'contents', type: 'string' },
    ],
  } as Record<string, unknown>,
  primaryType: 'Mail' as unknown,
  domain: {
    name: 'Ether Mail',
    version: '1',
    chainId: 1,
    verifyingContract: '0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC',
  } as Record<string, unknown>,
  message: {
    from: { name: 'Cow', wallet: '0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826' },
    to: [{ name: 'Bob', wallet: '0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB' }],
    contents: 'Hello, Bob!',
  } as Record<string, unknown>,
})

export const refusal = (data: unknown) =>
  refusalOf(() => parseTypedData(Buffer.from(typeof data === 'string' ? data : JSON.stringify(data), 'utf8')))

/** Typed data with one member `v` of a type. */
export const holding = (type: string, value: unknown, types: Record<string, unknown> = {}) => ({
  types: { T: [{ name: 'v', type }], ...types },
  primaryType: 'T',
  domain: { name: 't', chainId: 1 },
  message: { v: value },
})

export const withNumber = (type: string, numberText: string) =>
  JSON.stringify(holding(type, '@')).replace('"@"', numberText)
