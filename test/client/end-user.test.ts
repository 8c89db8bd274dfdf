import { createPublicKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { createCountersignClient } from '../../src/client/countersign-client.ts'
import { signRequest } from '../../src/client/end-user.ts'
import { verifyRequestToken } from '../../src/user/request-token.ts'
import { newDevice } from '../e2e/end-users.ts'

const request = { authority: 'daemon.example:50051', path: '/countersign.v1.WalletService/SignMessage', body: Uint8Array.of(1, 2, 3) }
const uri = `POST ${request.authority}${request.path}`

const keyOf = (publicKey: string) => createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' })

test('what the device signs is for one request, its bytes and its place', async () => {
  const device = newDevice()
  const signers = [{ key: keyOf(device.publicKey) }]
  const token = await signRequest(device, request)
  const judge = (changes: object, bytes = request.body) =>
    verifyRequestToken(token, signers, { uri, raw: { encoding: 'proto', bytes }, ...changes }, Date.now())
  expect(judge({})).toMatchObject({ signer: signers[0] })
  expect(judge({}, Uint8Array.of(1, 2, 4))).toBe('body')
  expect(judge({ uri: uri.replace('SignMessage', 'SignDigest') })).toBe('uris')
  expect(judge({ uri: uri.replace('50051', '50052') })).toBe('uris')
  const stranger = [{ key: keyOf(newDevice().publicKey) }]
  expect(verifyRequestToken(token, stranger, { uri, raw: { encoding: 'proto', bytes: request.body } }, Date.now())).toBe('signature')
})

test('no token serves twice: each has an id of its own', async () => {
  const device = newDevice()
  const [one, other] = [await signRequest(device, request), await signRequest(device, request)]
  expect(one).not.toBe(other)
})

test('a message of no bytes is signed as none', async () => {
  const device = newDevice()
  const token = await signRequest(device, { ...request, body: new Uint8Array(0) })
  const raw = { encoding: 'proto', bytes: new Uint8Array(0) } as const
  expect(verifyRequestToken(token, [{ key: keyOf(device.publicKey) }], { uri, raw }, Date.now())).toHaveProperty('tokenId')
})

test('a client speaks for an API key or for a person, not for both', () => {
  const both = { endpoint: '127.0.0.1:1', apiKey: 'csk_x', endUser: { accessToken: 't' } }
  expect(() => createCountersignClient(both)).toThrow('give apiKey or endUser')
})
