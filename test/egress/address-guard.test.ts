import { describe, expect, it } from 'vitest'
import { ALLOW_NOTHING, judgeDestination, kindOfAddress, parseAllowList } from '../../src/egress/address-guard.ts'
import { parseIp, parseNetwork } from '../../src/domain/network-address.ts'

const kindOf = (text: string) => {
  const address = parseIp(text)
  return address === undefined ? 'no address' : kindOfAddress(address)
}

const https = (host: string, port = 443) => ({ isEncrypted: true, host, port, usualPorts: [443] })
const plain = (host: string, port = 80) => ({ isEncrypted: false, host, port, usualPorts: [443] })

describe('what an address is', () => {
  it.each([
    ['8.8.8.8', 'public'],
    ['1.1.1.1', 'public'],
    ['100.63.255.255', 'public'],
    ['100.128.0.0', 'public'],
    ['172.15.255.255', 'public'],
    ['172.32.0.0', 'public'],
    ['223.255.255.255', 'public'],
    ['2606:4700:4700::1111', 'public'],
    ['2a00:1450:4001:82a::200e', 'public'],
    ['::ffff:8.8.8.8', 'public'],
    ['64:ff9b::808:808', 'public'],
    ['10.0.0.0', 'private'],
    ['10.255.255.255', 'private'],
    ['127.0.0.1', 'private'],
    ['127.255.255.254', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['100.127.255.255', 'private'],
    ['192.0.0.170', 'private'],
    ['192.0.2.1', 'private'],
    ['192.88.99.1', 'private'],
    ['198.18.0.1', 'private'],
    ['198.19.255.255', 'private'],
    ['198.51.100.7', 'private'],
    ['203.0.113.9', 'private'],
    ['::1', 'private'],
    ['fc00::1', 'private'],
    ['fd12:3456::1', 'private'],
    ['fd00:ec2::254', 'private'],
    ['2001::1', 'private'],
    ['2001:10::1', 'private'],
    ['2001:db8::1', 'private'],
    ['2002:7f00:1::', 'private'],
    ['2002:808:808::', 'private'],
    ['3fff::1', 'private'],
    ['0.0.0.0', 'never'],
    ['0.1.2.3', 'never'],
    ['169.254.169.254', 'never'],
    ['169.254.0.1', 'never'],
    ['224.0.0.1', 'never'],
    ['239.255.255.255', 'never'],
    ['240.0.0.1', 'never'],
    ['255.255.255.255', 'never'],
    ['::', 'never'],
    ['::7f00:1', 'never'],
    ['::127.0.0.1', 'never'],
    ['fe80::1', 'never'],
    ['febf::1', 'never'],
    ['fec0::1', 'never'],
    ['ff02::1', 'never'],
    ['100::1', 'never'],
    ['4000::1', 'never'],
    ['5f00::1', 'never'],
    ['64:ff9b:1::808:808', 'never'],
    ['64:ff9b::7f00:1', 'never'],
    ['64:ff9b::a9fe:a9fe', 'never'],
    ['64:ff9b::10.0.0.1', 'never'],
    ['::ffff:0:8.8.8.8', 'never'],
    ['::ffff:127.0.0.1', 'private'],
    ['::ffff:7f00:1', 'private'],
    ['0:0:0:0:0:ffff:a00:1', 'private'],
    ['::FFFF:169.254.169.254', 'never'],
    ['::ffff:0.0.0.0', 'never'],
  ])('%s is %s', (text, kind) => expect(kindOf(text)).toBe(kind))

  it.each([
    '', 'localhost', '2130706433', '0x7f000001', '0x7f.1', '017700000001', '127.1', '127.0.1', '0177.0.0.1',
    '127.0.0.1.', ' 127.0.0.1', '127.0.0.1 ', '127.0.0.256', '127.0.0.1/8', '[::1]', 'fe80::1%eth0', '::1%lo',
    '1:2:3:4:5:6:7:8:9', ':::', '::1::', '12345::', '１２７.0.0.1', '127。0。0。1',
  ])('%j is no address', (text) => expect(kindOf(text)).toBe('no address'))
})

describe('networks', () => {
  it.each(['10.0.0.1/8', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/', '10.0.0.0/8/8', '::1/129', '::ffff:10.0.0.0/104', 'a/8', '/8', '10.0.0.0/-1'])(
    '%j is none',
    (text) => expect(parseNetwork(text)).toBeUndefined(),
  )

  it('takes single addresses and prefixes that end inside a byte', () => {
    const allow = parseAllowList(['172.20.0.0/14', '::1', 'fd00::/9'])
    const at = (address: string) => judgeDestination(allow, https('x.example'), [address])
    expect([at('172.23.255.255'), at('::1'), at('fd7f::1')]).toEqual([undefined, undefined, undefined])
    expect([at('172.24.0.0'), at('::2'), at('fd80::1')]).toEqual(['address', 'address', 'address'])
  })
})

describe('where a connection may go', () => {
  it('goes to public addresses over TLS at port 443', () => {
    expect(judgeDestination(ALLOW_NOTHING, https('a.example'), ['8.8.8.8', '2606:4700::1'])).toBeUndefined()
    expect(judgeDestination(ALLOW_NOTHING, https('a.example', 8443), ['8.8.8.8'])).toBe('port')
    expect(judgeDestination(ALLOW_NOTHING, plain('a.example', 443), ['8.8.8.8'])).toBe('plaintext')
  })

  it('is refused when one of the answers is, wherever it stands', () => {
    for (const addresses of [['127.0.0.1', '8.8.8.8'], ['8.8.8.8', '127.0.0.1'], ['8.8.8.8', 'nonsense']])
      expect(judgeDestination(ALLOW_NOTHING, https('a.example'), addresses)).toBe('address')
    expect(judgeDestination(ALLOW_NOTHING, https('a.example'), [])).toBe('unresolvable')
  })

  it('lets a listed host be private, in plain text, at any port, but not link-local', () => {
    const allow = parseAllowList(['keys.internal', 'Other.Example.'])
    expect(judgeDestination(allow, plain('KEYS.internal.', 8080), ['10.1.2.3', '::1'])).toBeUndefined()
    expect(judgeDestination(allow, plain('other.example', 8080), ['127.0.0.1'])).toBeUndefined()
    expect(judgeDestination(allow, plain('keys.internal', 80), ['169.254.169.254'])).toBe('address')
    expect(judgeDestination(allow, plain('keys.internal', 80), ['0.0.0.0'])).toBe('address')
    expect(judgeDestination(allow, plain('xkeys.internal'), ['10.1.2.3'])).toBe('address')
    expect(judgeDestination(allow, plain('a.keys.internal'), ['10.1.2.3'])).toBe('address')
  })

  it('lifts the limits on encryption and port only when every address is listed', () => {
    const allow = parseAllowList(['10.1.0.0/16'])
    expect(judgeDestination(allow, plain('a.example', 8080), ['10.1.2.3'])).toBeUndefined()
    expect(judgeDestination(allow, plain('a.example', 8080), ['::ffff:10.1.2.3'])).toBeUndefined()
    expect(judgeDestination(allow, plain('a.example', 8080), ['10.1.2.3', '8.8.8.8'])).toBe('plaintext')
    expect(judgeDestination(allow, https('a.example'), ['10.1.2.3', '8.8.8.8'])).toBeUndefined()
    expect(judgeDestination(allow, https('a.example'), ['10.2.0.1'])).toBe('address')
  })

  it('opens link-local addresses to a listed network alone', () => {
    const allow = parseAllowList(['169.254.169.254/32'])
    expect(judgeDestination(allow, plain('169.254.169.254'), ['169.254.169.254'])).toBeUndefined()
    expect(judgeDestination(allow, plain('169.254.169.253'), ['169.254.169.253'])).toBe('address')
  })

  it('does not take a list it cannot read', () => {
    for (const entry of ['', '10.0.0.0/33', 'a b', 'http://x', '127.1', '*.example.com', '2130706433'])
      expect(() => parseAllowList([entry])).toThrow('neither a host nor a network')
  })
})
