import { expect, it } from 'vitest'
import { threadEnvironment } from '../../src/party/thread-environment.ts'

it('a thread sees nothing of the environment but where compiled modules are kept', () => {
  // Of every run of the tests (vitest.config.ts).
  const place = process.env['NODE_COMPILE_CACHE']
  expect(place).toBeTruthy()
  expect(threadEnvironment()).toEqual({ NODE_COMPILE_CACHE: place })
})
