"""Endemic OT, §4.1: 128 instances in one direction."""
import secrets

from . import curve
from .formats import Violation, read_point, random_scalar, th, th512, u8

COUNT = 128
POINTS = 33 * 2 * COUNT


def group_oracle(sid, index, branch, point33):
    for counter in range(256):
        h = th512("eot/hg", sid, u8(index), u8(branch), u8(counter), point33)
        try:
            return curve.decode(bytes([2 + (h[32] & 1)]) + h[:32])
        except curve.BadPoint:
            continue
    raise AssertionError("no point in 256 tries")


def _pairs(data):
    return [(data[66 * i : 66 * i + 33], data[66 * i + 33 : 66 * i + 66]) for i in range(COUNT)]


class Receiver:
    """Picks Δ; later the sender of the extension and of the multiplication."""

    def __init__(self, sid):
        self._sid = sid
        self.delta = secrets.randbits(128)
        self._secrets = [random_scalar() for _ in range(COUNT)]
        parts = []
        for i, t in enumerate(self._secrets):
            bit = self.delta >> i & 1
            other = curve.encode(curve.base_mul(random_scalar()))
            masked = curve.negate(group_oracle(sid, i, bit, other))
            own = curve.encode(curve.add(curve.base_mul(t), masked))
            parts += [other, own] if bit else [own, other]
        self.message = b"".join(parts)

    def keys(self, reply):
        """The 128 chosen keys out of step 2; every point of both branches is looked at."""
        result = []
        for i, (points, replies) in enumerate(zip(_pairs(self.message), _pairs(reply))):
            decoded = [read_point(reply33) for reply33 in replies]
            bit = self.delta >> i & 1
            shared = curve.encode(curve.mul(decoded[bit], self._secrets[i]))
            result.append(th("eot/key", self._sid, u8(i), u8(bit), *points, replies[bit], shared)[:16])
        return result


def answer(sid, message, own_message=None):
    """Step 2 of the sender: (message, k0, k1)."""
    parts, keys = [], ([], [])
    own = {point for pair in _pairs(own_message) for point in pair} if own_message else set()
    for i, points in enumerate(_pairs(message)):
        decoded = [read_point(point) for point in points]
        if own & set(points):
            raise Violation("an own point came back")
        for branch in (0, 1):
            masked = curve.add(decoded[branch], group_oracle(sid, i, branch, points[1 - branch]))
            y = random_scalar()
            reply = curve.encode(curve.base_mul(y))
            shared = curve.encode(curve.mul(masked, y))
            keys[branch].append(th("eot/key", sid, u8(i), u8(branch), *points, reply, shared)[:16])
            parts.append(reply)
    return b"".join(parts), *keys
