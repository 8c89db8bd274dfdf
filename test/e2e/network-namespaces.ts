/**
 * Hosts of their own on one Linux machine: a network namespace each, with its own loopback, joined in pairs by a cable (veth)
 * with addresses that are routed nowhere (RFC 5737). Whoever is to run in one is started by `through`; unix sockets reach
 * across. A namespace is held by a process that ends with this one, however that ends, and takes whatever still runs in the
 * namespace with it: nothing has a name, and nothing is left to remove.
 *
 * Needs the right to make namespaces: root's, or `unshare --map-root-user --net` before the command where the system lets
 * users do that.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'

export type Network = {
  /** Of `host`, on its cable to `other`. */
  readonly addressOf: (host: string, other: string) => string
  /** What comes before a command that is to run at `host`, and becomes it. */
  readonly through: (host: string) => readonly string[]
  /** Pulls the cable at the first of the two, or puts it back. */
  readonly setCable: (host: string, other: string, state: 'up' | 'down') => void
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** Ends when the pipe to it is closed, and ends who is in the namespace before. */
const HOLD = `
trap '' INT TERM HUP
ip link set lo up && echo up
cat >/dev/null
own=$(readlink /proc/$$/ns/net)
for one in /proc/[0-9]*; do
  pid=\${one#/proc/}
  [ "$pid" != $$ ] && [ "$(readlink "$one/ns/net")" = "$own" ] && kill -9 "$pid"
done 2>/dev/null
`

type Held = { readonly holder: ChildProcess; readonly through: readonly string[] }

const hold = async (): Promise<Held> => {
  const holder = spawn('unshare', ['--net', 'sh', '-c', HOLD], { stdio: ['pipe', 'pipe', 'ignore'] })
  const failed = new Promise<never>((_, reject) => {
    for (const event of ['error', 'exit']) holder.once(event, () => reject(new Error('network namespaces cannot be made here')))
  })
  failed.catch(() => undefined)
  await Promise.race([once(holder.stdout, 'data'), failed])
  return { holder, through: ['nsenter', `--net=/proc/${holder.pid}/ns/net`] }
}

const release = async ({ holder }: Held): Promise<void> => {
  if (holder.exitCode !== null || holder.signalCode !== null) return
  const ended = once(holder, 'exit')
  holder.stdin?.end()
  await ended
}

/** Whether this process may make namespaces. */
export const canMakeNamespaces = async (): Promise<boolean> => {
  try {
    await release(await hold())
    return true
  } catch {
    return false
  }
}

/** Throws where namespaces cannot be made. `cables`: pairs of hosts. */
export const openNetwork = async (cables: readonly (readonly [string, string])[]): Promise<Network> => {
  const hosts = new Map<string, Held>()
  const close = async (): Promise<void> => void (await Promise.all([...hosts.values()].map(release)))
  const of = (host: string): Held => {
    const found = hosts.get(host)
    if (found === undefined) throw new Error(`there is no host ${host}`)
    return found
  }
  const ip = (host: string, ...args: readonly string[]): void => {
    const [command = '', ...rest] = of(host).through
    execFileSync(command, [...rest, 'ip', ...args])
  }
  const addressOf = (host: string, other: string): string => {
    const at = cables.findIndex((cable) => cable.includes(host) && cable.includes(other))
    if (at < 0) throw new Error(`no cable joins ${host} and ${other}`)
    return `192.0.2.${4 * at + 1 + (cables[at]?.indexOf(host) ?? 0)}`
  }
  try {
    for (const host of new Set(cables.flat())) hosts.set(host, await hold())
    for (const [one, other] of cables) {
      const far = String(of(other).holder.pid)
      ip(one, 'link', 'add', `to-${other}`, 'type', 'veth', 'peer', 'name', `to-${one}`, 'netns', far)
      for (const [host, towards] of [[one, other], [other, one]] as const) {
        ip(host, 'address', 'add', `${addressOf(host, towards)}/30`, 'dev', `to-${towards}`)
        ip(host, 'link', 'set', `to-${towards}`, 'up')
      }
    }
  } catch (error) {
    await close()
    throw error
  }
  return {
    addressOf,
    through: (host) => of(host).through,
    setCable: (host, other, state) => ip(host, 'link', 'set', `to-${other}`, state),
    [Symbol.asyncDispose]: close,
  }
}
