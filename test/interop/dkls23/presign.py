"""Presign sessions of both sides, §9, also as the self-test of a set-up on the null slot, §4.2.

`bend(name, value)` returns what a party uses in place of `value`, itself when the party is honest: the bodies
P1..P4 without their conf (the one who cheats hashes what it sends), and the "nonce", "share" and "rows" of its
inputs.
"""
import secrets

from . import curve
from .curve import Q
from .formats import (
    ZERO32,
    C,
    Cheating,
    Reader,
    S,
    Violation,
    commitment,
    mix,
    random_scalar,
    scalar,
    th,
    u8,
    u16,
    u32,
)
from .multiplication import (
    RVOLE_BYTES,
    ExtensionReceiver,
    ExtensionSender,
    check_rvole_scalars,
    extension_bytes,
)

P1, P2, P3, P4 = 0x10, 0x11, 0x12, 0x13


def straight(_name, body):
    return body


class Material:
    """What a set-up leaves: the names of the material and the seeds of both directions."""

    def __init__(self, lctx, delta, keys, k0, k1):
        self.lctx, self.delta, self.keys, self.k0, self.k1 = lctx, delta, keys, k0, k1


class NullSlot:
    """Stands for a wallet in the self-test: a fresh z in place of the share, opened beside R."""

    def __init__(self, lctx):
        self.share = random_scalar()
        self._lctx = lctx

    def context(self):
        return th("wctx/null", self._lctx)


class Presignature:
    def __init__(self, wallet, link_epoch, presig_id, point, phi, u, v):
        self.wallet, self.link_epoch, self.presig_id = wallet, link_epoch, presig_id
        self.point, self.phi, self.u, self.v = point, phi, u, v


def plan_of(slots):
    return th("plan", u16(len(slots)), b"".join(slot.context() for slot in slots))


def presign_sid(material, slots, nonce_c, nonce_s, committed):
    plan = plan_of(slots)
    return th("sid", material.lctx, b"presign", nonce_c, nonce_s, u16(len(slots)), plan, committed)


class _Session:
    """What both sides of one session do alike; the peer's R (and Z) are known once its commitment is opened."""

    def __init__(self, role, material, slots, bend):
        self._role, self._material, self._slots, self._bend = role, material, slots, bend
        self._null = isinstance(slots[0], NullSlot)
        self._nonces = [random_scalar() for _ in slots]
        self._salt = secrets.token_bytes(32)
        self._opened = b"".join(curve.encode(curve.base_mul(r)) for r in self._nonces)
        if self._null:
            self._opened += curve.encode(curve.base_mul(slots[0].share))
        self.transcript = ZERO32

    def _mix(self, role, kind, body):
        self.transcript = mix(self.transcript, role, kind, body)

    def _ids(self):
        """Direction ids: as the sender and as the receiver of the multiplication."""
        own, peer = self._role, C + S - self._role
        return th("dir", self.sid, u8(own), u8(peer)), th("dir", self.sid, u8(peer), u8(own))

    def _receive(self):
        self._receiver = ExtensionReceiver(
            self._ids()[1], self._material.k0, self._material.k1, len(self._slots), self._bend("rows", 0)
        )
        self._phis = [random_scalar() for _ in self._slots]
        return self._receiver.message

    def _send(self, extension):
        """Checks the peer's OTE message; notes c of every slot and returns the RVOLE message."""
        own = self._material
        sender = ExtensionSender(self._ids()[0], own.delta, own.keys, len(self._slots), extension)
        parts, self._c = [], []
        for at, slot in enumerate(self._slots):
            inputs = [self._bend("nonce", self._nonces[at]), self._bend("share", slot.share)]
            message, c = sender.multiply(at, inputs)
            parts.append(message)
            self._c.append(c)
        return b"".join(parts)

    def _tail(self):
        """R (and Z), salt, Γ, ψ as they stand at the end of P3 and P4."""
        gammas = [b"".join(curve.encode(curve.base_mul(c[i])) for c in self._c) for i in (0, 1)]
        psis = [scalar(phi - self._receiver.chi(at)) for at, phi in enumerate(self._phis)]
        return self._opened + self._salt + b"".join(gammas) + b"".join(psis)

    def _read_tail(self, reader, tag_context, committed):
        """The class C checks of what _tail makes; keeps the RVOLE part for _finish."""
        count = len(self._slots)
        self._rvole = [reader.take(RVOLE_BYTES) for _ in range(count)]
        opened, salt = reader.take(33 * (count + self._null)), reader.take(32)
        points = Reader(opened)
        self._peer_points = points.points(count)
        self._peer_keys = points.points(1) if self._null else [self._pinned(slot) for slot in self._slots]
        self._gammas = list(zip(reader.points(count), reader.points(count)))
        self._psis = reader.scalars(count)
        for message in self._rvole:
            check_rvole_scalars(message)
        if commitment("R", C + S - self._role, tag_context, opened, salt) != committed:
            raise Violation("commitment opening")

    def _pinned(self, wallet):
        return wallet.x_s if self._role == C else wallet.x_c

    def _finish(self):
        """μ, (u) and (v) of every slot, then the presignatures."""
        ds = [self._receiver.finish(at, message) for at, message in enumerate(self._rvole)]
        result = []
        for at, (slot, d) in enumerate(zip(self._slots, ds)):
            chi = self._receiver.chi(at)
            for i, point in enumerate((self._peer_points[at], self._peer_keys[at])):
                if curve.mul(point, chi) != curve.add(curve.base_mul(d[i]), self._gammas[at][i]):
                    raise Cheating("uv"[i])
            nonce = curve.add(curve.base_mul(self._nonces[at]), self._peer_points[at])
            factor = self._phis[at] + self._psis[at]
            u = (self._nonces[at] * factor + self._c[at][0] + d[0]) % Q
            v = (slot.share * factor + self._c[at][1] + d[1]) % Q
            name = th("presig", self.sid, u16(at))[:16]
            result.append(Presignature(slot, self.link_epoch, name, nonce, self._phis[at], u, v))
        return result


