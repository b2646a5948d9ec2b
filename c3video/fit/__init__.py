# SPDX-License-Identifier: MIT
"""Encoder only: how a patch's latents and networks are overfit to its samples. The decoder never imports this."""
