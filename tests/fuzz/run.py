# SPDX-License-Identifier: MIT
"""Fuzz the decoder for some time: `make fuzz`, or `python -m tests.fuzz.run --seconds 3600`.

With atheris installed (`pip install atheris`) coverage guides the inputs, and new ones are kept in --corpus; without it
they come from a seed. An input that fails is written to --out and named; `--replay FILE` runs it again.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--target", choices=["mutated", "bytes"], default="mutated")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="where no coverage guides")
    parser.add_argument("--plain", action="store_true", help="leave atheris out")
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz/corpus"), help="where atheris keeps new inputs")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="where an input that fails is written")
    parser.add_argument("--replay", type=Path, nargs="+", help="run these inputs and no more")
    options = parser.parse_args()
    faulthandler.enable()
    try:
        import atheris
    except ImportError:
        atheris = None
    if options.plain or options.replay or atheris is None:
        from tests.fuzz.mutation import seeded_inputs
        from tests.fuzz.targets import TARGETS

        target = TARGETS[options.target]
        if options.replay:
            for path in options.replay:
                target(path.read_bytes())
            return 0
        return _run_plainly(target, seeded_inputs(options.seed), options)
    with atheris.instrument_imports(include=["c3video"]):
        from tests.fuzz.targets import TARGETS
    for folder in (options.corpus, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_total_time={options.seconds:.0f}",
        "-max_len=64",
        "-timeout=20",
        "-rss_limit_mb=2048",
    ]
    arguments += [f"-artifact_prefix={options.out}/", "-print_final_stats=1", str(options.corpus), str(CORPUS)]
    atheris.Setup(arguments, TARGETS[options.target])
    atheris.Fuzz()  # ends the process
    return 1


def _run_plainly(target: Callable[[bytes], None], inputs: object, options: argparse.Namespace) -> int:
    started, slowest = time.monotonic(), 0.0
    known = sorted(path.read_bytes() for path in CORPUS.glob("*"))
    for number in count():
        data = known[number] if number < len(known) else next(inputs)  # type: ignore[call-overload]
        before = time.monotonic()
        if before - started > options.seconds:
            print(f"{number} streams in {options.seconds:.0f} s, none fails; the slowest took {slowest:.2f} s")
            return 0
        try:
            target(data)
        except Exception:
            options.out.mkdir(parents=True, exist_ok=True)
            path = options.out / f"{options.target}-{options.seed}-{number}"
            path.write_bytes(data)
            traceback.print_exc()
            print(
                f"input {number} fails; run it again: "
                f"python -m tests.fuzz.run --target {options.target} --replay {path}"
            )
            return 1
        slowest = max(slowest, time.monotonic() - before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
