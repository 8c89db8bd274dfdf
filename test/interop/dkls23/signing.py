"""Online signing and derivation, §10 and §11."""
import hashlib
import hmac

from . import curve
from .curve import Q
from .formats import Reader, Violation, h2s, scalar, th, u8, u32

REQUEST, RESPONSE = 0x20, 0x21


def derive(wallet, path):
    """(tweak, child key) of a non-hardened path."""
    point, code, total = wallet.public, wallet.chain_code, 0
    for index in path:
        digest = hmac.new(code, curve.encode(point) + index.to_bytes(4, "big"), hashlib.sha512).digest()
        tweak = int.from_bytes(digest[:32], "big")
        assert tweak < Q
        point, code, total = curve.add(point, curve.base_mul(tweak)), digest[32:], (total + tweak) % Q
    assert point == curve.add(wallet.public, curve.base_mul(total))
    return total, point


class Signing:
    """One presignature bound to one digest and path: what both sides compute."""

    def __init__(self, presignature, digest, path):
        wallet = presignature.wallet
        tweak, self.key = derive(wallet, path)
        key33, digest_number = curve.encode(self.key), int.from_bytes(digest, "big") % Q
        names = (wallet.context(), presignature.presig_id, key33)
        self._delta = h2s("sign/delta", *names, curve.encode(presignature.point), digest, scalar(tweak))
        self._point = curve.mul(presignature.point, self._delta)
        self.r, self._digest = self._point[0] % Q, digest
        self.echo = th("sign/echo", *names, curve.encode(self._point), digest, scalar(tweak))[:16]
        self.w = ((digest_number + self.r * tweak) * presignature.phi + self.r * presignature.v) % Q
        self.u = presignature.u

    def combine(self, peer_w, peer_u):
        """(r, s, recid), verified."""
        u, w = (self.u + peer_u) % Q, (self.w + peer_w) % Q
        s = w * pow(self._delta * u, -1, Q) % Q
        recid = (self._point[1] & 1) | (2 if self._point[0] >= Q else 0)
        if s > (Q - 1) // 2:
            s, recid = Q - s, recid ^ 1
        if not curve.ecdsa_verify(self.key, self._digest, self.r, s):
            raise Violation("final signature")
        return self.r, s, recid


def path_bytes(path):
    return u8(len(path)) + b"".join(u32(index) for index in path)


def request_body(link_id, presignature, request_id, digest, path, signing, payload):
    wallet = presignature.wallet
    return b"".join([
        link_id, wallet.wallet_id, u32(wallet.epoch), presignature.presig_id, request_id, digest, path_bytes(path),
        curve.encode(signing.key), signing.echo, scalar(signing.w), scalar(signing.u), u32(len(payload)), payload,
    ])  # fmt: skip


_FIXED_FIELDS = [("link", 16), ("wallet", 16), ("epoch", 4), ("presig", 16), ("request", 16), ("digest", 32)]


def read_request(body):
    """A dictionary of the fields of a request."""
    reader = Reader(body)
    result = {
        name: reader.take(size)
        for name, size in _FIXED_FIELDS
    }
    depth = reader.take(1)[0]
    result["path"] = [int.from_bytes(reader.take(4), "little") for _ in range(depth)]
    result["key"], result["echo"] = reader.take(33), reader.take(16)
    result["w"], result["u"] = reader.scalars(2)
    result["payload"] = reader.take(int.from_bytes(reader.take(4), "little"))
    reader.end()
    return result


def response_body(request_id, r, s, recid):
    return request_id + r.to_bytes(32, "big") + s.to_bytes(32, "big") + u8(recid)


def read_response(body):
    reader = Reader(body)
    request_id, r, s = reader.take(16), reader.take(32), reader.take(32)
    recid = reader.take(1)[0]
    reader.end()
    return request_id, int.from_bytes(r, "big"), int.from_bytes(s, "big"), recid

