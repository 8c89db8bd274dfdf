"""AES-128 encryption with one table of words per byte position (FIPS 197). Test code, not constant time."""
import struct


def _tables():
    powers, logs, value = [0] * 256, [0] * 256, 1
    for exponent in range(255):
        powers[exponent], logs[value] = value, exponent
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    sbox, words = [], [[], [], [], []]
    for byte in range(256):
        inverse = powers[(255 - logs[byte]) % 255] if byte else 0
        s = 0x63
        for turn in range(5):
            s ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xFF
        sbox.append(s)
        double = (s << 1) ^ (0x11B if s & 0x80 else 0)
        word = (double << 24) | (s << 16) | (s << 8) | (double ^ s)
        for position in range(4):
            words[position].append(word)
            word = (word >> 8) | ((word & 0xFF) << 24)
    return sbox, words


_SBOX, (_T0, _T1, _T2, _T3) = _tables()


def _round_keys(key):
    words = list(struct.unpack(">4I", key))
    constant = 1
    for at in range(4, 44):
        word = words[-1]
        if at % 4 == 0:
            word = ((word << 8) | (word >> 24)) & 0xFFFFFFFF
            word = sum(_SBOX[(word >> shift) & 0xFF] << shift for shift in (0, 8, 16, 24)) ^ (constant << 24)
            constant = (constant << 1) ^ (0x11B if constant & 0x80 else 0)
        words.append(words[at - 4] ^ word)
    return words


class Aes128:
    def __init__(self, key):
        self._keys = _round_keys(key)

    def encrypt(self, block, unpack=struct.Struct(">4I").unpack, pack=struct.Struct(">4I").pack):
        """The 16 bytes of one encrypted block."""
        keys, sbox, t0, t1, t2, t3 = self._keys, _SBOX, _T0, _T1, _T2, _T3
        a, b, c, d = unpack(block)
        a ^= keys[0]
        b ^= keys[1]
        c ^= keys[2]
        d ^= keys[3]
        for at in range(4, 40, 4):
            a, b, c, d = (
                t0[a >> 24] ^ t1[(b >> 16) & 255] ^ t2[(c >> 8) & 255] ^ t3[d & 255] ^ keys[at],
                t0[b >> 24] ^ t1[(c >> 16) & 255] ^ t2[(d >> 8) & 255] ^ t3[a & 255] ^ keys[at + 1],
                t0[c >> 24] ^ t1[(d >> 16) & 255] ^ t2[(a >> 8) & 255] ^ t3[b & 255] ^ keys[at + 2],
                t0[d >> 24] ^ t1[(a >> 16) & 255] ^ t2[(b >> 8) & 255] ^ t3[c & 255] ^ keys[at + 3],
            )
        return pack(
            ((sbox[a >> 24] << 24) | (sbox[(b >> 16) & 255] << 16) | (sbox[(c >> 8) & 255] << 8) | sbox[d & 255])
            ^ keys[40],
            ((sbox[b >> 24] << 24) | (sbox[(c >> 16) & 255] << 16) | (sbox[(d >> 8) & 255] << 8) | sbox[a & 255])
            ^ keys[41],
            ((sbox[c >> 24] << 24) | (sbox[(d >> 16) & 255] << 16) | (sbox[(a >> 8) & 255] << 8) | sbox[b & 255])
            ^ keys[42],
            ((sbox[d >> 24] << 24) | (sbox[(a >> 16) & 255] << 16) | (sbox[(b >> 8) & 255] << 8) | sbox[c & 255])
            ^ keys[43],
        )

    def ctr(self, start, length):
        """The stream of a 128-bit big-endian counter that begins at `start` (16 bytes)."""
        counter = int.from_bytes(start, "big")
        blocks = [
            self.encrypt(((counter + at) & (2**128 - 1)).to_bytes(16, "big")) for at in range((length + 15) // 16)
        ]
        return b"".join(blocks)[:length]
