# SPDX-License-Identifier: MIT
"""`python -m eval.report OUT/`: write OUT/report.html."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from c3video.errors import C3VideoError
from eval.report.curves import rd_picture
from eval.report.page import render
from eval.run_folder import read_run_folder
from handover.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write OUT/report.html."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.report",
        description="Make one page, OUT/report.html, of what a run left in OUT/: curves, tables, pictures, conditions.",
    )
    parser.add_argument("out", type=Path, help="folder of a run, with points.csv")
    parser.add_argument("--html", type=Path, help="another place for the page")
    parser.add_argument("--rd-picture", type=Path, metavar="FILE.svg", help="also write the RD curves as an SVG file")
    parser.add_argument(
        "--picture-mib",
        type=float,
        default=8.0,
        metavar="N",
        help="most that sample frames may weigh in it (default: 8)",
    )
    options = parser.parse_args(arguments)
    page = options.html or options.out / "report.html"
    try:
        run = read_run_folder(options.out)
        write_text(page, render(run, picture_mib=options.picture_mib))
        if options.rd_picture:
            write_text(options.rd_picture, rd_picture(run))
    except C3VideoError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"report: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
