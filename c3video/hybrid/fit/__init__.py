# SPDX-License-Identifier: MIT
"""How a segment of predicted frames is fitted. Encoder only."""
