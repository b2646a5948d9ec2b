# SPDX-License-Identifier: MIT
"""How much of the decoder fuzzing reaches, by file: from coverage.py for Python, from gcov for the C++ extension.

    coverage run -m tests.fuzz.run --plain --seconds 300 && coverage json -o python.json
    CXXFLAGS="--coverage -fprofile-update=atomic" make fuzz-sanitize FUZZ="--plain --seconds 300"
    python -m tests.fuzz.reach python.json build/sanitize/cmake

Lines that are reached of those that can be. Left out is what no decoder runs: fits, searches, writing. Of kernels the
widest instruction set's object counts, since that is the one that runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PYTHON = (
    "decoder.py",
    "concealment.py",
    "limits.py",
    "models.py",
    "video.py",
    "stream/",
    "coding/",
    "c3/",
    "hybrid/",
    "pyramid/",
    "native/",
)
NOT_DECODING = (
    "/fit/",
    "stream/writer.py",
    "stream/following.py",
    "native/fit_",
    "native/search.py",
    "native/pyramid_fit.py",
    "native/symbol_choice.py",
)
CPP = ("latents", "synthesis", "frame", "motion", "subbands", "key_symbols", "bindings", "context_bindings")
CPP += ("frame_bindings", "dispatch")
NOT_DECODING_CPP = ("shared/writer.h", "hybrid/block_errors.h")

Lines = dict[str, tuple[int, int]]
"""(reached, all) by file."""


def of_python(report: Path) -> Lines:
    """From the report of `coverage json`."""
    found = {}
    for name, facts in json.loads(report.read_text())["files"].items():
        path = "/" + name.replace("\\", "/").rpartition("c3video/")[2]
        wanted = any(path.startswith(f"/{start}") for start in PYTHON)
        if wanted and not any(part in path for part in NOT_DECODING) and facts["summary"]["num_statements"]:
            found[path[1:]] = (facts["summary"]["covered_lines"], facts["summary"]["num_statements"])
    return found


def of_cpp(objects: Path) -> Lines:
    """From the counters that lie beside objects."""
    lines: dict[str, dict[int, bool]] = defaultdict(dict)
    decoding: set[str] = set()
    for counters in _widest(objects):
        command = ["gcov", "--json-format", "--stdout", counters.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=counters.parent).stdout
        for file in (file for line in said.splitlines() for file in json.loads(line)["files"]):
            _, native, name = file["file"].rpartition("native/src/")
            if native:
                if counters.name.split(".")[0] in CPP:
                    decoding.add(name)
                for entry in file["lines"]:
                    number = entry["line_number"]
                    lines[name][number] = lines[name].get(number, False) or entry["count"] > 0
    # A function of a header is counted where the linker took it from, which may be an encoder's object.
    decoding -= set(NOT_DECODING_CPP)
    return {name: (sum(reached.values()), len(reached)) for name, reached in lines.items() if name in decoding}


def _widest(objects: Path) -> Iterator[Path]:
    found: dict[str, Path] = {}
    for isa in ("kernels_plain", "kernels_avx2", "kernels_avx512", "kernels_avx512vnni", "_native"):
        for path in sorted(objects.glob(f"**/{isa}.dir/src/**/*.gcda")):
            found[f"{path.parent.name}/{path.name}"] = path
    yield from found.values()


def table(lines: Lines) -> str:
    """Markdown, the least reached first, and all together."""
    rows = ["| file | lines | reached |", "|---|---|---|"]
    ordered = sorted(lines.items(), key=lambda item: item[1][0] / item[1][1])
    for name, (reached, count) in [*ordered, ("all", tuple(map(sum, zip(*lines.values(), strict=True))))]:
        rows.append(f"| {name} | {count} | {100 * reached / count:.0f}% |")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.reach", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("python", type=Path, help="what `coverage json` wrote")
    parser.add_argument("objects", type=Path, help="folder of the extension's objects and counters")
    options = parser.parse_args()
    print(table(of_python(options.python)), table(of_cpp(options.objects)), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
