/** `countersign delegate-link` over the vault of a stopped daemon. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { rootKeyProviders } from '../../src/commands/root-keys.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { decodeLinkRecord, encodeLinkRecord, type LinkRecord } from '../../src/engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { newLinkRecord } from '../../src/party/link.ts'
import { PEER_SETTING } from '../../src/party/open-parties.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { openDaemonVault, type DaemonVault } from '../../src/vault/daemon-vault.ts'
import { listLinks, saveLink } from '../../src/vault/links.ts'
import { putSetting } from '../../src/vault/settings.ts'
import { runCli } from './run-cli.ts'

const dir = mkdtempSync(join(tmpdir(), 'countersign-links-'))
afterAll(() => rmSync(dir, { recursive: true }))
const at = (...argv: string[]) => runCli(...argv, '--data-dir', dir)

const withVault = async <T>(use: (vault: DaemonVault) => Promise<T>): Promise<T> => {
  const { config, secrets } = loadConfig({ 'data-dir': dir }, { environment: {}, cwd: dir })
  const provider = rootKeyProviders(config, secrets).daemon
  await using vault = await openDaemonVault({ path: join(dir, 'vault.db'), provider, nowMs: Date.now() })
  return await use(vault)
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const identityOfBot = new Uint8Array(generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
const [cosigner, shop, mutual, bot] = [...[1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)), partyIdOf(identityOfBot)] as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]

const change = (changes: Partial<LinkRecord>): Promise<void> =>
  withVault(async (vault) => {
    const own = partyIdOf(vault.signer.publicKey)
    const links = [[own, cosigner, ROLE_C], [own, shop, ROLE_C], [bot, own, ROLE_S]] as const
    await vault.commit((tx) => {
      putSetting(tx, PEER_SETTING, cosigner, 1)
      for (const [idC, idS, role] of links)
        saveLink(tx, encodeLinkRecord({ ...newLinkRecord(makeLinkParties(idC, idS, 0, 16), role, 1n), ...changes }), 1)
    })
  })

/** By the other party. */
const stored = (): Promise<Record<string, [string, number]>> =>
  withVault(async (vault) =>
    Object.fromEntries(
      listLinks(vault.read).map(({ control }) => {
        const { role, idC, idS, state, relinkGrant } = decodeLinkRecord(control)
        return [hexOf(role === ROLE_C ? idS : idC), [state, relinkGrant]]
      }),
    ),
  )

beforeAll(async () => {
  expect((await at('init')).exitCode).toBe(0)
})

it('grants one link at a time, by party id or identity key, and never the cosigner’s', async () => {
  await change({ state: 'BURNED', burns: 1 })
  const { out } = await at('delegate-link', 'list')
  expect(out).toContain(`${hexOf(shop)}  a daemon that delegated  burned  1 of 3`)
  expect(out).toContain(`${hexOf(bot)}  a delegate               burned  1 of 3`)
  expect(out).not.toContain(hexOf(cosigner))
  expect(await at('delegate-link', 'relink', hexOf(identityOfBot))).toMatchObject({ exitCode: 0, out: 'the link may be set up anew' })
  expect(await stored()).toEqual({ [hexOf(cosigner)]: ['BURNED', 0], [hexOf(shop)]: ['BURNED', 0], [hexOf(bot)]: ['BURNED', 5] })
  expect((await at('delegate-link', 'list')).out).toContain('burned, may be set up anew')
  await at('delegate-link', 'relink', hexOf(shop).toUpperCase())
  expect((await stored())[hexOf(shop)]).toEqual(['BURNED', 5])
  for (const [name, why] of [[hexOf(cosigner), 'no link to this party'], ['ab', '64 hexadecimal digits']] as const)
    expect(await at('delegate-link', 'relink', name)).toMatchObject({ exitCode: 1, notes: expect.stringContaining(why) as string })
})

it('leaves these links to it: cosigner relink does not touch them', async () => {
  await change({ state: 'BURNED', burns: 1 })
  await at('cosigner', 'relink')
  expect(await stored()).toEqual({ [hexOf(cosigner)]: ['BURNED', 5], [hexOf(shop)]: ['BURNED', 0], [hexOf(bot)]: ['BURNED', 0] })
})

it('lets both links to a party go on that is a delegate and delegates as well: one burn took both', async () => {
  const both = await withVault(async (vault) => {
    const own = partyIdOf(vault.signer.publicKey)
    const links = [[own, mutual, ROLE_C], [mutual, own, ROLE_S]] as const
    const records = links.map(([idC, idS, role]) => ({ ...newLinkRecord(makeLinkParties(idC, idS, 0, 16), role, 1n), state: 'BURNED', burns: 1 }) as const)
    await vault.commit((tx) => records.forEach((record) => void saveLink(tx, encodeLinkRecord(record), 1)))
    return records.map(({ linkId }) => hexOf(linkId))
  })
  expect((await at('delegate-link', 'relink', hexOf(mutual))).exitCode).toBe(0)
  const grants = await withVault(async ({ read }) =>
    listLinks(read).filter(({ linkId }) => both.includes(hexOf(linkId))).map(({ control }) => decodeLinkRecord(control).relinkGrant),
  )
  expect(grants).toEqual([5, 5])
})

it('refuses the fourth time, clears a suspension, and changes nothing of what serves', async () => {
  await change({ state: 'BURNED', burns: 3 })
  expect(await at('delegate-link', 'relink', hexOf(bot))).toMatchObject({ exitCode: 1, notes: expect.stringContaining('burned 3 times') as string })
  await change({ state: 'SUSPENDED', strikeAtMs: [1n, 2n, 3n] })
  expect((await at('delegate-link', 'relink', hexOf(bot))).out).toBe('the suspension is cleared')
  expect((await at('delegate-link', 'relink', hexOf(bot))).out).toContain('neither burned nor suspended')
  expect((await stored())[hexOf(bot)]).toEqual(['ACTIVE', 0])
  expect((await at('audit', 'verify')).exitCode).toBe(0)
})
