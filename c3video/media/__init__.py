# SPDX-License-Identifier: MIT
"""Video in and out: containers, frames of PyAV, y4m and raw planes, scene cuts."""
