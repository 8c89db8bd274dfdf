/** A TCP proxy between the parties whose connections can be cut, silenced and let through again. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

export const cutProxy = async (target: () => string) => {
  const open = new Set<Socket>()
  let isClosed = false
  const server = createServer((incoming) => {
    if (isClosed) return void incoming.destroy()
    const [host, port] = target().split(':') as [string, string]
    const outgoing = connect(Number(port), host)
    const both = [incoming, outgoing] as const
    for (const socket of both) {
      open.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        open.delete(socket)
        for (const one of both) one.destroy()
      })
    }
    incoming.pipe(outgoing).pipe(incoming)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const socket of open) socket.destroy()
  }
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    /** Nothing gets through until `mend`. */
    part: (): void => {
      isClosed = true
      cut()
    },
    mend: (): void => void (isClosed = false),
    close: (): void => {
      cut()
      server.close()
    },
  }
}
