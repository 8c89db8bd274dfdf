"""Changes of one field of one message, for a party that cheats; offsets by the layouts of §4.2 and §9.1."""
from .curve import G, add, decode, encode
from .multiplication import RVOLE_BYTES, extension_bytes


def bend(name, change, nth=0):
    """A bend function that changes the nth message of this name (the self-test's P1..P4 are the first ones)."""
    seen = [0]

    def apply(message, body):
        if message != name:
            return body
        seen[0] += 1
        return change(body) if seen[0] == nth + 1 else body

    return apply


def both(first, second):
    return lambda body: second(first(body))


def flip(at):
    """Flips the lowest bit of one byte."""

    def change(body):
        data = bytearray(body)
        data[at] ^= 1
        return bytes(data)

    return change


def replace(at, value):
    def change(body):
        start = at if at >= 0 else len(body) + at
        return body[:start] + value + body[start + len(value) :]

    return change


def other_point(at):
    """Another valid point in place of the one at this offset."""

    def change(body):
        return replace(at, encode(add(decode(body[at : at + 33]), G)))(body)

    return change


class Tail:
    """Offsets inside P3 (after=extension_bytes(B)) and P4 (after=0) of a session of B slots."""

    def __init__(self, slots, after, null=False):
        self.rvole = after
        self.mu = after + RVOLE_BYTES - 32
        self.eta = after + RVOLE_BYTES - 64
        self.points = after + RVOLE_BYTES * slots
        self.salt = self.points + 33 * (slots + null)
        self.gamma_u = self.salt + 32
        self.gamma_v = self.gamma_u + 33 * slots
        self.psi = self.gamma_v + 33 * slots


def p3(slots, null=False):
    return Tail(slots, extension_bytes(slots), null)


def p4(slots, null=False):
    return Tail(slots, 0, null)
