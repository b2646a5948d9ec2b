# SPDX-License-Identifier: MIT
"""A run folder as one page to read: OUT/report.html, which needs no network and no other file.

    OUT/*.csv, OUT/run.json, OUT/frames/*.png -> curves, tables, pictures -> OUT/report.html

Every figure, and every sentence with a figure in it, comes from the run folder; what a run did not measure has no
section. Start: `python -m eval.report OUT/`.
"""
