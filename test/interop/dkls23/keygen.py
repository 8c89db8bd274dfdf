"""Wallet DKG over a link, §5, for a vector of wallets."""
import secrets

from . import curve
from .curve import Q
from .formats import (
    ALG,
    ZERO32,
    C,
    Reader,
    S,
    Violation,
    Wallet,
    commitment,
    h2s,
    mix,
    random_scalar,
    scalar,
    th,
    u8,
    u16,
)
from .presign import straight

W1, W2, W3, W4, W5 = 0x08, 0x09, 0x0A, 0x0B, 0x0C


def _prove(sid, role, share):
    a = random_scalar()
    public, nonce = curve.encode(curve.base_mul(share)), curve.encode(curve.base_mul(a))
    return nonce + scalar(a + h2s("dkg/pok", sid, u8(role), public, nonce) * share)


def _check_proof(sid, role, public, nonce, z):
    e = h2s("dkg/pok", sid, u8(role), curve.encode(public), curve.encode(nonce))
    if curve.base_mul(z) != curve.add(nonce, curve.mul(public, e)):
        raise Violation("PoK")


class _Keygen:
    def __init__(self, link, count, bend):
        self._link, self._count, self._bend = link, count, bend
        self._shares = [random_scalar() for _ in range(count)]
        self._publics = [curve.base_mul(share) for share in self._shares]
        self._codes = [secrets.token_bytes(32) for _ in range(count)]
        self._transcript = ZERO32

    def _mix(self, role, kind, body):
        self._transcript = mix(self._transcript, role, kind, body)

    def _name(self, nonce_c, nonce_s, committed):
        wctx0 = self._link.wctx0(b"dkg")
        self.sid = th("sid", wctx0, b"dkg", nonce_c, nonce_s, u16(self._count), committed)

    def _make(self, role, peer_publics, peer_codes):
        self.wallets = []
        for at, share in enumerate(self._shares):
            own, peer = (self._publics[at], self._codes[at]), (peer_publics[at], peer_codes[at])
            (x_c, cc_c), (x_s, cc_s) = (own, peer) if role == C else (peer, own)
            wallet_id = th("wallet/id", self.sid, u16(at))[:16]
            code = th("dkg/cc", self.sid, cc_c, cc_s)
            self.wallets.append(Wallet(self._link, wallet_id, share, x_c, x_s, code))

    def conf(self, role):
        publics = b"".join(curve.encode(wallet.public) for wallet in self.wallets)
        codes = b"".join(wallet.chain_code for wallet in self.wallets)
        return th("dkg/conf", self.sid, u8(role), self._transcript, publics, codes)


class Initiator(_Keygen):
    """C."""

    def __init__(self, link, count, bend=straight):
        super().__init__(link, count, bend)
        self._nonce, self._salt = secrets.token_bytes(32), secrets.token_bytes(32)
        self._opening = b"".join(curve.encode(x) + code for x, code in zip(self._publics, self._codes))
        context = link.wctx0(b"dkg") + self._nonce
        self._committed = commitment("dkg", C, context, self._opening, self._salt)
        self.w1 = self._nonce + ALG + u16(count) + self._committed
        self._mix(C, W1, self.w1)

    def w3(self, w2):
        reader, publics, codes, proofs = Reader(w2), [], [], []
        nonce_s = reader.take(32)
        for _ in range(self._count):
            publics += reader.points(1)
            codes.append(reader.take(32))
            proofs.append((*reader.points(1), *reader.scalars(1)))
        reader.end()
        self._name(self._nonce, nonce_s, self._committed)
        self._mix(S, W2, w2)
        for public, proof in zip(publics, proofs):
            _check_proof(self.sid, S, public, *proof)
        self._make(C, publics, codes)
        body = self._opening + self._salt + b"".join(_prove(self.sid, C, share) for share in self._shares)
        body = self._bend("W3", body)
        self._mix(C, W3, body)
        return body + self._bend("W3.conf", self.conf(C))

    def finish(self, w4):
        if w4 != self.conf(S):
            raise Violation("conf")
        return self.wallets


class Responder(_Keygen):
    """S."""

    def __init__(self, link, w1, bend=straight):
        reader = Reader(w1)
        nonce_c, alg, count = reader.take(32), reader.take(1), int.from_bytes(reader.take(2), "little")
        self._committed = reader.take(32)
        reader.end()
        assert alg == ALG and 1 <= count <= 64
        super().__init__(link, count, bend)
        self._context = link.wctx0(b"dkg") + nonce_c
        nonce_s = secrets.token_bytes(32)
        self._name(nonce_c, nonce_s, self._committed)
        self._mix(C, W1, w1)
        self.w2 = nonce_s + b"".join(
            curve.encode(x) + code + _prove(self.sid, S, share)
            for x, code, share in zip(self._publics, self._codes, self._shares)
        )
        self.w2 = bend("W2", self.w2)
        self._mix(S, W2, self.w2)

    def w4(self, w3):
        reader, publics, codes = Reader(w3), [], []
        opening = reader.take(65 * self._count)
        for at in range(self._count):
            part = Reader(opening[65 * at : 65 * at + 65])
            publics += part.points(1)
            codes.append(part.take(32))
        salt = reader.take(32)
        proofs = [(*reader.points(1), *reader.scalars(1)) for _ in range(self._count)]
        conf = reader.take(32)
        reader.end()
        if commitment("dkg", C, self._context, opening, salt) != self._committed:
            raise Violation("commitment opening")
        for public, proof in zip(publics, proofs):
            _check_proof(self.sid, C, public, *proof)
        self._make(S, publics, codes)
        self._mix(C, W3, w3[:-32])
        if conf != self.conf(C):
            raise Violation("conf")
        return self._bend("W4", self.conf(S))
