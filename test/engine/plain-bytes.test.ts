import { describe, expect, it } from 'vitest'
import { decodeWalletRecord, encodeWalletRecord } from '../../src/engine/dkls23/records.ts'
import { twoParties } from '../party/two-parties.ts'

describe('bytes that come as a Buffer', () => {
  it('are copied out of a record: wiping the source leaves the record whole', async () => {
    const two = await twoParties()
    const [walletId] = (await two.newWallets(1)) as [Uint8Array]
    const record = await two.storeC.loadWallet(walletId)
    if (record === undefined) throw new Error('no record')
    const source = Buffer.from(encodeWalletRecord(record))
    const decoded = decodeWalletRecord(source)
    source.fill(0)
    expect(Buffer.from(decoded.walletId)).toEqual(Buffer.from(walletId))
    expect(Buffer.from(decoded.share)).toEqual(Buffer.from(record.share))
  })
})
