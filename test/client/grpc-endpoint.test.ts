import { describe, expect, it } from 'vitest'
import { createCountersignClient } from '../../src/client/countersign-client.ts'
import { resolveEndpoint } from '../../src/client/grpc-endpoint.ts'

describe('where a client connects', () => {
  it.each(['127.0.0.1:50051', '127.9.9.9:1', 'localhost:50051', '[::1]:50051'])('takes loopback %s', (endpoint) => {
    expect(resolveEndpoint({ endpoint }).baseUrl).toBe(`http://${endpoint}`)
  })

  it.each(['10.0.0.8:50051', 'signer.example:443', '127.0.0.1.example:1', '[fe80::1]:1', '0.0.0.0:1'])(
    'refuses plaintext to %s unless asked for by name',
    (endpoint) => {
      expect(() => resolveEndpoint({ endpoint })).toThrow('would show the API key')
      expect(resolveEndpoint({ endpoint, allowPlaintext: true }).baseUrl).toBe(`http://${endpoint}`)
      expect(resolveEndpoint({ endpoint, tls: {} }).baseUrl).toBe(`https://${endpoint}`)
    },
  )

  it.each(['', 'localhost', 'localhost:0', 'localhost:65536', 'http://localhost:1', 'user@localhost:1', '::1:50051'])(
    'refuses the endpoint "%s"',
    (endpoint) => {
      expect(() => resolveEndpoint({ endpoint, allowPlaintext: true })).toThrow('not host:port')
    },
  )

  it('takes one of endpoint and socketPath', () => {
    expect(() => resolveEndpoint({})).toThrow('endpoint or socketPath')
    expect(() => resolveEndpoint({ endpoint: 'localhost:1', socketPath: '/x' })).toThrow('endpoint or socketPath')
    expect(() => resolveEndpoint({ socketPath: '/x', tls: {} })).toThrow('takes no tls')
  })

  it('passes certificates on and never turns verification off', () => {
    const { sessionOptions } = resolveEndpoint({
      endpoint: 'signer.example:443',
      tls: { ca: 'CA', cert: Buffer.from('CERT'), key: 'KEY', serverName: 'countersign' },
    })
    expect(sessionOptions).toMatchObject({ ca: 'CA', cert: Buffer.from('CERT'), key: 'KEY', servername: 'countersign' })
    expect(sessionOptions).not.toHaveProperty('rejectUnauthorized')
  })

  it.each(['', 'csk_a\n', 'csk a', 'csk_é'])('refuses an API key that no header can hold: %j', (apiKey) => {
    expect(() => createCountersignClient({ endpoint: 'localhost:1', apiKey })).toThrow(TypeError)
  })
})
