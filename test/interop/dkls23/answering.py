"""This implementation as S, engine:peer as C: the whole way, then one deviation of S at a time."""
import hashlib

from . import curve, keygen, presign, refresh, setup
from .bending import bend, flip, other_point, p4, replace
from .checks import printed_signatures, printed_wallets, report_of
from .curve import Q
from .formats import u32
from .party_s import ERROR, HELLO, PartyS
from .presign import straight
from .process import Ended, PeerProcess
from .signing import REQUEST

ID_C, ID_S = bytes([3]) * 32, bytes([4]) * 32
WAY = ["link", "dkg:1", "presign:0", "sign:0:m:abcdef"]


class Run:
    """One engine:peer C against a PartyS until it ends; `answer(party, frame)` may answer in the party's place."""

    def __init__(self, seed, operations, cheat=straight, answer=None):
        self.party = PartyS(ID_C, ID_S, cheat)
        with PeerProcess("C", seed, ID_C, ID_S, operations) as process:
            try:
                while True:
                    frame = process.read()
                    instead = answer(self.party, frame) if answer else None
                    process.write(self.party.handle(frame) if instead is None else instead)
            except (Ended, BrokenPipeError):
                pass
            self.code = process.end()
        self.lines = process.lines()
        self.alerts = [line["alert"] for line in self.lines if "alert" in line]

    def succeeded(self):
        assert self.code == 0, self.lines[-1:]
        return self

    def failed(self, alert, last_frame, done):
        """Asserts that C gave up with this alert, right after its frame `last_frame`, having reported `done`."""
        seen = [kind for kind in self.party.seen if kind != ERROR]
        assert self.code != 0 and "error" in self.lines[-1], f"C went on: {self.lines}"
        assert self.alerts == [alert], f"alerts {self.alerts}"
        assert seen[-1] == last_frame, f"C sent {seen[-1]:#x} afterwards"
        assert [line["op"] for line in self.lines if "op" in line] == done, self.lines


def check_signatures(run):
    assert run.party.signatures
    printed = [(r, s, recid) for _, _, r, s, recid in run.party.signatures]
    assert printed_signatures(run.lines) == printed, "C reports other signatures"
    for key, digest, r, s, recid in run.party.signatures:
        assert s <= (Q - 1) // 2 and curve.ecdsa_recover(digest, r, s, recid) == key


def check_reports(run):
    assert printed_wallets(run.lines) == [report_of(wallet) for wallet in run.party.wallets.values()], "wallets"
    asked = [line["publicKey"] for line in run.lines if line["op"] == "sign"]
    assert asked == [curve.encode(key).hex() for key, *_ in run.party.signatures], "keys"
    digests = [line["digest"] for line in run.lines if line["op"] == "sign"]
    payloads = [bytes.fromhex(text) for text in ("abcd", "00ff", "", "01")]
    assert digests == [hashlib.sha256(payload).hexdigest() for payload in payloads], "digests"


def honest(checks, seed):
    operations = [
        "link", "dkg:2", "presign:0", "presign:0,1,0,1,1", "sign:0:m:abcd", "sign:0:m/1/2:00ff", "sign:1:m:",
        "sign:1:m/0/2147483647:01",
    ]  # fmt: skip
    run = checks.passes("link, keys, 1 + 5 slots, 4 signatures", lambda: Run(seed, operations).succeeded())
    checks.passes("signatures verify, low s, recid", lambda: check_signatures(run))
    checks.passes("reported wallets, keys and digests", lambda: check_reports(run))
    checks.passes("hello comes first", lambda: _expect(run.party.seen[0] == HELLO))
    late = checks.passes(
        "keys before the link", lambda: Run(seed + 1, ["dkg:1", "link", "presign:0", "sign:0:m:ff"]).succeeded()
    )
    checks.passes("keys before the link: signature", lambda: check_signatures(late))


def _expect(condition):
    assert condition


def refusals(checks, seed):
    """What C makes of error frames."""
    stale = []

    def once_stale(party, frame):
        if frame[5] == presign.P1 and not stale:
            stale.append(True)
            return party.error(2, u32(party.link.epoch))
        return None

    run = checks.passes("link_stale: a set-up, then on", lambda: Run(seed, WAY, answer=once_stale).succeeded())
    checks.passes("link_stale: one lEpoch later", lambda: _expect(run.party.link.epoch == 2))
    checks.passes("link_stale: signature", lambda: check_signatures(run))

    def burned(party, frame):
        return party.error(8) if frame[5] == presign.P1 else None

    run = Run(seed + 1, WAY, answer=burned)
    checks.passes("link_burned: C stops", lambda: _expect(run.code != 0 and run.alerts == ["burned"]))


def key_generation(checks, seed):
    proof = 32 + 33 + 32 + 33
    cheats = {
        "proof of knowledge": (bend("W2", flip(proof)), keygen.W1),
        "X": (bend("W2", other_point(32)), keygen.W1),
        "confirmation": (bend("W4", flip(5)), keygen.W3),
    }
    for number, (name, (cheat, last)) in enumerate(cheats.items()):
        run = Run(seed + number, ["dkg:1"], cheat)
        checks.passes(f"key generation, wrong {name}", lambda: run.failed("strike", last, []))


