import { expect, it } from 'vitest'
import { InFlight } from '../../src/chain/in-flight.ts'

it('lets so many in, the next as one is done, and who leaves takes no place', async () => {
  const places = new InFlight(2)
  const begun: number[] = []
  const open = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
  const leaving = new AbortController()
  const runs = open.map((one, at) =>
    places.run(async () => {
      begun.push(at)
      await one.promise
    }, at === 2 ? leaving.signal : undefined),
  )
  await new Promise(setImmediate)
  expect(begun).toEqual([0, 1])
  leaving.abort(new Error('gone'))
  await expect(runs[2]).rejects.toThrow('gone')
  open[0]?.resolve()
  await runs[0]
  expect(begun).toEqual([0, 1, 3])
  for (const one of open) one.resolve()
  await Promise.all([runs[1], runs[3], runs[4]])
  expect(begun).toEqual([0, 1, 3, 4])
  await expect(places.run(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
  expect(await Promise.all([places.run(async () => 1), places.run(async () => 2), places.run(async () => 3)])).toEqual([1, 2, 3])
})
