# SPDX-License-Identifier: MIT
"""Who does the work of an encode: this process, processes beside it, or the machines of a cluster."""
