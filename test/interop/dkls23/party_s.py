"""The side that answers (S), for a process that asks as C. `bend` makes it cheat."""
import hashlib
import secrets

from . import keygen, presign, refresh, setup
from .formats import ZERO32, C, Frame, Link, S, u16, u32
from .signing import REQUEST, RESPONSE, Signing, read_request, response_body

HELLO, ERROR = 0x7E, 0x7F
DIGEST_OF = hashlib.sha256


class PartyS:
    def __init__(self, id_c, id_s, bend=presign.straight):
        self.link, self._bend = Link(id_c, id_s), bend
        self.wallets, self.presignatures, self.signatures = {}, {}, []
        self.seen = []
        self.frames = []
        self._setup = self._keygen = self._presign = self._refresh = None
        self.refreshed = []
        self.material = None

    def handle(self, data):
        """The answer to one frame; nothing for an acknowledgement or an error frame."""
        frame = Frame.parse(data)
        self.seen.append(frame.kind)
        self.frames.append(frame)
        assert frame.role == C and frame.link_id == self.link.link_id, "role or link of the frame"
        handlers = {
            HELLO: self._hello, setup.L1: self._l1, setup.L3: self._l3, setup.L5: self._l5, keygen.W1: self._w1,
            keygen.W3: self._w3, keygen.W5: self._w5, presign.P1: self._p1, presign.P3: self._p3,
            refresh.F1: self._f1, refresh.F3: self._f3, refresh.F5: self._f5, REQUEST: self._request,
            ERROR: lambda _: b"",
        }  # fmt: skip
        return handlers[frame.kind](frame)

    def _frame(self, kind, body, sid=ZERO32, epoch=None):
        return Frame(kind, S, self.link.link_id, self.link.epoch if epoch is None else epoch, sid, body).bytes()

    def error(self, code, detail=b""):
        return self._frame(ERROR, bytes([code]) + u16(len(detail)) + detail)

    def _hello(self, frame):
        assert len(frame.body) == 16 and frame.sid == ZERO32
        return self._frame(HELLO, secrets.token_bytes(16))

    def _l1(self, frame):
        assert frame.sid == ZERO32 and frame.body[32:36] == u32(frame.epoch) and 1 <= frame.body[36] <= 6
        assert self.link.epoch < frame.epoch <= self.link.epoch + 1024 and len(frame.body) == 37
        self._setup = setup.Responder(self.link, frame.epoch, frame.body, self._bend)
        return self._frame(setup.L2, self._setup.l2, self._setup.sid, frame.epoch)

    def _l3(self, frame):
        assert frame.sid == self._setup.sid and frame.epoch == self._setup.epoch
        return self._frame(setup.L4, self._setup.l4(frame.body), frame.sid, frame.epoch)

    def _l5(self, frame):
        assert frame.sid == self._setup.sid and frame.epoch == self._setup.epoch and len(frame.body) == 32 + 86
        self._setup.check_l5(frame.body[:32])
        p1 = frame.body[32:]
        assert p1[32:54] == u16(1) + bytes(20), "the self-test's plan"
        self.link.epoch, self.material = frame.epoch, self._setup.material
        null = presign.NullSlot(self.material.lctx)
        self._presign = presign.Responder(self.material, frame.epoch, [null], p1, self._bend)
        return self._frame(presign.P2, self._presign.p2, self._presign.sid)

    def _w1(self, frame):
        assert frame.sid == ZERO32 and frame.epoch == self.link.epoch
        self._keygen = keygen.Responder(self.link, frame.body, self._bend)
        return self._frame(keygen.W2, self._keygen.w2, self._keygen.sid)

    def _w3(self, frame):
        assert frame.sid == self._keygen.sid and frame.epoch == self.link.epoch
        return self._frame(keygen.W4, self._keygen.w4(frame.body), frame.sid)

    def _w5(self, frame):
        assert frame.sid == self._keygen.sid and frame.body == b""
        self.wallets.update({wallet.wallet_id: wallet for wallet in self._keygen.wallets})
        return b""

    def _find(self, wallet_id, epoch):
        wallet = self.wallets[wallet_id]
        assert wallet.epoch == epoch, f"wEpoch {epoch} instead of {wallet.epoch}"
        return wallet

    def _f1(self, frame):
        assert frame.sid == ZERO32 and frame.epoch == self.link.epoch
        self._refresh = refresh.Responder(self.link, self._find, frame.body, self._bend)
        return self._frame(refresh.F2, self._refresh.f2, self._refresh.sid)

    def _f3(self, frame):
        assert frame.sid == self._refresh.sid and frame.epoch == self.link.epoch
        return self._frame(refresh.F4, self._refresh.f4(frame.body), frame.sid)

    def _f5(self, frame):
        assert frame.sid == self._refresh.sid and frame.body == b""
        renewed = {wallet.wallet_id: wallet for wallet in self._refresh.renewed}
        self.wallets.update(renewed)
        self.presignatures = {
            name: one for name, one in self.presignatures.items() if one.wallet.wallet_id not in renewed
        }
        self.refreshed.append([wallet.wallet_id for wallet in self._refresh.renewed])
        return b""

    def _p1(self, frame):
        assert frame.sid == ZERO32 and frame.epoch == self.link.epoch
        count = int.from_bytes(frame.body[32:34], "little")
        assert len(frame.body) == 66 + 20 * count
        entries = [frame.body[34 + 20 * at : 54 + 20 * at] for at in range(count)]
        slots = [self.wallets[entry[:16]] for entry in entries]
        assert all(entry[16:] == u32(slot.epoch) for entry, slot in zip(entries, slots))
        self._presign = presign.Responder(self.material, frame.epoch, slots, frame.body, self._bend)
        return self._frame(presign.P2, self._presign.p2, self._presign.sid)

    def _p3(self, frame):
        assert frame.sid == self._presign.sid and frame.epoch == self.link.epoch
        p4, presignatures = self._presign.p4(frame.body)
        if isinstance(presignatures[0].wallet, presign.NullSlot):
            presignatures = []
        self.presignatures.update({one.presig_id: one for one in presignatures})
        return self._frame(presign.P4, p4, frame.sid)

    def _request(self, frame):
        asked = read_request(frame.body)
        presignature = self.presignatures.pop(asked["presig"], None)
        if presignature is None:
            return self.error(9)
        wallet = presignature.wallet
        assert frame.sid == ZERO32 and frame.epoch == presignature.link_epoch
        assert asked["link"] == self.link.link_id
        assert asked["wallet"] == wallet.wallet_id and asked["epoch"] == u32(wallet.epoch)
        digest = DIGEST_OF(asked["payload"]).digest()
        signing = Signing(presignature, digest, asked["path"])
        if digest != asked["digest"] or signing.echo != asked["echo"]:
            return self.error(6)
        r, s, recid = signing.combine(asked["w"], asked["u"])
        self.signatures.append((signing.key, digest, r, s, recid))
        body = self._bend("response", response_body(asked["request"], r, s, recid))
        return self._frame(RESPONSE, body)
