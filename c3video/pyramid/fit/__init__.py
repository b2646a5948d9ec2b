# SPDX-License-Identifier: MIT
"""Encoder only: how a pyramid model is fitted to a picture, in floats."""
