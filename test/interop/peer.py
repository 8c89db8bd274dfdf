"""The protocol spoken with `npm run engine:peer` by a second implementation, as C and as S.

dkls23/ is written from the text of docs/protocol.md and not from src/engine, in Python and its standard library,
to find out whether the bytes of the engine are the protocol's. Test code with throw-away keys: big integers, nothing
constant-time, nothing wiped. Prints a line for each check; the exit code is 1 when one failed.
`peer.py [seed] [group…]`: the seed is engine:peer's; a group is a function of asking.py or answering.py.
"""
import sys

sys.dont_write_bytecode = True

import os
from concurrent.futures import ProcessPoolExecutor

from dkls23 import answering, asking
from dkls23.checks import Checks

PARTS = {"C": asking, "S": answering}
GROUPS = {f"{role} {group.__name__}": group for role, part in PARTS.items() for group in part.GROUPS}


def run_group(name, seed):
    checks = Checks(f"as {name.replace('_', ' ')}")
    try:
        GROUPS[name](checks, seed)
    except Exception as error:  # noqa: BLE001 - the rest of the groups still runs
        checks.results.append((f"as {name}: runs to its end", f"{type(error).__name__}: {error}"))
    return checks.results


def main(seed, wanted):
    names = [name for name in GROUPS if not wanted or name.split()[1] in wanted]
    failed = passed = 0
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        seeds = [seed * 10_000 + 100 * number for number in range(len(names))]
        for results in pool.map(run_group, names, seeds):
            for name, reason in results:
                failed += reason is not None
                passed += reason is None
                print(f"ok    {name}" if reason is None else f"FAIL  {name}\n        {reason}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    chosen_seed = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 1
    sys.exit(main(chosen_seed, arguments))