def set_up(checks, seed):
    def garble(body):
        for i in range(24):
            body = other_point(66 * i + 33)(body)
        return body

    cheats = {
        "invalid point": (bend("L2", replace(32, b"\x05")), "strike", setup.L1),
        "wrong confirmation": (bend("L4.conf", flip(0)), "strike", setup.L3),
        "24 base OTs garbled on one branch": (bend("L4", garble), "burned", setup.L5),
        "self-test, flipped bit of U": (bend("P2", flip(64)), "burned", setup.L5),
        "self-test, wrong μ": (bend("P4", flip(p4(1, True).mu)), "burned", presign.P3),
    }
    for number, (name, (cheat, alert, last)) in enumerate(cheats.items()):
        run = Run(seed + number, ["link"], cheat)
        checks.passes(f"set-up, {name}", lambda: run.failed(alert, last, []))


def sessions(checks, seed):
    at = p4(1)
    second = 1
    cheats = {
        "U": (bend("P2", flip(64), second), "burned", presign.P1),
        "24 rows on another choice": (bend("rows", lambda _: 2**24 - 1, second), "burned", presign.P1),
        "η": (bend("P4", flip(at.eta), second), "burned", presign.P3),
        "μ": (bend("P4", flip(at.mu), second), "burned", presign.P3),
        "Γ^u": (bend("P4", other_point(at.gamma_u), second), "burned", presign.P3),
        "Γ^v": (bend("P4", other_point(at.gamma_v), second), "burned", presign.P3),
        "r": (bend("nonce", lambda value: value + 1, second), "burned", presign.P3),
        "x": (bend("share", lambda value: value + 1, second), "burned", presign.P3),
        "commitment opening": (bend("P4", flip(at.salt), second), "strike", presign.P3),
        "non-canonical ψ": (bend("P4", replace(at.psi, b"\xff" * 32), second), "strike", presign.P3),
        "confirmation": (bend("P4.conf", flip(0), second), "strike", presign.P3),
    }
    for number, (name, (cheat, alert, last)) in enumerate(cheats.items()):
        run = Run(seed + number, WAY, cheat)
        checks.passes(f"session, wrong {name}", lambda: run.failed(alert, last, ["link", "dkg"]))


def refreshes(checks, seed):
    operations = ["link", "dkg:3", "refresh:2,0", "presign:0,1,2", "sign:2:m:aa", "sign:0:m/5:bb", "refresh:0", "presign:0"]
    run = checks.passes("two refreshes, signatures in between", lambda: Run(seed, [*operations, "sign:0:m:cc"]).succeeded())
    checks.passes("signatures verify under the old keys", lambda: check_signatures(run))
    first, second, third = run.party.wallets.values()
    checks.passes("wEpoch of all three", lambda: _expect([one.epoch for one in (first, second, third)] == [2, 0, 1]))
    ids = [[third.wallet_id, first.wallet_id], [first.wallet_id]]
    checks.passes("in one exchange, in the order given", lambda: _expect(run.party.refreshed == ids))
    keys = [
        [(wallet["walletId"], wallet["wEpoch"], wallet["publicKey"]) for wallet in line["wallets"]]
        for line in run.lines
        if line["op"] == "refresh"
    ]
    public = {wallet.wallet_id: curve.encode(wallet.public).hex() for wallet in (first, third)}
    epochs = [[1, 1], [2]]
    expected = [
        [(name.hex(), epoch, public[name]) for name, epoch in zip(*pair)] for pair in zip(ids, epochs)
    ]
    checks.passes("reported wallets", lambda: _expect(keys == expected))


def refresh_cheats(checks, seed):
    cheats = {
        "E_S no point": (bend("F2", replace(64, b"\x05")), "strike", refresh.F1),
        "A no point": (bend("F4", replace(0, b"\x05")), "strike", refresh.F3),
        "another A": (bend("F4", other_point(0)), "strike", refresh.F3),
        "another z": (bend("F4", flip(33)), "strike", refresh.F3),
        "z not below q": (bend("F4", replace(33, b"\xff" * 32)), "strike", refresh.F3),
        "a proof for the other role": (bend("proof role", lambda role: 3 - role), "strike", refresh.F3),
        "channel and names without the share": (bend("share", lambda share: share + 1), "strike", refresh.F3),
        "confirmation": (bend("F4.conf", flip(9)), "strike", refresh.F3),
        "F4 one byte long": (bend("F4.conf", lambda conf: conf + b"\0"), "strike", refresh.F3),
    }
    for number, (name, (cheat, alert, last)) in enumerate(cheats.items()):
        run = Run(seed + number, ["dkg:1", "refresh:0", "refresh:0"], cheat)
        checks.passes(f"refresh, wrong: {name}", lambda: run.failed(alert, last, ["dkg"]))

    def refusing(party, frame):
        return party.error(3, bytes([1, 0, 0, 0])) if frame[5] == refresh.F1 else None

    run = Run(seed + len(cheats), ["dkg:1", "refresh:0"], answer=refusing)
    checks.passes("refresh, plan refused: C stops", lambda: _expect(run.code != 0 and run.alerts == []))


def responses(checks, seed):
    def high(body):
        s = Q - int.from_bytes(body[48:80], "big")
        return body[:48] + s.to_bytes(32, "big") + bytes([body[80] ^ 1])

    cheats = {"s": flip(79), "s above q/2": high, "recid": flip(80), "recid above 3": replace(80, b"\x04")}
    for number, (name, change) in enumerate(cheats.items()):
        run = Run(seed + number, WAY, bend("response", change))
        done = ["link", "dkg", "presign"]
        checks.passes(f"response, wrong {name}", lambda: run.failed("wallet_suspended", REQUEST, done))


GROUPS = [honest, refusals, key_generation, set_up, sessions, responses, refreshes, refresh_cheats]
