/** A provider in front of a node that says what the node says, but for what a test bends. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Asked = { readonly id: number; readonly method: string; readonly params: readonly unknown[] }
/** Undefined: what the node says. */
export type Bend = (asked: Asked) => { readonly result: unknown } | { readonly error: unknown } | 'stall' | undefined

export type BendingProvider = {
  readonly url: string
  bend: Bend | undefined
  readonly asked: string[]
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

export const startBendingProvider = async (nodeUrl: string): Promise<BendingProvider> => {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const asked = JSON.parse(body.toString()) as Asked
    provider.asked.push(asked.method)
    const said = provider.bend?.(asked)
    if (said === 'stall') return
    response.setHeader('content-type', 'application/json')
    if (said !== undefined) response.end(JSON.stringify({ jsonrpc: '2.0', id: asked.id, ...said }))
    else response.end(await (await fetch(nodeUrl, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).text())
  }
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const provider: BendingProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bend: undefined,
    asked: [],
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return provider
}
