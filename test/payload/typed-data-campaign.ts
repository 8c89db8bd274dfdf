import { TypedDataEncoder } from 'ethers'
import * as fc from 'fast-check'
import { hashTypedData as viemHash } from 'viem'
import { toHex } from '../../src/payload/bytes.ts'
import { hashTypedData, MAX_TYPED_DATA_BYTES, parseTypedData } from '../../src/payload/typed-data.ts'
import type { GeneratedTypedData } from './typed-data-generator.ts'
import { domainFields, typedData } from './typed-data-generator.ts'

export const ours = (json: string): string => toHex(hashTypedData(parseTypedData(Buffer.from(json, 'utf8'))))

/** viem's types are made for literals; the data here is generated. */
const viemHashOf = viemHash as (data: unknown) => string

export const viems = (data: GeneratedTypedData): string =>
  viemHashOf({ ...data, types: { EIP712Domain: domainFields(data.domain), ...data.types } })

export const etherss = ({ domain, types, message }: GeneratedTypedData): string =>
  TypedDataEncoder.hash(domain, types, message)

/**
 * Compares our digest with viem's and ethers' on generated typed data; throws the shrunk case where they differ.
 */
export const runTypedDataCampaign = (cases: number, seed: number): void => {
  fc.assert(
    fc.property(typedData, fc.boolean(), (data, declareDomain) => {
      const types = declareDomain ? { ...data.types, EIP712Domain: domainFields(data.domain) } : data.types
      const json = JSON.stringify({ ...data, types })
      fc.pre(Buffer.byteLength(json) <= MAX_TYPED_DATA_BYTES)
      const digest = ours(json)
      const [viem, ethers] = [viems(data), etherss(data)]
      if (digest !== viem || digest !== ethers) throw new Error(`ours ${digest}, viem ${viem}, ethers ${ethers}`)
    }),
    { numRuns: cases, seed },
  )
}

if (import.meta.main) {
  const [cases = 100_000, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number)
  runTypedDataCampaign(cases, seed)
  process.stdout.write(`typed data: ${cases} cases agree, seed ${seed}\n`)
}
