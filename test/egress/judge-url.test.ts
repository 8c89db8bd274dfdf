import { expect, test } from 'vitest'
import { createUrlJudge } from '../../src/egress/judge-url.ts'

const NOTHING: readonly string[] = []

test.each([
  ['https://receiver.example/hook?a=b', NOTHING],
  ['https://receiver.example:443/', NOTHING],
  ['https://8.8.8.8/', NOTHING],
  ['https://[2606:4700::1111]/', NOTHING],
  ['http://10.1.2.3:8080/', ['10.0.0.0/8']],
  ['http://receiver.internal:9000/', ['receiver.internal']],
  ['http://localhost:9000/', ['localhost']],
  // Where it leads is judged when it is asked.
  ['http://receiver.example:9000/', ['10.0.0.0/8']],
])('%s may be sent to, with %j listed', (url, allow) => {
  expect(createUrlJudge(allow)(url)).toBeUndefined()
})

test.each([
  ['http://receiver.example/', NOTHING, 'only reached over TLS'],
  ['https://receiver.example:8443/', NOTHING, 'port'],
  ['https://user@receiver.example/', NOTHING, 'URL'],
  ['https://user:word@receiver.example/', NOTHING, 'URL'],
  ['https://receiver.example/#fragment', NOTHING, 'URL'],
  ['ftp://receiver.example/', NOTHING, 'URL'],
  ['receiver.example', NOTHING, 'URL'],
  ['', NOTHING, 'URL'],
  [`https://receiver.example/${'a'.repeat(2_048)}`, NOTHING, 'URL'],
  ['https://localhost/', NOTHING, 'address'],
  ['https://LOCALHOST./', NOTHING, 'address'],
  ['https://printer.local/', NOTHING, 'address'],
  ['https://metadata.google.internal/', NOTHING, 'address'],
  ['https://127.0.0.1/', NOTHING, 'address'],
  ['https://127.1/', NOTHING, 'address'],
  ['https://0x7f000001/', NOTHING, 'address'],
  ['https://2130706433/', NOTHING, 'address'],
  ['https://169.254.169.254/', NOTHING, 'address'],
  ['https://[::1]/', NOTHING, 'address'],
  ['https://[::ffff:10.0.0.1]/', NOTHING, 'address'],
  ['https://[fe80::1]/', NOTHING, 'address'],
  ['https://192.168.0.1/', ['10.0.0.0/8'], 'address'],
])('%s may not be sent to, with %j listed: %s', (url, allow, why) => {
  expect(createUrlJudge(allow)(url)).toContain(why)
})
