import type { Expression } from '../expression.ts'
import type { LegSpec, Profile } from '../profile.ts'
import type { Members, Shape } from '../shape.ts'
import { ADDRESS, BOOLEAN, object } from './shapes.ts'

/** The L1 actions of Hyperliquid that a session key may sign, with their fields in the order that is hashed. */

const ASSET: Shape = { kind: 'integer', min: 0, max: 0xffff_ffff }
const ORDER_ID: Shape = { kind: 'integer', min: 0, max: Number.MAX_SAFE_INTEGER }
const CLIENT_ID: Shape = { kind: 'hex', bytes: 16 }
const EITHER_ID: Shape = { kind: 'either', of: [ORDER_ID, CLIENT_ID] }
export const PRICE: Shape = { kind: 'decimal', digits: 18, places: 8, range: 'positive' }
const SIZE: Shape = { kind: 'decimal', digits: 18, places: 8, range: 'unsigned' }
const MICRO_USD: Shape = { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER }
/** `USDC:0x…`; a dex is a short name, empty for the first one. */
export const TOKEN: Shape = { kind: 'text', max: 60, pattern: '[A-Za-z0-9]{1,24}(?::0x[0-9a-f]{32})?' }
const DEX: Shape = { kind: 'text', max: 16, pattern: '[a-z0-9]{0,16}' }
const TRUE: Shape = { kind: 'constant', value: true }

const list = (of: Shape): Shape => ({ kind: 'list', of, min: 1, max: 100 })
const action = (type: string, members: Members): Shape => object({ type: { kind: 'constant', value: type }, ...members })

const ORDER = object({
  a: ASSET,
  b: BOOLEAN,
  p: PRICE,
  s: SIZE,
  r: BOOLEAN,
  t: {
    kind: 'either',
    of: [
      object({ limit: object({ tif: { kind: 'word', of: ['Gtc', 'Ioc', 'Alo', 'FrontendMarket'] } }) }),
      object({ trigger: object({ isMarket: BOOLEAN, triggerPx: PRICE, tpsl: { kind: 'word', of: ['tp', 'sl'] } }) }),
    ],
  },
  c: { optional: CLIENT_ID },
})

const GROUPING: Shape = {
  kind: 'either',
  of: [
    { kind: 'word', of: ['na', 'normalTpsl', 'positionTpsl'] },
    object({ p: { kind: 'integer', min: 0, max: 100_000_000 } }),
  ],
}

/**
 * Perpetuals are numbered below 10 000 and, those of builders, from 100 000. What is between, and what is from 10⁸, are
 * tokens that are bought and sold: there is no position to reduce, and nobody says what the venue makes of the flag there.
 */
const isPerpetual = (asset: string): Expression => [
  '@isIn',
  true,
  [
    ['@eq', ['@div', asset, 10_000], 0],
    ['@when', ['@eq', ['@div', asset, 100_000], 0], false, ['@eq', ['@div', asset, 100_000_000], 0]],
  ],
]

const orderLeg = (order: string): LegSpec => ({
  market: ['@str', `${order}.a`],
  side: ['@when', `${order}.b`, 'buy', 'sell'],
  size: `${order}.s`,
  price: `${order}.p`,
  trigger: `${order}.t.trigger.triggerPx`,
  reduceOnly: ['@when', isPerpetual(`${order}.a`), `${order}.r`],
})

const marketLeg = (asset: string): LegSpec => ({ market: ['@str', asset] })

