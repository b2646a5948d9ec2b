# SPDX-License-Identifier: MIT
"""Measures: originals and coded files in, numbers out. Run as `python -m eval.demo`; never `import eval`."""
