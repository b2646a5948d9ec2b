# SPDX-License-Identifier: MIT
"""How a C3 patch is overfit. Encoder only."""
