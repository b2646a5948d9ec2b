# SPDX-License-Identifier: MIT
"""Decode .c3v files and say what it took; needs no originals.

    OUT/streams/*.c3v -> every frame against its hash -> OUT/decoded/*.json: frames, seconds, peak memory

Each file is decoded in a process of its own, on one thread, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import c3video.decoder
from c3video.errors import C3VideoError, StreamError
from handover import files, provenance
from pipelines.process import run_module, say


def run(out: Path, *, again: bool = False) -> list[dict[str, Any]]:
    """Decode the streams of a run folder that have not been; returns the records of all.

    Args:
        again: also those that have.

    Raises:
        StreamError: a stream is damaged, or a frame is not what its encoder saw.
    """
    found = []
    for path in sorted((out / "streams").glob("*.c3v")):
        target = out / "decoded" / f"{path.stem}.json"
        crc = zlib.crc32(path.read_bytes())
        if not again and target.exists():
            record = files.read_json(target)
            if record["file_crc32"] == crc:
                found.append(record)
                continue
        # A new process: peak memory is counted from a process's start.
        process = run_module("pipelines.decode_set", ["--file", str(path)], capture=True)
        if process.returncode:
            raise StreamError(process.stderr.strip().removeprefix("decode_set: ") or f"{path}: its decoder has died")
        record = {"stream": path.stem, "file_crc32": crc, **json.loads(process.stdout)}
        record |= {"commit": provenance.commit(), "date": provenance.now(), "cpu": provenance.cpu_name()}
        files.write_json(target, record)
        found.append(record)
        say(
            f"decode: {path.stem}: {record['num_frames']} frames, every hash matches, "
            f"{record['decode_seconds']:.2f} s, {record['peak_memory_mib']:.0f} MiB"
        )
    return found


def decode(path: str) -> dict[str, Any]:
    """Decode a file on one thread. Raises StreamError; the decoder holds every frame against its hash.

    Returns:
        Frames, seconds from opening to the last frame, seconds to the first, peak memory of this process.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    first_seconds, num_frames = 0.0, 0
    with c3video.decoder.open(path) as clip:
        for _ in clip:
            num_frames += 1
            if num_frames == 1:
                first_seconds = time.perf_counter() - started
    return {
        "num_frames": num_frames,
        "decode_seconds": round(time.perf_counter() - started, 4),
        "decode_cpu_seconds": round(time.process_time() - cpu_started, 4),
        "first_frame_seconds": round(first_seconds, 4),
        "peak_memory_mib": round(provenance.peak_memory_mib(), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Decode all streams of a run; returns 1 if one is not what its encoder saw."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.decode_set",
        description="Decode OUT/streams/*.c3v, check every frame's hash, and write seconds and memory to OUT/decoded/.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("out", nargs="?", type=Path, metavar="OUT", help="folder of a run")
    which.add_argument("--file", metavar="FILE", help="one .c3v file; its record is printed and kept nowhere")
    parser.add_argument("--again", action="store_true", help="also what has been decoded before")
    options = parser.parse_args(arguments)
    try:
        if options.file is not None:
            print(json.dumps(decode(options.file)))
            return 0
        found = run(options.out, again=options.again)
    except (C3VideoError, OSError) as error:
        print(f"decode_set: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("decode_set: interrupted; run it again to go on", file=sys.stderr)
        return 130
    print(f"{len(found)} streams, {sum(record['num_frames'] for record in found)} frames, every hash matches")
    return 0


if __name__ == "__main__":
    sys.exit(main())
