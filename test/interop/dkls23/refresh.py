"""Refresh of wallets, §12: both halves change by a common coin, the key stays.

`bend(name, value)` as in presign.py: "share" is the old share a side believes to have, "coin" its ρ, "seed" what C
opens, "proof role" the role its proofs are made for.
"""
import secrets

from . import curve
from .formats import (
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
    u32,
)
from .presign import straight

F1, F2, F3, F4, F5 = 0x30, 0x31, 0x32, 0x33, 0x34


def entry(wallet):
    return wallet.wallet_id + u32(wallet.epoch)


class _Refresh:
    def __init__(self, link, wallets, bend):
        self._link, self._wallets, self._bend = link, wallets, bend
        self._seed, self._secret = secrets.token_bytes(32), random_scalar()
        self._ephemeral = curve.encode(curve.base_mul(self._secret))
        self._transcript = ZERO32

    def _mix(self, role, kind, body):
        self._transcript = mix(self._transcript, role, kind, body)

    def _name(self, nonce_c, nonce_s):
        product = b"".join(entry(wallet) + wallet.context() for wallet in self._wallets)
        count = u16(len(self._wallets))
        self.sid = th("sid", self._link.wctx0(b"refresh"), b"refresh", nonce_c, nonce_s, count, product)

    def _toss(self, role, seed_c, seed_s, peer_ephemeral):
        """The wallets as they will be."""
        z = curve.encode(curve.mul(peer_ephemeral, self._secret))
        self.renewed = []
        for at, wallet in enumerate(self._wallets):
            coin = h2s("refresh/rho", self.sid, b"refresh", u16(at), seed_c, seed_s, z, wallet.wallet_id, u32(wallet.epoch))
            coin = self._bend("coin", coin)
            step = curve.base_mul(coin)
            share = self._bend("share", wallet.share) + (coin if role == C else -coin)
            x_c, x_s = curve.add(wallet.x_c, step), curve.add(wallet.x_s, curve.negate(step))
            assert curve.add(x_c, x_s) == wallet.public
            renewed = Wallet(self._link, wallet.wallet_id, share % curve.Q, x_c, x_s, wallet.chain_code)
            renewed.epoch = wallet.epoch + 1
            self.renewed.append(renewed)

    def _challenge(self, role, at, nonce):
        wallet = self.renewed[at]
        own = curve.encode(wallet.x_c if role == C else wallet.x_s)
        return lambda bound: h2s("refresh/pok", self.sid, self._opened, u8(bound), u16(at), wallet.wallet_id, own, nonce)

    def _prove(self, role):
        bound, proofs = self._bend("proof role", role), b""
        for at, wallet in enumerate(self.renewed):
            a = random_scalar()
            nonce = curve.encode(curve.base_mul(a))
            proofs += nonce + scalar(a + self._challenge(role, at, nonce)(bound) * wallet.share)
        return proofs

    def _check_proofs(self, role, proofs):
        for at, (nonce, z) in enumerate(proofs):
            wallet = self.renewed[at]
            e = self._challenge(role, at, curve.encode(nonce))(role)
            if curve.base_mul(z) != curve.add(nonce, curve.mul(wallet.x_c if role == C else wallet.x_s, e)):
                raise Violation("PoK")

    def _read_proofs(self, reader):
        return [(*reader.points(1), *reader.scalars(1)) for _ in self._wallets]

    def _conf(self, role):
        points = b"".join(curve.encode(wallet.x_c) + curve.encode(wallet.x_s) for wallet in self.renewed)
        return th("refresh/conf", self.sid, u8(role), self._transcript, u16(2 * len(self.renewed)), points)


class Initiator(_Refresh):
    """C."""

    def __init__(self, link, wallets, bend=straight):
        super().__init__(link, wallets, bend)
        self._nonce, self._salt = secrets.token_bytes(32), secrets.token_bytes(32)
        context = link.wctx0(b"refresh") + self._nonce
        committed = commitment("refresh", C, context, self._seed + self._ephemeral, self._salt)
        self.f1 = self._nonce + u16(len(wallets)) + b"".join(map(entry, wallets)) + committed
        self._mix(C, F1, self.f1)

    def f3(self, f2):
        reader = Reader(f2)
        nonce_s, seed_s = reader.take(32), reader.take(32)
        [ephemeral] = reader.points(1)
        reader.end()
        self._name(self._nonce, nonce_s)
        self._mix(S, F2, f2)
        seed = self._bend("seed", self._seed)
        self._toss(C, seed, seed_s, ephemeral)
        opening = seed + self._ephemeral + self._salt
        self._opened = mix(self._transcript, C, F3, opening)
        body = self._bend("F3", opening + self._prove(C))
        self._mix(C, F3, body)
        return body + self._bend("F3.conf", self._conf(C))

    def finish(self, f4):
        """The wallets at their next epoch."""
        reader = Reader(f4)
        proofs, conf = self._read_proofs(reader), reader.take(32)
        reader.end()
        self._check_proofs(S, proofs)
        if conf != self._conf(S):
            raise Violation("conf")
        return self.renewed


class Responder(_Refresh):
    """S. `find(wallet id, wEpoch)` gives its own record."""

    def __init__(self, link, find, f1, bend=straight):
        reader = Reader(f1)
        nonce_c, count = reader.take(32), int.from_bytes(reader.take(2), "little")
        names = [(reader.take(16), int.from_bytes(reader.take(4), "little")) for _ in range(count)]
        self._committed = reader.take(32)
        reader.end()
        if not 1 <= count <= 256 or len({wallet_id for wallet_id, _ in names}) != count:
            raise Violation("entries")
        super().__init__(link, [find(*name) for name in names], bend)
        self._context = link.wctx0(b"refresh") + nonce_c
        nonce_s = secrets.token_bytes(32)
        self._name(nonce_c, nonce_s)
        self._mix(C, F1, f1)
        self.f2 = bend("F2", nonce_s + self._seed + self._ephemeral)
        self._mix(S, F2, self.f2)

    def f4(self, f3):
        reader = Reader(f3)
        opening = reader.take(32 + 33 + 32)
        if commitment("refresh", C, self._context, opening[:65], opening[65:]) != self._committed:
            raise Violation("commitment opening")
        [ephemeral] = Reader(opening[32:65]).points(1)
        proofs, conf = self._read_proofs(reader), reader.take(32)
        reader.end()
        self._opened = mix(self._transcript, C, F3, opening)
        self._toss(S, opening[:32], self._seed, ephemeral)
        self._check_proofs(C, proofs)
        self._mix(C, F3, f3[:-32])
        if conf != self._conf(C):
            raise Violation("conf")
        return self._bend("F4", self._prove(S)) + self._bend("F4.conf", self._conf(S))
