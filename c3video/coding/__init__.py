# SPDX-License-Identifier: MIT
"""Integers <-> bytes: the only place where symbols meet the entropy coder."""
