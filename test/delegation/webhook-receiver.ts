/** A receiver of webhooks on this machine, which keeps what it was told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Received = { readonly headers: IncomingMessage['headers']; readonly body: string; readonly url: string | undefined }
export type Receiver = { readonly url: string; readonly received: Received[]; readonly close: () => void }
export type Respond = (response: ServerResponse, index: number, request: IncomingMessage) => void

/** Answers 204 unless told otherwise. */
export const listenReceiver = async (respond: Respond = (response) => response.writeHead(204).end()): Promise<Receiver> => {
  const received: Received[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      received.push({ headers: request.headers, body, url: request.url })
      respond(response, received.length - 1, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
