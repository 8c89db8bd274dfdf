/**
 * Every domain-separation tag of the suite, once. A hash under a tag that is not here does not compile, and a test
 * asserts that no tag appears twice.
 */
export const TAGS = [
  // identities and contexts
  'link/id',
  'lctx0',
  'lctx',
  'wctx0',
  'wctx',
  'wctx/null',
  'wallet/id',
  'plan',
  'ctx',
  'sid',
  'dir',
  'tr',
  'presig',
  // commitments
  'com/dkg',
  'com/R',
  'com/refresh',
  'com/fork',
  'com/rehome',
  // operation generator
  'og/start',
  'og/mix',
  // base OT and link set-up
  'eot/hg',
  'eot/key',
  'link/conf',
  // OT extension and multiplication
  'gadget',
  'ote/hk',
  'ote/prg',
  'ote/chi',
  'ote/tccr',
  'rvole/theta',
  'rvole/atilde',
  'rvole/mu',
  'presign/conf',
  // wallets
  'dkg/pok',
  'dkg/conf',
  'dkg/cc',
  'refresh/rho',
  'refresh/pok',
  'refresh/conf',
  'fork/shares',
  'import/open',
  'import/pok',
  'import/conf',
  // online signing
  'sign/delta',
  'sign/echo',
  'sign/req',
  // records at rest
  'rec/wallet',
  'rec/link',
  'rec/material',
  // envelopes
  'aad/import',
  'aad/fork',
  'aad/export',
  // Ed25519
  'ed/ctx',
  'ed/dc',
  'ed/presig',
  'ed/msg',
] as const

export type Tag = (typeof TAGS)[number]

/** The part of a commitment tag after `com/`. */
export type CommitmentTag = Tag extends infer T ? (T extends `com/${infer Name}` ? Name : never) : never

/** Constant of suite 0x01; part of every tag's bytes. */
export const TAG_PREFIX = 'countersign/dkls2p/v2/'