class Initiator(_Session):
    """C."""

    def __init__(self, material, link_epoch, slots, bend=straight):
        super().__init__(C, material, slots, bend)
        self.link_epoch, self.nonce = link_epoch, secrets.token_bytes(32)
        context = th("ctx", material.lctx, self.nonce, plan_of(slots))
        self._committed = commitment("R", C, context, self._opened, self._salt)
        entries = bytes(20) if self._null else b"".join(slot.wallet_id + u32(slot.epoch) for slot in slots)
        self.p1 = bend("P1", self.nonce + u16(len(slots)) + entries + self._committed)
        self._mix(C, P1, self.p1)

    def p3(self, p2):
        count, reader = len(self._slots), Reader(p2)
        nonce_s, self._peer_committed = reader.take(32), reader.take(32)
        extension = reader.take(extension_bytes(count))
        reader.end()
        self.sid = presign_sid(self._material, self._slots, self.nonce, nonce_s, self._committed)
        self._context = th("ctx", self._material.lctx, self.nonce, nonce_s, plan_of(self._slots))
        self._mix(S, P2, p2)
        rvole = self._send(extension)
        body = self._bend("P3", self._receive() + rvole + self._tail())
        self._mix(C, P3, body)
        return body

    def finish(self, p4):
        reader = Reader(p4)
        self._read_tail(reader, self._context, self._peer_committed)
        conf = reader.take(32)
        reader.end()
        self._mix(S, P4, p4[:-32])
        if conf != th("presign/conf", self.sid, u8(S), self.transcript):
            raise Violation("conf")
        return self._finish()


class Responder(_Session):
    """S."""

    def __init__(self, material, link_epoch, slots, p1, bend=straight):
        super().__init__(S, material, slots, bend)
        self.link_epoch = link_epoch
        nonce_c, self._peer_committed = p1[:32], p1[-32:]
        nonce_s = secrets.token_bytes(32)
        self.sid = presign_sid(material, slots, nonce_c, nonce_s, self._peer_committed)
        self._peer_context = th("ctx", material.lctx, nonce_c, plan_of(slots))
        context = th("ctx", material.lctx, nonce_c, nonce_s, plan_of(slots))
        committed = commitment("R", S, context, self._opened, self._salt)
        self._mix(C, P1, p1)
        self.p2 = bend("P2", nonce_s + committed + self._receive())
        self._mix(S, P2, self.p2)

    def p4(self, p3):
        """(P4, presignatures)."""
        reader = Reader(p3)
        extension = reader.take(extension_bytes(len(self._slots)))
        self._read_tail(reader, self._peer_context, self._peer_committed)
        reader.end()
        self._mix(C, P3, p3)
        rvole = self._send(extension)
        presignatures = self._finish()
        body = self._bend("P4", rvole + self._tail())
        self._mix(S, P4, body)
        return body + self._bend("P4.conf", th("presign/conf", self.sid, u8(S), self.transcript)), presignatures
