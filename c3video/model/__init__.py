# SPDX-License-Identifier: MIT
"""What a patch is: shapes, exact integer arithmetic, entropy tables. Shared by both sides; no optimiser, no loss."""
