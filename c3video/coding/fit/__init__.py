# SPDX-License-Identifier: MIT
"""Float twins of exact arithmetic, for fits. Encoder only."""
