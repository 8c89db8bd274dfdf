"""secp256k1 over Python integers: Jacobian coordinates, a table for the base point. Test code, variable time.

A point is an affine pair (x, y); None is the identity.
"""

P = 2**256 - 2**32 - 977
Q = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


class BadPoint(Exception):
    """The bytes are not a compressed point of the curve."""


def _double(point):
    x, y, z = point
    if y == 0 or z == 0:
        return (0, 1, 0)
    a = x * x % P
    b = y * y % P
    c = b * b % P
    d = 2 * ((x + b) * (x + b) - a - c) % P
    e = 3 * a
    x3 = (e * e - 2 * d) % P
    return (x3, (e * (d - x3) - 8 * c) % P, 2 * y * z % P)


def _add_affine(point, x2, y2):
    x1, y1, z1 = point
    if z1 == 0:
        return (x2, y2, 1)
    zz = z1 * z1 % P
    u2 = x2 * zz % P
    s2 = y2 * zz * z1 % P
    h = (u2 - x1) % P
    r = (s2 - y1) % P
    if h == 0:
        return _double(point) if r == 0 else (0, 1, 0)
    hh = h * h % P
    hhh = h * hh % P
    v = x1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return (x3, (r * (v - x3) - y1 * hhh) % P, z1 * h % P)


def _affine(point):
    x, y, z = point
    if z == 0:
        return None
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return (x * square % P, y * square * inverse % P)


def _all_affine(points):
    """Affine forms of points none of which is the identity, with one inversion."""
    products, product = [], 1
    for _, _, z in points:
        products.append(product)
        product = product * z % P
    inverse = pow(product, -1, P)
    result = [None] * len(points)
    for at in range(len(points) - 1, -1, -1):
        x, y, z = points[at]
        own = inverse * products[at] % P
        inverse = inverse * z % P
        square = own * own % P
        result[at] = (x * square % P, y * square * own % P)
    return result


def _base_table():
    points, base = [], G
    for _ in range(32):
        row = [(base[0], base[1], 1)]
        for _ in range(254):
            row.append(_add_affine(row[-1], *base))
        points += row
        base = _affine(_add_affine(row[-1], *base))
    return _all_affine(points)


_BASE = _base_table()


def base_mul(k):
    """k·G."""
    total = (0, 1, 0)
    for window, digit in enumerate((k % Q).to_bytes(32, "little")):
        if digit:
            total = _add_affine(total, *_BASE[255 * window + digit - 1])
    return _affine(total)


# The endomorphism (x, y) -> (BETA·x, y) multiplies by LAMBDA; the short vectors (A1, -B1), (A2, A1) of its lattice
# split a scalar into two halves (GLV).
BETA = 0x7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE
LAMBDA = 0x5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72
_A1, _B1 = 0x3086D221A7D46BCDE86C90E49284EB15, 0xE4437ED6010E88286F547FA90ABFE4C3
_A2 = 0x114CA50F7A8E2F3F657C1108D9D44CFD8


def _signed_digits(k):
    """Digits of a signed window of five bits, lowest first: 0 or odd, between -15 and 15."""
    digits = []
    while k:
        digit = 0
        if k & 1:
            digit = k & 31
            if digit > 15:
                digit -= 32
            k -= digit
        digits.append(digit)
        k >>= 1
    return digits


def _split(k):
    """(k1, k2) of half the length with k1 + LAMBDA·k2 = k mod Q."""
    c1, c2 = (_A1 * k + Q // 2) // Q, (_B1 * k + Q // 2) // Q
    return k - c1 * _A1 - c2 * _A2, c1 * _B1 - c2 * _A1


def mul(point, k):
    """k·point."""
    k %= Q
    if point is None or k == 0:
        return None
    odd = [(point[0], point[1], 1)]
    twice = _affine(_double(odd[0]))
    for _ in range(7):
        odd.append(_add_affine(odd[-1], *twice))
    table = _all_affine(odd)
    halves = _split(k)
    tables = []
    for half, factor in zip(halves, (1, BETA)):
        sign = 1 if half >= 0 else -1
        tables.append([(x * factor % P, y * sign % P) for x, y in table])
    digits = [_signed_digits(abs(half)) for half in halves]
    total = (0, 1, 0)
    for at in range(max(map(len, digits)) - 1, -1, -1):
        total = _double(total)
        for own, points in zip(digits, tables):
            digit = own[at] if at < len(own) else 0
            if digit:
                x, y = points[abs(digit) >> 1]
                total = _add_affine(total, x, y if digit > 0 else P - y)
    return _affine(total)


def add(a, b):
    if a is None or b is None:
        return a or b
    return _affine(_add_affine((a[0], a[1], 1), b[0], b[1]))


def negate(point):
    return None if point is None else (point[0], P - point[1])


def _root(x):
    square = (x * x * x + 7) % P
    y = pow(square, (P + 1) // 4, P)
    return y if y * y % P == square else None


def encode(point):
    """33 bytes SEC1 compressed; the identity has no encoding."""
    if point is None:
        raise BadPoint("the identity has no encoding")
    return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")


def decode(data):
    x = int.from_bytes(data[1:], "big")
    if len(data) != 33 or data[0] not in (2, 3) or x >= P:
        raise BadPoint("not a compressed point")
    y = _root(x)
    if y is None:
        raise BadPoint("not on the curve")
    return (x, y if y & 1 == data[0] & 1 else P - y)


def ecdsa_verify(public, digest, r, s):
    if not (0 < r < Q and 0 < s < Q) or public is None:
        return False
    inverse = pow(s, -1, Q)
    m = int.from_bytes(digest, "big") % Q
    point = add(base_mul(m * inverse), mul(public, r * inverse))
    return point is not None and point[0] % Q == r


def ecdsa_recover(digest, r, s, recid):
    x = r + (Q if recid & 2 else 0)
    point = decode(bytes([2 + (recid & 1)]) + x.to_bytes(32, "big"))
    inverse = pow(r, -1, Q)
    m = int.from_bytes(digest, "big") % Q
    return add(mul(point, s * inverse), base_mul(-m * inverse))
