import { randomBytes } from 'node:crypto'

/** 64 random bits. */
export const randomNonce = (): bigint => randomBytes(8).readBigUInt64BE()
