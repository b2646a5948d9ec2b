# SPDX-License-Identifier: MIT
"""A whole experiment: encode and decode what is missing, the same with other codecs, measure, report.

    make uvg-eval     the paper's experiment on the UVG set, by its protocol
    make clips-eval   the same on a folder of small clips, and on some still images
    make hd-eval      the same on large clips
    make kodak-eval   Kodak's pictures, beside what others publish for each of them
    make eval-smoke   the same on a few frames, in about a minute

It can be stopped at any time; run again, it goes on where it was. Measures are programs of their own: what they and
the jobs here tell each other lies in files (`handover/__init__.py` has the list).
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c3video.errors import C3VideoError
from handover import files, provenance
from handover.clips import Clip, write_clips
from pipelines import datasets, decode_set, encode_set
from pipelines.options import add_options, clips_of, names, units_of
from pipelines.process import run_module, say

STEPS = ("encode", "decode", "classic", "measure", "report")

PROTOCOLS = {
    "psnr_rgb": "the paper's: RGB as `ffmpeg -i clip.yuv %4d.png` converts it (swscale's defaults; BT.601 where the "
    "file names no matrix), PSNR of each frame, mean over frames, then over clips; 8 bits",
    "psnr_yuv611": "ours: the planes as they are coded, (6 Y + U + V) / 8 of each frame's PSNRs, mean over frames",
    "psnr_rgb_seq": "RGB as above, PSNR of the mean squared error of all frames",
    "bpp": "8 x bytes / (frames x width x height): c3video, all bytes of the file; other codecs, of the elementary "
    "stream without container and version text",
    "seconds": "c3video: fits on the threads named in its records, decoding on one; other codecs on one thread",
}

TITLES = {
    "uvg": "C3 on UVG: real files against classical encoders",
    "clips": "C3 on small clips: real files against classical encoders",
    "hd": "C3 on large clips: real files against classical encoders",
    "kodak": "C3 on Kodak's pictures: real files against published figures and classical encoders",
    "smoke": "A few frames, to see that all of it works",
}

_USUAL = ["x264:medium:psnr", "x265:medium:psnr", "x265:veryslow:psnr", "svtav1:6", "svtav1:4", "svtav1:2"]

CLASSIC = {
    # x264 and x265 with `tune psnr`, since PSNR is what is measured; the other two have no such switch here.
    "uvg": ["x264:medium:psnr", "x265:medium:psnr", "svtav1:6"],
    "clips": [*_USUAL, "x264:veryslow:psnr", "vp9:1"],
    "hd": _USUAL,
    "kodak": ["x265:veryslow:psnr", "svtav1:2"],
    "smoke": ["x264:medium", "x265:medium"],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an experiment; returns 0 done, 1 an error, 3 stopped by the budget, 130 interrupted."""
    options = _parser().parse_args(arguments)
    options.codecs = options.codecs or CLASSIC[options.set]
    out: Path = options.out or Path("runs") / options.set
    try:
        return evaluate(options, out)
    except C3VideoError as error:
        print(f"evaluate: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"evaluate: interrupted; run it again to go on ({out})", file=sys.stderr)
        return 130
    return 1


def evaluate(options: argparse.Namespace, out: Path) -> int:
    """The steps of an experiment, in order. Raises C3VideoError."""
    clips = clips_of(options.set, options)
    units = units_of(options.set, clips, options)
    write_clips(out, clips)
    _write_run(out, options, clips)
    is_done = True
    if "encode" in options.steps:
        is_done = encode_set.run(
            out,
            units,
            workers=options.workers,
            threads=options.threads,
            budget_minutes=options.budget_minutes,
            shard=options.shard,
        )
    if options.shard != (1, 1):
        say(f"shard {options.shard[0]}/{options.shard[1]} is {'done' if is_done else 'not done yet'}: {out}")
        say("when all are: python -m pipelines.merge OUT SHARD SHARD ..., then this command without --shard on OUT")
        return 0 if is_done else 3
    if "decode" in options.steps:
        decode_set.run(out)
    if "classic" in options.steps:
        budget = ["--budget-minutes", str(options.budget_minutes)] if options.budget_minutes is not None else []
        call("eval.classic_set", [str(out), "--codecs", ",".join(options.codecs), *budget])
    if "measure" in options.steps:
        no_ssim = ["--no-ssim"] if options.set == "uvg" and not options.ssim else []
        call("eval.measure", [str(out), *no_ssim])
    if "report" in options.steps:
        call("eval.uvg" if options.set == "uvg" else "eval.rd", [str(out)])
        call("eval.samples", [str(out)])
        call("eval.report", [str(out)])
    return 0 if is_done else 3


class StepError(C3VideoError):
    """A program that is a step of the experiment failed; it has said why."""


def call(module: str, arguments: Sequence[str]) -> None:
    say(f"$ python -m {module} {shlex.join(arguments)}")
    code = run_module(module, arguments).returncode
    if code:
        raise StepError(f"python -m {module} ended with exit code {code}")


def _write_run(out: Path, options: argparse.Namespace, clips: Sequence[Clip]) -> None:
    """What a reader of the figures has to know of how they came to be."""
    path = out / "run.json"
    old: dict[str, Any] = files.read_json(path) if path.exists() else {}
    command = f"python -m pipelines.evaluate {shlex.join(sys.argv[1:])}"
    commands = old.get("commands", [])
    files.write_json(
        path,
        old
        | {
            "command": command,
            "commands": commands if command in commands else [*commands, command],
            "commit": provenance.commit(),
            "date": provenance.now(),
            "versions": provenance.versions(),
            "machine": provenance.machine(),
            "title": TITLES[options.set],
            "set": options.set,
            # Curves that others published are of whole sets: only such a run may be put beside them.
            "published": datasets.published_set(clips),
            "protocol": PROTOCOLS,
        },
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python -m pipelines.evaluate smoke\n"
        "  python -m pipelines.evaluate clips --folder my/clips --preset medium --workers 2\n"
        "  python -m pipelines.evaluate uvg --clips Jockey --frames 0:60 --profile paper,default --budget-minutes 120\n"
        "  python -m pipelines.evaluate uvg --shard 1/4 --out shard1   # on the first of four machines\n",
    )
    parser.add_argument("set", choices=datasets.SETS, help="which clips")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/SET)")
    add_options(parser)
    parser.add_argument(
        "--codecs",
        type=names,
        metavar="C,C",
        help="other codecs, as codec:preset or codec:preset:tune (default: as suits the set)",
    )
    parser.add_argument(
        "--ssim", action="store_true", help="uvg: SSIM too, which takes longer than all else of measuring"
    )
    parser.add_argument(
        "--steps", type=_steps, default=list(STEPS), metavar="S,S", help=f"only these of {', '.join(STEPS)}"
    )
    return parser


def _steps(text: str) -> list[str]:
    found = names(text)
    for step in found:
        if step not in STEPS:
            raise argparse.ArgumentTypeError(f"{step!r}: must be one of {', '.join(STEPS)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
