# SPDX-License-Identifier: MIT
"""The pyramid model: latent grids from coarse to fine, one entropy network for all of them, one small synthesis."""
