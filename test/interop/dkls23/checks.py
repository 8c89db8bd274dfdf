"""Named checks, one line each."""
from .curve import encode
from .formats import Wallet
from .party_c import Refused


class Checks:
    """Collects (name, reason); no reason means passed."""

    def __init__(self, group):
        self._group, self.results = group, []

    def passes(self, name, run):
        """What run returns; None when it raised."""
        try:
            result, reason = run(), None
        except Exception as error:  # noqa: BLE001 - every failure is a line of the report
            result, reason = None, f"{type(error).__name__}: {error}"
        self.results.append((f"{self._group}: {name}", reason))
        return result

    def refused(self, name, codes, run, detail=None):
        """Passes when run is answered by an error frame of one of these codes, and with this detail when given."""
        codes = codes if isinstance(codes, tuple) else (codes,)

        def attempt():
            try:
                run()
            except Refused as refusal:
                assert refusal.code in codes, f"error frame {refusal.code} instead of {codes}"
                assert detail is None or refusal.detail == detail, f"detail {refusal.detail.hex()}"
                return
            raise AssertionError(f"accepted instead of refused with {codes}")

        self.passes(name, attempt)


def report_of(wallet: Wallet):
    """A wallet as engine:peer prints it."""
    return wallet.wallet_id.hex(), encode(wallet.public).hex(), wallet.chain_code.hex()


def printed_wallets(lines):
    return [
        (wallet["walletId"], wallet["publicKey"], wallet["chainCode"])
        for line in lines
        if line.get("op") == "dkg"
        for wallet in line["wallets"]
    ]


def printed_signatures(lines):
    return [(int(line["r"], 16), int(line["s"], 16), line["recid"]) for line in lines if line.get("op") == "sign"]
