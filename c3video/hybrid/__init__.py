# SPDX-License-Identifier: MIT
"""Frames predicted from frames: motion, wavelet subbands and context networks (docs/architecture.md)."""
