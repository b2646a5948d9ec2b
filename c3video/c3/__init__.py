# SPDX-License-Identifier: MIT
"""C3: each patch of a segment is overfit with latent grids, context networks and a synthesis (docs/architecture.md)."""
