/**
 * One request of an exchange profile, from a file, with a test key: `npm run --silent profile -- <profile> <flow>
 * <input.json>`. No daemon, no vault. Prints what is signed and the finished request as one JSON document.
 */
import { createHmac, createPrivateKey, createPublicKey, sign as signBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { publicKeyOf, signRecoverable } from '../engine/curve/ecdsa.ts'
import { decompress } from '../engine/curve/secp256k1.ts'
import { evmAddressOfPublicKey } from '../payload/address.ts'
import { fromHex, toHex } from '../payload/bytes.ts'
import { builtInProfiles } from '../payload/profile/built-in-profiles.ts'
import type { LoadedProfile, SignedRequest, SigningStep } from '../payload/profile/loaded-profile.ts'
import type { RequestJson } from '../payload/profile/profile.ts'
import { buildFromJson } from '../payload/profile/request-json.ts'
import { explainError } from './explain-error.ts'
import type { TestKeys } from './profile-input.ts'
import { parseProfileInput } from './profile-input.ts'
import { processTerminal } from './run-command.ts'
import { UsageRefusal } from './terminal.ts'

const USAGE = 'profile -- <profile> <flow> <input.json>'
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')

const secretOf = (name: string, text: string): Uint8Array => {
  const bytes = fromHex(text.startsWith('0x') ? text : `0x${text}`)
  if (bytes?.length !== 32) throw new UsageRefusal(`${name} is not 32 bytes of hex`)
  return bytes
}

const ed25519Key = (seed: string) =>
  createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, secretOf('ed25519Seed', seed)]),
    format: 'der',
    type: 'pkcs8',
  })

/** What a session signs with follows from the test key, and so does the wallet where the wallet signs. */
const withPublicKeys = (loaded: LoadedProfile, flow: string, request: RequestJson, keys: TestKeys): RequestJson => {
  if (keys.ed25519Seed !== undefined) {
    const spki = createPublicKey(ed25519Key(keys.ed25519Seed)).export({ format: 'der', type: 'spki' })
    return { sessionPublicKey: toHex(spki.subarray(spki.length - 32)), ...request }
  }
  if (keys.privateKey === undefined) return request
  const publicKey = publicKeyOf(secretOf('privateKey', keys.privateKey))
  const address = toHex(evmAddressOfPublicKey(decompress(publicKey)))
  const byWallet = loaded.profile.flows[flow]?.sign.some(({ by }) => by === 'wallet') === true
  if (byWallet) return { walletAddress: address, ...request }
  return { sessionPublicKey: toHex(publicKey), sessionAddress: address, ...request }
}

const macKeyOf = (loaded: LoadedProfile, request: RequestJson, keys: TestKeys): Uint8Array | undefined => {
  if (keys.hmacSecret !== undefined) return Buffer.from(keys.hmacSecret, loaded.profile.hmacSecret?.encoding ?? 'base64')
  return request.credentials === undefined ? undefined : loaded.macKey(request.credentials)
}

/** Undefined when there is no key for the scheme. */
const signStep = (
  loaded: LoadedProfile,
  step: SigningStep,
  request: RequestJson,
  keys: TestKeys,
): Uint8Array | undefined => {
  if (step.scheme === 'hmac-sha256') {
    const key = macKeyOf(loaded, request, keys)
    return key === undefined ? undefined : createHmac('sha256', key).update(step.input).digest()
  }
  if (step.scheme === 'ed25519')
    return keys.ed25519Seed === undefined ? undefined : signBytes(null, step.input, ed25519Key(keys.ed25519Seed))
  if (keys.privateKey === undefined) return undefined
  const secret = secretOf('privateKey', keys.privateKey)
  return signRecoverable(step.input, secret, publicKeyOf(secret))
}

const isDigest = ({ scheme }: SigningStep): boolean => scheme === 'eip712' || scheme === 'eip191'

const describeStep = (step: SigningStep, signature: Uint8Array | undefined) => ({
  signer: step.signer,
  scheme: step.scheme,
  ...(isDigest(step) ? { digest: toHex(step.input) } : {}),
  signedBytes: toHex(step.preimage ?? step.message ?? step.input),
  ...(step.typedDataJson === undefined ? {} : { typedData: JSON.parse(step.typedDataJson()) as unknown }),
  ...(signature === undefined ? {} : { signature: toHex(signature) }),
})

const describeEnd = ({ signedActionJson, http, keep }: SignedRequest) => ({
  signedActionJson,
  request: http ?? null,
  keep,
})

/** Builds, signs and describes one request. */
export const runProfile = (profile: string, flow: string, file: Uint8Array): object => {
  const loaded = builtInProfiles().get(profile)
  const { keys, request: given } = parseProfileInput(file, loaded.profile)
  const request = withPublicKeys(loaded, flow, given, keys)
  const signatures: ReturnType<typeof describeStep>[] = []
  let step = buildFromJson(loaded, flow, request)
  while (step.kind === 'sign') {
    const signature = signStep(loaded, step, request, keys)
    signatures.push(describeStep(step, signature))
    if (signature === undefined) break
    step = step.finish(signature)
  }
  const [first] = signatures
  return {
    profile: loaded.profile.id,
    version: loaded.profile.version,
    profileHash: loaded.profileHash,
    flow,
    network: request.network,
    ...(first === undefined ? {} : { digest: first.digest, signedBytes: first.signedBytes, signature: first.signature }),
    signatures,
    ...(step.kind === 'done' ? describeEnd(step) : {}),
  }
}

if (import.meta.main) {
  const terminal = processTerminal()
  try {
    const [profile, flow, path, ...rest] = process.argv.slice(2)
    if (profile === undefined || flow === undefined || path === undefined || rest.length > 0) throw new UsageRefusal(USAGE)
    terminal.print(JSON.stringify(runProfile(profile, flow, await readFile(path)), undefined, 2))
  } catch (error) {
    const { line, exitCode } = explainError(error)
    terminal.note(line)
    process.exitCode = exitCode
  }
}
