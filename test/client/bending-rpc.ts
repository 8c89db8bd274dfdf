/** A JSON-RPC provider that passes on what a real node says, bent as the test wants it. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'

export type Asked = { readonly id: number; readonly method: string; readonly params: readonly unknown[] }
/** What is said in the place of the node's result; a whole body; nothing, ever. */
export type Bent = { readonly result: unknown } | { readonly body: string } | 'stall'
export type Bend = (asked: Asked, result: unknown) => Bent | undefined

export type BendingRpc = {
  readonly url: string
  bend: Bend | undefined
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

const passOn = async (target: string, asked: Asked): Promise<{ readonly result?: unknown; readonly error?: unknown }> => {
  const response = await fetch(target, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(asked) })
  return (await response.json()) as { readonly result?: unknown; readonly error?: unknown }
}

const say = (response: ServerResponse, body: string): void => {
  response.setHeader('content-type', 'application/json')
  response.end(body)
}

export const startBendingRpc = async (target: string): Promise<BendingRpc> => {
  const answer = async (asked: Asked, response: ServerResponse): Promise<void> => {
    const { result, error } = await passOn(target, asked)
    const bent = error === undefined ? provider.bend?.(asked, result) : undefined
    if (bent === 'stall') return
    if (bent !== undefined && 'body' in bent) return say(response, bent.body)
    const said = bent ?? (error === undefined ? { result } : { error })
    say(response, JSON.stringify({ jsonrpc: '2.0', id: asked.id, ...said }))
  }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      answer(JSON.parse(Buffer.concat(chunks).toString()) as Asked, response).catch(() => response.destroy())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const provider: BendingRpc = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bend: undefined,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return provider
}
