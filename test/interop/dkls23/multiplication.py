"""OT extension and vector OLE, §7 and §8."""
import secrets

from .aes128 import Aes128
from .curve import Q
from .formats import SUITE, Cheating, Violation, h2s, read_scalar, scalar, th, u8, u16

XI, ROWS, WIDTH = 416, 128, 3
RVOLE_BYTES = XI * WIDTH * 32 + 64


def row_bits(slots):
    return 128 * (-(-XI * slots // 128) + 1)


def extension_bytes(slots):
    return ROWS * row_bits(slots) // 8 + 16 + 16 * ROWS


def _gadget():
    stream = Aes128(th("gadget", SUITE)[:16]).ctr(bytes(16), 32 * XI)
    return [int.from_bytes(stream[32 * j : 32 * j + 32], "little") % Q for j in range(XI)]


GADGET = _gadget()


def _row(key, sid, index, bits):
    start = bytearray(th("ote/prg", sid)[:16])
    start[0] ^= index
    return int.from_bytes(Aes128(key).ctr(bytes(start), bits // 8), "little")


class RowHash:
    """h_χ over GF(2^128) with X^128+X^7+X^2+X+1: 16 tables of the products by one byte of the block."""

    def __init__(self, sid, corrections):
        power = int.from_bytes(th("ote/chi", sid, corrections)[:16], "little")
        self._tables = []
        for _ in range(16):
            table = [0]
            for bit in range(8):
                table += [product ^ power for product in table]
                power = power << 1 ^ (0x87 | 1 << 128 if power >> 127 else 0)
            self._tables.append(table)

    def __call__(self, row, bits):
        data = row.to_bytes(bits // 8, "little")
        total = int.from_bytes(data[:16], "little")
        for at in range(16, len(data), 16):
            product = 0
            for table, byte in zip(self._tables, total.to_bytes(16, "little")):
                product ^= table[byte]
            total = product ^ int.from_bytes(data[at : at + 16], "little")
        return total


def _columns(rows, bits, count):
    """Column j as an integer whose bit i is bit j of row i."""
    texts = [format(row, f"0{bits}b")[::-1][:count] for row in reversed(rows)]
    return [int("".join(column), 2) for column in zip(*texts)]


class _SlotHash:
    def __init__(self, sid, slot):
        self._cipher = Aes128(th("ote/tccr", sid, u16(slot))[:16])

    def __call__(self, j, value):
        encrypt = self._cipher.encrypt
        base = encrypt(value.to_bytes(16, "little"))
        number = int.from_bytes(base, "little")
        out = [
            int.from_bytes(encrypt((number ^ (8 * j + c)).to_bytes(16, "little")), "little") ^ number
            for c in range(6)
        ]
        return [(out[2 * i] | out[2 * i + 1] << 128) % Q for i in range(WIDTH)]


class ExtensionReceiver:
    """Makes the OTE message and, from the peer's RVOLE message, the shares d of every slot.

    Every row whose bit is set in `garbled` uses a choice vector that differs in one bit, before χ is hashed: the
    check must then fail unless all of these bits of Δ are 0.
    """

    def __init__(self, sid, k0, k1, slots, garbled=0):
        self._sid, self._slots = sid, slots
        bits = row_bits(slots)
        self._choices = secrets.randbits(bits)
        rows = [_row(key, sid, i, bits) for i, key in enumerate(k0)]
        masks = [_row(key, sid, i, bits) for i, key in enumerate(k1)]
        corrections = b"".join(
            (row ^ mask ^ self._choices ^ (garbled >> i & 1)).to_bytes(bits // 8, "little")
            for i, (row, mask) in enumerate(zip(rows, masks))
        )
        row_hash = RowHash(sid, corrections)
        tags = [row_hash(row, bits) for row in [self._choices, *rows]]
        self.message = corrections + b"".join(tag.to_bytes(16, "little") for tag in tags)
        self._columns = _columns(rows, bits, XI * slots)

    def _beta(self, slot):
        return [self._choices >> (XI * slot + j) & 1 for j in range(XI)]

    def chi(self, slot):
        return sum(g for g, bit in zip(GADGET, self._beta(slot)) if bit) % Q

    def finish(self, slot, message):
        """d for both inputs of the slot, after the check of μ."""
        masked = [read_scalar(message[32 * at : 32 * at + 32]) for at in range(XI * WIDTH)]
        eta, theta = read_scalar(message[-64:-32]), _thetas(self._sid, slot, message[:-64])
        slot_hash, sums, checks = _SlotHash(self._sid, slot), [0, 0], []
        for j, bit in enumerate(self._beta(slot)):
            gamma = slot_hash(j, self._columns[XI * slot + j])
            d = [(gamma[i] + bit * masked[WIDTH * j + i]) % Q for i in range(WIDTH)]
            checks.append(scalar(d[2] + theta[0] * d[0] + theta[1] * d[1] - bit * eta))
            sums = [sums[i] + GADGET[j] * d[i] for i in (0, 1)]
        if th("rvole/mu", self._sid, u16(slot), b"".join(checks)) != message[-32:]:
            raise Cheating("μ")
        return [total % Q for total in sums]


def check_rvole_scalars(message):
    for at in range(0, len(message) - 32, 32):
        read_scalar(message[at : at + 32])


def _thetas(sid, slot, masked):
    digest = th("rvole/atilde", sid, u16(slot), masked)
    return [h2s("rvole/theta", sid, u16(slot), digest, u8(i)) for i in (0, 1)]


class ExtensionSender:
    """Checks the OTE message and makes the RVOLE message of every slot."""

    def __init__(self, sid, delta, keys, slots, message):
        bits = row_bits(slots)
        size = bits // 8
        if len(message) != extension_bytes(slots):
            raise Violation("OTE length")
        self._sid, self._delta = sid, delta
        corrections, tags = message[: ROWS * size], message[ROWS * size :]
        row_hash = RowHash(sid, corrections)
        choice_tag = int.from_bytes(tags[:16], "little")
        rows, good = [], True
        for i, key in enumerate(keys):
            bit = delta >> i & 1
            row = _row(key, sid, i, bits) ^ bit * int.from_bytes(corrections[size * i : size * (i + 1)], "little")
            tag = int.from_bytes(tags[16 * (i + 1) : 16 * (i + 2)], "little")
            good &= row_hash(row, bits) == tag ^ bit * choice_tag
            rows.append(row)
        if not good:
            raise Cheating("OTE")
        self._columns = _columns(rows, bits, XI * slots)

    def multiply(self, slot, inputs):
        """(message, c) for the two inputs of the slot."""
        slot_hash = _SlotHash(self._sid, slot)
        eta_hat = secrets.randbelow(Q)
        alphas, masked = [], []
        for j in range(XI):
            column = self._columns[XI * slot + j]
            zero, one = slot_hash(j, column), slot_hash(j, column ^ self._delta)
            alphas.append(zero)
            masked += [scalar(zero[i] - one[i] + value) for i, value in enumerate([*inputs, eta_hat])]
        joined = b"".join(masked)
        theta = _thetas(self._sid, slot, joined)
        eta = scalar(eta_hat + theta[0] * inputs[0] + theta[1] * inputs[1])
        checks = b"".join(scalar(alpha[2] + theta[0] * alpha[0] + theta[1] * alpha[1]) for alpha in alphas)
        c = [-sum(g * alpha[i] for g, alpha in zip(GADGET, alphas)) % Q for i in (0, 1)]
        return joined + eta + th("rvole/mu", self._sid, u16(slot), checks), c
