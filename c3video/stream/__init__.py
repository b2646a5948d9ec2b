# SPDX-License-Identifier: MIT
"""bytes <-> .c3v: `syntax` declares the layout, `writer` puts segments into it, `reader` takes them out."""