export const HYPERLIQUID_ACTIONS: Profile['actions'] = {
  order: {
    family: 'order',
    flow: 'l1',
    shape: action('order', {
      orders: list(ORDER),
      grouping: GROUPING,
      builder: { optional: object({ b: ADDRESS, f: { kind: 'integer', min: 0, max: 1000 } }) },
    }),
    rules: [
      {
        ok: ['@when', '$action.builder', ['@eq', '$action.builder.b', '$params.builder'], true],
        path: 'builder.b',
        why: 'is not the builder that the session key was made for',
      },
    ],
    legs: { each: '$action.orders', leg: orderLeg('$leg') },
  },
  twapOrder: {
    family: 'order',
    flow: 'l1',
    shape: action('twapOrder', {
      twap: object({
        a: ASSET,
        b: BOOLEAN,
        s: SIZE,
        r: BOOLEAN,
        m: { kind: 'integer', min: 5, max: 1440 },
        t: BOOLEAN,
      }),
      details: {
        optional: object({
          t: { kind: 'nullable', of: object({ p: PRICE, a: BOOLEAN }) },
          s: { kind: 'nullable', of: SIZE },
        }),
      },
    }),
    legs: {
      one: {
        market: ['@str', '$action.twap.a'],
        side: ['@when', '$action.twap.b', 'buy', 'sell'],
        size: '$action.twap.s',
        reduceOnly: ['@when', isPerpetual('$action.twap.a'), '$action.twap.r'],
      },
    },
  },
  modify: {
    family: 'modify_order',
    flow: 'l1',
    shape: action('modify', { oid: EITHER_ID, order: ORDER, a: { optional: TRUE } }),
    legs: { one: orderLeg('$action.order') },
  },
  batchModify: {
    family: 'modify_order',
    flow: 'l1',
    shape: action('batchModify', { modifies: list(object({ oid: EITHER_ID, order: ORDER })), a: { optional: TRUE } }),
    legs: { each: '$action.modifies', leg: orderLeg('$leg.order') },
  },
  cancel: {
    family: 'cancel_order',
    flow: 'l1',
    shape: action('cancel', { cancels: list(object({ a: ASSET, o: ORDER_ID })), f: { optional: TRUE } }),
    legs: { each: '$action.cancels', leg: marketLeg('$leg.a') },
  },
  cancelByCloid: {
    family: 'cancel_order',
    flow: 'l1',
    shape: action('cancelByCloid', {
      cancels: list(object({ asset: ASSET, cloid: CLIENT_ID })),
      f: { optional: TRUE },
    }),
    legs: { each: '$action.cancels', leg: marketLeg('$leg.asset') },
  },
  twapCancel: {
    family: 'cancel_order',
    flow: 'l1',
    shape: action('twapCancel', { a: ASSET, t: ORDER_ID }),
    legs: { one: marketLeg('$action.a') },
  },
  scheduleCancel: {
    family: 'cancel_all',
    flow: 'l1',
    shape: action('scheduleCancel', { time: { optional: ORDER_ID } }),
  },
  updateLeverage: {
    family: 'leverage',
    flow: 'l1',
    shape: action('updateLeverage', {
      asset: ASSET,
      isCross: BOOLEAN,
      leverage: { kind: 'integer', min: 1, max: 1000 },
    }),
    legs: { one: marketLeg('$action.asset') },
  },
  updateIsolatedMargin: {
    family: 'leverage',
    flow: 'l1',
    shape: action('updateIsolatedMargin', {
      asset: ASSET,
      isBuy: BOOLEAN,
      ntli: { kind: 'integer', min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER },
    }),
    legs: { one: marketLeg('$action.asset') },
  },
  topUpIsolatedOnlyMargin: {
    family: 'leverage',
    flow: 'l1',
    shape: action('topUpIsolatedOnlyMargin', { asset: ASSET, leverage: PRICE }),
    legs: { one: marketLeg('$action.asset') },
  },
  vaultTransfer: {
    family: 'transfer',
    flow: 'l1',
    shape: action('vaultTransfer', { vaultAddress: ADDRESS, isDeposit: BOOLEAN, usd: MICRO_USD }),
  },
  subAccountTransfer: {
    family: 'transfer',
    flow: 'l1',
    shape: action('subAccountTransfer', { subAccountUser: ADDRESS, isDeposit: BOOLEAN, usd: MICRO_USD }),
  },
  subAccountSpotTransfer: {
    family: 'transfer',
    flow: 'l1',
    shape: action('subAccountSpotTransfer', { subAccountUser: ADDRESS, isDeposit: BOOLEAN, token: TOKEN, amount: PRICE }),
  },
  agentSendAsset: {
    family: 'transfer',
    flow: 'l1_stamped',
    shape: action('agentSendAsset', {
      destination: ADDRESS,
      sourceDex: DEX,
      destinationDex: DEX,
      token: TOKEN,
      amount: PRICE,
      fromSubAccount: { kind: 'either', of: [{ kind: 'constant', value: '' }, ADDRESS] },
    }),
  },
  createSubAccount: {
    family: 'key_management',
    flow: 'l1',
    shape: action('createSubAccount', {
      name: { kind: 'text', max: 16, pattern: '[\\x21-\\x7e](?:[\\x20-\\x7e]{0,14}[\\x21-\\x7e])?' },
    }),
  },
  /** Uses up its nonce and does nothing else. */
  noop: { family: 'read', flow: 'l1', shape: action('noop', {}) },
}
