import type { MessagePort } from 'node:worker_threads'
import { openEngine } from './open-engine.ts'
import { type CallTable, openPortEnd, type PortEnd } from './port-calls.ts'

/** Named one by one: what is not here, no other thread can call. */
type Served<Calls> = { readonly [M in keyof Calls]: true }

/** What every party tells the main thread. */
export type AlertCalls = { readonly alert: (args: { readonly what: string; readonly detail: string }) => void }

/** Serves a party's calls to the main thread. The party is opened by the first of them; `host` is the main thread's end. */
export const serveThread = <Calls extends CallTable, Host extends CallTable & AlertCalls>(
  port: MessagePort,
  served: Served<Calls>,
  open: (host: PortEnd<Host>) => Promise<Calls> | Calls,
): void => {
  let party: Promise<Calls> | undefined
  const opened = (): Promise<Calls> => (party ??= openEngine().then(() => open(host)))
  const forward = (method: string) => async (args: never): Promise<unknown> => (await opened())[method]?.(args)
  const methods = Object.fromEntries(Object.keys(served).map((method) => [method, forward(method)]))
  const host = openPortEnd<Host>(port, methods, (error) => {
    void (host as unknown as PortEnd<AlertCalls>).call('alert', { what: 'internal', detail: String(error) }).catch(() => undefined)
  })
}
