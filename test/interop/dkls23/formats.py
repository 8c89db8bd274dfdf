"""Hashes, encodings, contexts and frames of the protocol, §2, §3 and §16."""
import hashlib
import secrets

from . import curve
from .curve import Q

SUITE, ALG = b"\x01", b"\x01"
C, S = 1, 2
ZERO32 = bytes(32)


class Violation(Exception):
    """The other side broke the protocol (class C)."""


class Cheating(Exception):
    """The other side failed a check of class D."""


def u8(value):
    return value.to_bytes(1, "little")


def u16(value):
    return value.to_bytes(2, "little")


def u32(value):
    return value.to_bytes(4, "little")


def _preimage(tag, items):
    name = b"countersign/dkls2p/v2/" + tag.encode()
    return u8(len(name)) + name + u8(len(items)) + b"".join(u32(len(item)) + item for item in items)


def th(tag, *items):
    return hashlib.sha256(_preimage(tag, items)).digest()


def h2s(tag, *items):
    value = int.from_bytes(hashlib.sha512(_preimage(tag, items)).digest(), "little") % Q
    assert value != 0
    return value


def th512(tag, *items):
    return hashlib.sha512(_preimage(tag, items)).digest()


def scalar(value):
    return (value % Q).to_bytes(32, "little")


def read_scalar(data):
    value = int.from_bytes(data, "little")
    if value >= Q:
        raise Violation("a scalar is not canonical")
    return value


def read_point(data):
    try:
        return curve.decode(data)
    except curve.BadPoint as error:
        raise Violation(str(error)) from error


def random_scalar():
    return 1 + secrets.randbelow(Q - 1)


def commitment(tag, role, context, value, salt):
    return th("com/" + tag, u8(role), context, value, salt)


def mix(transcript, role, kind, body):
    return th("tr", transcript, u8(role), u8(kind), body)


class Reader:
    """Takes the parts of a body of fixed layout and notes what is left over."""

    def __init__(self, body):
        self._body, self._at = body, 0

    def take(self, length):
        part = self._body[self._at : self._at + length]
        if len(part) != length:
            raise Violation("a body is too short")
        self._at += length
        return part

    def points(self, count):
        return [read_point(self.take(33)) for _ in range(count)]

    def scalars(self, count):
        return [read_scalar(self.take(32)) for _ in range(count)]

    def end(self):
        if self._at != len(self._body):
            raise Violation("a body is too long")


class Link:
    """The names of one link, and its lEpoch as one side knows it."""

    def __init__(self, id_c, id_s, shard=0):
        self.id_c, self.id_s = id_c, id_s
        self.link_id = th("link/id", SUITE, id_c, id_s, u16(shard))[:16]
        self.epoch = 0

    def lctx0(self, epoch):
        return th("lctx0", SUITE, self.link_id, u32(epoch), self.id_c, self.id_s)

    def wctx0(self, purpose):
        return th("wctx0", SUITE, ALG, self.link_id, self.id_c, self.id_s, purpose)


class Wallet:
    """One side's share of one key with what is pinned beside it."""

    def __init__(self, link, wallet_id, share, x_c, x_s, chain_code):
        self.link, self.wallet_id, self.share, self.x_c, self.x_s = link, wallet_id, share, x_c, x_s
        self.epoch, self.chain_code = 0, chain_code
        self.public = curve.add(x_c, x_s)

    def context(self):
        return th(
            "wctx", SUITE, ALG, self.wallet_id, u32(self.epoch), self.link.link_id, self.link.id_c, self.link.id_s,
            curve.encode(self.x_c), curve.encode(self.x_s), curve.encode(self.public), self.chain_code,
        )  # fmt: skip


class Frame:
    """One message: the header of 64 bytes and its body."""

    def __init__(self, kind, role, link_id, epoch, sid, body):
        self.kind, self.role, self.link_id, self.epoch, self.sid, self.body = kind, role, link_id, epoch, sid, body

    def bytes(self):
        head = b"CSG2" + SUITE + u8(self.kind) + u8(self.role) + u8(0) + self.link_id + u32(self.epoch) + self.sid
        return head + u32(len(self.body)) + self.body

    @staticmethod
    def parse(data):
        assert len(data) >= 64 and data[:5] == b"CSG2" + SUITE and data[7] == 0, f"bad header {data[:64].hex()}"
        assert int.from_bytes(data[60:64], "little") == len(data) - 64, "bodyLen does not match"
        epoch = int.from_bytes(data[24:28], "little")
        return Frame(data[5], data[6], data[8:24], epoch, data[28:60], data[64:])
