/** The journey of examples/grant.ts, as it is printed. */
import { expect, it } from 'vitest'
import { runExample } from './run-example.ts'

it('a person grants, the project signs without them, the person takes it back: by JWT, by e-mail, with the CDP SDK', async () => {
  const { code, text } = await runExample('examples/grant.ts')
  expect(code, text).toBe(0)
  const count = (what: string): number => text.split(what).length - 1
  expect(count('shop signs')).toBe(3)
  expect(count('shop is refused  GRANT_NOT_FOUND')).toBe(3)
  expect(count('shop is refused  GRANT_REVOKED')).toBe(3)
  expect(text).toContain('three grants, given and taken back')
})
