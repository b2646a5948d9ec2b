# SPDX-License-Identifier: MIT
"""`python -m c3video` is `c3v`."""

import sys

from c3video.cli import main

if __name__ == "__main__":
    sys.exit(main())
