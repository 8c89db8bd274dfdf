import { constants, generateKeyPairSync, privateDecrypt, publicEncrypt } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createOwnKey, deleteOwnKey, listOwnKeys } from '../../src/delegation/own-keys.ts'
import { openOwnDelegateKey, readRsaKey } from '../../src/vault/own-delegate-keys.ts'
import { openDelegateScene } from './delegate-scene.ts'

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const
const pemOf = (bits: number, publicExponent = 65_537): string =>
  generateKeyPairSync('rsa', { modulusLength: bits, publicExponent }).privateKey.export({ type: 'pkcs1', format: 'pem' })

describe('the keys that delegated access is sealed to', () => {
  it('are made in the vault, retired by the next, and open what was sealed to them', async () => {
    const scene = await openDelegateScene()
    const first = await createOwnKey(scene, scene.call(), { privateKeyPem: undefined, kid: undefined, retireOthers: false })
    expect(first).toMatchObject({ bits: 3_072, state: 'ACTIVE' })
    expect(first.kid).toMatch(/^csdk_[A-Za-z0-9_-]{22}$/)
    const next = await createOwnKey(scene, scene.call(), { privateKeyPem: undefined, kid: 'mine', retireOthers: true })
    const { keys } = listOwnKeys(scene)
    expect(keys.map(({ kid, state }) => [kid, state])).toEqual([['mine', 'ACTIVE'], [first.kid, 'RETIRED']])
    for (const { kid, publicKey } of [first, next]) {
      const key = { key: Buffer.from(publicKey), format: 'der', type: 'spki' } as const
      const sealed = publicEncrypt({ ...key, ...OAEP }, Buffer.from(kid))
      const pkcs8 = openOwnDelegateKey(scene.vault.secrets, kid)
      expect(privateDecrypt({ key: readRsaKey(pkcs8), ...OAEP }, sealed).toString()).toBe(kid)
    }
  })

  it('are taken in from PEM, once', async () => {
    const scene = await openDelegateScene()
    const privateKeyPem = pemOf(3_072)
    const args = { privateKeyPem, kid: undefined, retireOthers: false }
    const taken = await createOwnKey(scene, scene.call(), args)
    expect(await createOwnKey(scene, scene.call(), args)).toEqual(taken)
    const other = { ...args, privateKeyPem: pemOf(3_072), kid: taken.kid }
    await expect(createOwnKey(scene, scene.call(), other)).rejects.toMatchObject({ reason: 'DELEGATE_PRIVATE_KEY_INVALID' })
  })

  it.each([
    ['no PEM', 'nothing', 'PEM'],
    ['a short one', pemOf(2_048), '2048'],
    ['another exponent', pemOf(3_072, 3), '65537'],
    ['no RSA key', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), 'RSA'],
  ])('are not taken in: %s', async (_what, privateKeyPem, why) => {
    const scene = await openDelegateScene()
    const made = createOwnKey(scene, scene.call(), { privateKeyPem, kid: undefined, retireOthers: false })
    await expect(made).rejects.toMatchObject({ reason: 'DELEGATE_PRIVATE_KEY_INVALID', message: expect.stringContaining(why) })
  })

  it('are gone once they are deleted', async () => {
    const scene = await openDelegateScene()
    await createOwnKey(scene, scene.call(), { privateKeyPem: pemOf(3_072), kid: 'mine', retireOthers: false })
    await deleteOwnKey(scene, scene.call(), 'mine')
    expect(() => openOwnDelegateKey(scene.vault.secrets, 'mine')).toThrow()
    await expect(deleteOwnKey(scene, scene.call(), 'mine')).rejects.toMatchObject({ reason: 'DELEGATE_KEY_NOT_FOUND' })
  })
})
