/** A delegate's server in Python: its sidecar takes in what another daemon delegated, and signs with it. */
import assert from 'node:assert/strict'
import { type Address, recoverMessageAddress, recoverTypedDataAddress, type TypedDataDefinition } from 'viem'
import { createCountersignClient } from '../../src/client/countersign-client.ts'
import { receiver } from '../delegation/seal-delivery.ts'
import { addressOf, startSidecar } from '../e2e/start-sidecar.ts'
import type { Checks } from './checks.ts'
import { runToSuccess } from './run-program.ts'

type Report = {
  readonly address: Address
  readonly message_signature: `0x${string}`
  readonly message_hex: string
  readonly typed_data_signature: `0x${string}`
  readonly digest_refusal: { readonly reason: string; readonly refusal: string }
}

const TEXT = 'Sign as a delegate — 署名'
const TYPED_DATA = {
  types: { EIP712Domain: [{ name: 'chainId', type: 'uint256' }], Note: [{ name: 'text', type: 'string' }] },
  primaryType: 'Note',
  domain: { chainId: 31_337 },
  message: { text: TEXT },
}

export const judgeSidecar = async (checks: Checks, python: readonly string[] | undefined): Promise<void> => {
  if (python === undefined) return
  const pair = await startSidecar([{}])
  const { sidecar, delegated } = pair
  const [one] = delegated
  assert.ok(one)
  try {
    using client = createCountersignClient({ endpoint: sidecar.endpoints.grpc, apiKey: sidecar.adminKey })
    await client.admin.createDelegateKey({ privateKeyPem: receiver.privateKey.export({ type: 'pkcs8', format: 'pem' }) })
    const task = {
      target: sidecar.endpoints.grpc,
      api_key: sidecar.adminKey,
      webhook_body: (await one.body()).toString('utf8'),
      text: TEXT,
      typed_data_json: JSON.stringify(TYPED_DATA),
    }
    const [file = '', ...args] = python
    const report = JSON.parse(await runToSuccess(file, args, { input: JSON.stringify(task) })) as Report
    await checks.check('Python signs through a sidecar', async () => {
      const address = addressOf(one.granted)
      assert.equal(report.address, address)
      assert.equal(report.message_signature, report.message_hex)
      assert.equal(report.message_hex.length, 132)
      assert.equal(await recoverMessageAddress({ message: TEXT, signature: report.message_signature }), address)
      const typed = TYPED_DATA as unknown as TypedDataDefinition
      assert.equal(await recoverTypedDataAddress({ ...typed, signature: report.typed_data_signature }), address)
    })
    await checks.check('Python is told why the daemon that delegated refuses a digest', () => {
      assert.equal(report.digest_refusal.reason, 'GRANTING_DAEMON_REFUSED')
      assert.ok(report.digest_refusal.refusal.length > 0)
    })
  } finally {
    await pair.close()
  }
}
