"""The side that asks (C), against a process that answers as S."""
import secrets

from . import keygen, presign, refresh, setup
from .formats import ZERO32, C, Frame, Link, S
from .presign import straight
from .signing import REQUEST, RESPONSE, Signing, read_response, request_body

HELLO, ERROR = 0x7E, 0x7F


class Refused(Exception):
    """The answer was an error frame."""

    def __init__(self, code, detail):
        super().__init__(f"error frame {code}")
        self.code, self.detail = code, detail


class PartyC:
    """`carry(frame bytes)` hands one frame over and returns the answer, empty for none."""

    def __init__(self, carry, id_c, id_s):
        self._carry = carry
        self.link = Link(id_c, id_s)
        self.material, self.wallets = None, []

    def exchange(self, kind, body, sid=ZERO32, epoch=None, answer_kind=None):
        """Sends one frame and returns the answering frame, its header checked against the protocol, §16."""
        epoch = self.link.epoch if epoch is None else epoch
        data = self._carry(Frame(kind, C, self.link.link_id, epoch, sid, body).bytes())
        if not data:
            return None
        frame = self.last_answer = Frame.parse(data)
        assert frame.role == S and frame.link_id == self.link.link_id, "role or link of the answer"
        if frame.kind == ERROR:
            length = int.from_bytes(frame.body[1:3], "little")
            assert len(frame.body) == 3 + length, "length of the error's detail"
            assert frame.body[0] in (2, 3, 5) or length == 0, "an error without a detail carries one"
            assert frame.sid in (sid, ZERO32), "sid of the error"
            raise Refused(frame.body[0], frame.body[3:])
        expected = kind + 1 if answer_kind is None else answer_kind
        assert frame.kind == expected, f"type of the answer {frame.kind:#x}"
        assert frame.epoch == epoch, f"lEpoch of the answer {frame.epoch}"
        return frame

    def hello(self):
        frame = self.exchange(HELLO, secrets.token_bytes(16), answer_kind=HELLO)
        assert len(frame.body) == 16 and frame.sid == ZERO32
        return frame.body

    def set_up(self, epoch=None, bend=straight):
        epoch = self.link.epoch + 1 if epoch is None else epoch
        run = setup.Initiator(self.link, epoch, bend=bend)
        l2 = self.exchange(setup.L1, run.l1, epoch=epoch)
        l3 = run.l3(l2.body)
        assert l2.sid == run.sid, "sid of L2"
        l4 = self.exchange(setup.L3, l3, run.sid, epoch)
        assert l4.sid == run.sid, "sid of L4"
        material = run.l5_head(l4.body)
        self.link.epoch = epoch
        test = presign.Initiator(material, epoch, [presign.NullSlot(material.lctx)], bend)
        p2 = self.exchange(setup.L5, bend("L5.conf", run.conf) + test.p1, run.sid, epoch, presign.P2)
        self.finish_presign(test, p2)
        self.material = material

    def finish_presign(self, run, p2):
        p3 = run.p3(p2.body)
        assert p2.sid == run.sid, "sid of P2"
        p4 = self.exchange(presign.P3, p3, run.sid)
        assert p4.sid == run.sid, "sid of P4"
        self.last_p3 = (p3, run.sid)
        return run.finish(p4.body)

    def create(self, count, bend=straight):
        run = keygen.Initiator(self.link, count, bend)
        w2 = self.exchange(keygen.W1, run.w1)
        w3 = run.w3(w2.body)
        assert w2.sid == run.sid, "sid of W2"
        wallets = run.finish(self.exchange(keygen.W3, w3, run.sid).body)
        assert self.exchange(keygen.W5, b"", run.sid) is None, "an acknowledgement was answered"
        self.wallets += wallets
        return wallets

    def presign(self, wallets, bend=straight):
        run = presign.Initiator(self.material, self.link.epoch, wallets, bend)
        return self.finish_presign(run, self.exchange(presign.P1, run.p1))

    def refresh(self, wallets, bend=straight, acknowledge=True):
        """The wallets at their next epoch, in place of the old ones."""
        run = refresh.Initiator(self.link, wallets, bend)
        f2 = self.exchange(refresh.F1, run.f1)
        f3 = run.f3(f2.body)
        assert f2.sid == run.sid, "sid of F2"
        self.last_refresh = run
        f4 = self.exchange(refresh.F3, f3, run.sid)
        assert f4.sid == run.sid, "sid of F4"
        renewed = run.finish(f4.body)
        if acknowledge:
            self.acknowledge_refresh(run)
        fresh = {wallet.wallet_id: wallet for wallet in renewed}
        self.wallets = [fresh.get(wallet.wallet_id, wallet) for wallet in self.wallets]
        return renewed

    def acknowledge_refresh(self, run):
        assert self.exchange(refresh.F5, b"", run.sid) is None, "an acknowledgement was answered"

    def request(self, presignature, payload, digest, path=(), request_id=None, bend=straight):
        """(request id, body, signing) of a request that is not sent yet."""
        request_id = secrets.token_bytes(16) if request_id is None else request_id
        signing = Signing(presignature, digest, path)
        body = request_body(self.link.link_id, presignature, request_id, digest, path, signing, payload)
        return request_id, bend("request", body), signing

    def send_request(self, request_id, body, epoch=None):
        """(r, s, recid) as S gave it."""
        answer = self.exchange(REQUEST, body, epoch=epoch, answer_kind=RESPONSE)
        assert answer.sid == ZERO32
        answered, r, s, recid = read_response(answer.body)
        assert answered == request_id, "reqId of the response"
        return r, s, recid
