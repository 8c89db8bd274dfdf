import type { Members, Shape } from '../shape.ts'

/** Shapes that several venues have in common. */

export const BOOLEAN: Shape = { kind: 'boolean' }
export const ADDRESS: Shape = { kind: 'address', write: 'lower' }

export const object = (members: Members): Shape => ({ kind: 'object', members })
export const words = (...of: readonly string[]): Shape => ({ kind: 'word', of })
export const text = (max: number, pattern: string): Shape => ({ kind: 'text', max, pattern })
export const big = (bits: number, min = 0): Shape => ({ kind: 'big', bits, min })
export const integer = (min: number, max: number): Shape => ({ kind: 'integer', min, max })
/** A decimal above zero. */
export const positive = (digits: number, places: number): Shape => ({ kind: 'decimal', digits, places, range: 'positive' })
/** A decimal of zero or more. */
export const unsigned = (digits: number, places: number): Shape => ({ kind: 'decimal', digits, places, range: 'unsigned' })
export const list = (of: Shape, min: number, max: number): Shape => ({ kind: 'list', of, min, max })
