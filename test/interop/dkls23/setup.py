"""Link set-up up to the self-test, §4.2: both sides, transport left to the caller."""
import secrets

from . import base_ot
from .formats import ZERO32, C, Reader, S, Violation, mix, th, u8, u32
from .presign import Material, straight

L1, L2, L3, L4, L5 = 1, 2, 3, 4, 5
FIRST = 1


def _directions(sid):
    return th("dir", sid, u8(C), u8(S)), th("dir", sid, u8(S), u8(C))


class _Setup:
    def __init__(self, link, epoch, bend):
        self._link, self.epoch, self._bend = link, epoch, bend
        self._lctx0, self._transcript = link.lctx0(epoch), ZERO32

    def _mix(self, role, kind, body):
        self._transcript = mix(self._transcript, role, kind, body)

    def _name(self, nonce_c, nonce_s):
        self.sid = th("sid", self._lctx0, b"link", nonce_c, nonce_s)
        self._cs, self._sc = _directions(self.sid)

    def _seal(self):
        """lctx and the confirmations, once L4 is in the transcript."""
        self._lctx = th("lctx", self._lctx0, self._transcript)

    def _conf(self, role):
        return th("link/conf", self.sid, u8(role), self._lctx)


class Initiator(_Setup):
    """C."""

    def __init__(self, link, epoch, reason=FIRST, bend=straight):
        super().__init__(link, epoch, bend)
        self._nonce = secrets.token_bytes(32)
        self.l1 = self._nonce + u32(epoch) + u8(reason)
        self._mix(C, L1, self.l1)

    def l3(self, l2):
        reader = Reader(l2)
        self._name(self._nonce, reader.take(32))
        points = reader.take(base_ot.POINTS)
        reader.end()
        self._mix(S, L2, l2)
        self._receiver = base_ot.Receiver(self._cs)
        reply, self._k0, self._k1 = base_ot.answer(self._sc, points, self._receiver.message)
        body = self._bend("L3", self._receiver.message + reply)
        self._mix(C, L3, body)
        return body

    def l5_head(self, l4):
        """The material; conf_C is in `conf`."""
        reader = Reader(l4)
        reply, conf = reader.take(base_ot.POINTS), reader.take(32)
        reader.end()
        self._mix(S, L4, reply)
        keys = self._receiver.keys(reply)
        self._seal()
        if conf != self._conf(S):
            raise Violation("conf")
        self.conf = self._conf(C)
        return Material(self._lctx, self._receiver.delta, keys, self._k0, self._k1)


class Responder(_Setup):
    """S."""

    def __init__(self, link, epoch, l1, bend=straight):
        super().__init__(link, epoch, bend)
        nonce_s = secrets.token_bytes(32)
        self._name(l1[:32], nonce_s)
        self._mix(C, L1, l1)
        self._receiver = base_ot.Receiver(self._sc)
        self.l2 = bend("L2", nonce_s + self._receiver.message)
        self._mix(S, L2, self.l2)

    def l4(self, l3):
        reader = Reader(l3)
        points, replies = reader.take(base_ot.POINTS), reader.take(base_ot.POINTS)
        reader.end()
        self._mix(C, L3, l3)
        keys = self._receiver.keys(replies)
        body, k0, k1 = base_ot.answer(self._cs, points, self._receiver.message)
        body = self._bend("L4", body)
        self._mix(S, L4, body)
        self._seal()
        self.material = Material(self._lctx, self._receiver.delta, keys, k0, k1)
        return body + self._bend("L4.conf", self._conf(S))

    def check_l5(self, conf):
        if conf != self._conf(C):
            raise Violation("conf")
