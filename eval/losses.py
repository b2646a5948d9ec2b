# SPDX-License-Identifier: MIT
"""What concealment makes of records that are lost or damaged: PSNR and frames touched, at 1, 5 and 20%, in a table.

    .c3v --records taken out, or a bit of each turned--> c3v decode --conceal --> frames against the source

Each record but the first and the index is hit with the given probability, in several draws with fixed seeds. All frames
of a lost record are lost; of a damaged one some are whole, and others can be predicted by their motion (salvage.py).
"held": the frame before is shown instead of one that is not whole, as players do.

    python -m eval.losses CLIP ... [--frames N] [--segment N] [--crf Q] [--out eval/results/concealment.md]
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import c3video
from c3video.decoder import Decoder
from c3video.media.source import open_source
from c3video.stream.layout import (
    RECORD,
    RECORD_OVERHEAD_BYTES,
    SEGMENT_KIND,
    Segment,
    write_header,
    write_segment,
)
from c3video.stream.reader import Reader
from c3video.video import Frame, Planes

SHARES = (0.01, 0.05, 0.20)


@dataclass(frozen=True)
class Loss:
    """What a draw came to.

    Args:
        touched: frames that were filled in.
        concealed_db, held_db: PSNR over all samples and frames.
        touched_db, touched_held_db: over the touched frames alone; NaN where there are none.
    """

    touched: int
    concealed_db: float
    held_db: float
    touched_db: float
    touched_held_db: float


def without_records(data: bytes, share: float, seed: int) -> bytes:
    """A stream as a pipe that lost records gives it: without them, and without an index."""
    generator = random.Random(seed)
    reader = Reader(io.BytesIO(data))
    kept = [write_header(reader.header)]
    for segment in reader.segments():
        assert isinstance(segment, Segment)
        if segment.number == 0 or generator.random() >= share:
            kept.append(write_segment(segment, reader.header))
    return b"".join(kept)


def with_turned_bits(data: bytes, share: float, seed: int) -> bytes:
    """A stream with a bit turned somewhere in the payload of some records."""
    generator = random.Random(seed)
    changed, at, number = bytearray(data), data.index(b"C3R"), 0
    while data[at : at + 4] == b"C3R" + bytes([SEGMENT_KIND]):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        if number > 0 and generator.random() < share:
            changed[at + RECORD.size_bytes + generator.randrange(size)] ^= 1 << generator.randrange(8)
        at, number = at + RECORD_OVERHEAD_BYTES + size, number + 1
    return bytes(changed)


DAMAGES = {"lost": without_records, "damaged": with_turned_bits}


def loss_of(data: bytes, source: Sequence[Planes], peak: int) -> Loss:
    """Decode what is left and hold it against the source; frames lost at the end are not counted."""
    with Decoder(io.BytesIO(data), conceal=True) as clip:
        frames = list(clip)
        touched = {frame.number for frame in clip.concealed}
    held: list[Frame] = []
    for number, frame in enumerate(frames):
        held.append(held[-1] if number in touched else frame)
    errors = [_error(frame.planes, planes) for frame, planes in zip(frames, source, strict=False)]
    held_errors = [_error(frame.planes, planes) for frame, planes in zip(held, source, strict=False)]
    return Loss(
        len(touched),
        _psnr(errors, peak),
        _psnr(held_errors, peak),
        _psnr([errors[number] for number in touched], peak),
        _psnr([held_errors[number] for number in touched], peak),
    )


def _error(found: Planes, wanted: Planes) -> float:
    total = sum(float(np.square(a.astype(np.float64) - b).sum()) for a, b in zip(found, wanted, strict=True))
    return total / sum(plane.size for plane in wanted)


def _psnr(errors: Sequence[float], peak: int) -> float:
    return float(10 * np.log10(peak**2 / max(float(np.mean(errors)), 1e-9))) if errors else float("nan")


def rows_of(path: Path, damage: str, num_frames: int, segment: int, crf: float, draws: int) -> list[str]:
    """Lines of the table for a clip."""
    file = io.BytesIO()
    with open_source(path, frames=(0, num_frames)) as opened:
        report = c3video.encode(opened, file, preset="ultrafast", crf=crf, segment_frames=segment, threads=1, workers=1)
    with open_source(path, frames=(0, num_frames)) as opened:
        source, peak = [frame.planes for frame in opened], opened.format.layout.max_value
    lines = []
    for share in SHARES:
        found = [loss_of(DAMAGES[damage](file.getvalue(), share, seed), source, peak) for seed in range(draws)]
        touched = np.mean([loss.touched / len(source) for loss in found])
        whole, held = (np.mean([getattr(loss, name) for loss in found]) for name in ("concealed_db", "held_db"))
        of_them = [
            np.nanmean([getattr(loss, name) for loss in found] if any(loss.touched for loss in found) else [np.nan])
            for name in ("touched_db", "touched_held_db")
        ]
        lines.append(
            f"| {path.stem} | {report.psnr_db:.2f} | {100 * share:.0f}% | {100 * touched:.1f}% | {whole:.2f} | "
            f"{held:.2f} | {of_them[0]:.2f} | {of_them[1]:.2f} |".replace("nan", "-")
        )
    return lines


HEAD = """## {Damage} records

`c3v decode --conceal` on streams of {segment} frames a segment (crf {crf:g}, preset ultrafast, {frames} frames at most)
of which records were {done} at random, {draws} draws each. PSNR is over all samples of all frames against the
source, in dB, mean over the draws; "held" is what the frame before, shown instead, would come to. The last two columns
are of the touched frames alone. Made by

    {command}

| clip | undamaged | records {damage} | frames touched | concealed | held | touched frames: concealed | held |
|---|---|---|---|---|---|---|---|
"""
_DONE = {"lost": "taken out", "damaged": "given a wrong bit"}


def main(argv: Sequence[str] | None = None) -> int:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--damage", choices=DAMAGES, default="lost", help="what befalls records (default: lost)")
    parser.add_argument("--frames", type=int, default=64, metavar="N", help="of each (default 64)")
    parser.add_argument("--segment", type=int, default=8, metavar="N", help="frames a record (default 8)")
    parser.add_argument("--crf", type=float, default=30.0, metavar="Q")
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="of which records are lost (default 20)")
    parser.add_argument("--out", type=Path, metavar="MD", help="Markdown file (default: standard output)")
    arguments = parser.parse_args(argv)
    names = " ".join(path.name for path in arguments.clips)
    command = f"python -m eval.losses {names} --frames {arguments.frames} --segment {arguments.segment}"
    command += f" --draws {arguments.draws} \\\n        --damage {arguments.damage}"
    text = HEAD.format(
        segment=arguments.segment,
        crf=arguments.crf,
        frames=arguments.frames,
        draws=arguments.draws,
        command=command,
        damage=arguments.damage,
        Damage=arguments.damage.capitalize(),
        done=_DONE[arguments.damage],
    )
    for path in arguments.clips:
        text += (
            "\n".join(
                rows_of(path, arguments.damage, arguments.frames, arguments.segment, arguments.crf, arguments.draws)
            )
            + "\n"
        )
        print(path.stem, file=sys.stderr)
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
