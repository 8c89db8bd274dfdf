/** The systematic mutator of the attack catalogue: each field of a body × each kind of damage. */
export type Field = { readonly name: string; readonly length: number }
export type Mutation = { readonly name: string; readonly body: Uint8Array }

export function* mutationsOf(body: Uint8Array, fields: readonly Field[]): Iterable<Mutation> {
  let offset = 0
  for (const { name, length } of fields) {
    for (const [kind, change] of CHANGES) {
      const changed = body.slice()
      change(changed.subarray(offset, offset + length))
      if (!Buffer.from(changed).equals(Buffer.from(body))) yield { name: `${name}: ${kind}`, body: changed }
    }
    offset += length
  }
  if (offset !== body.length) throw new Error(`fields cover ${offset} of ${body.length} bytes`)
  yield { name: 'truncated by one', body: body.slice(0, -1) }
  yield { name: 'extended by one', body: Uint8Array.from([...body, 0]) }
  yield { name: 'empty', body: new Uint8Array(0) }
}

const CHANGES: readonly (readonly [string, (field: Uint8Array) => void])[] = [
  ['first bit', (field) => flip(field, 0, 1)],
  ['last bit', (field) => flip(field, field.length - 1, 0x80)],
  ['middle bit', (field) => flip(field, field.length >> 1, 0x10)],
  ['zero', (field) => void field.fill(0)],
  ['max', (field) => void field.fill(0xff)],
]

function flip(field: Uint8Array, at: number, mask: number): void {
  field[at] = (field[at] ?? 0) ^ mask
}
