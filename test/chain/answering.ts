/** A JSON-RPC provider that says what the test wants, over real HTTP. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'

export type Question = { readonly id: number; readonly method: string; readonly params: readonly unknown[] }
/** A JSON-RPC result, or the whole body as text. */
export type Answering = (question: Question) => { readonly result: unknown } | { readonly error: unknown } | string

export type Provider = {
  readonly url: string
  readonly asked: Question[]
  answer: Answering
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

export const startProvider = async (answer: Answering): Promise<Provider> => {
  const asked: Question[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const question = JSON.parse(Buffer.concat(chunks).toString()) as Question
      asked.push(question)
      const said = provider.answer(question)
      response.setHeader('content-type', 'application/json')
      response.end(typeof said === 'string' ? said : JSON.stringify({ jsonrpc: '2.0', id: question.id, ...said }))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const provider: Provider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answer,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return provider
}
