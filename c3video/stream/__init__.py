# SPDX-License-Identifier: MIT
"""bytes <-> .c3v: `layout` declares its structures, `writer` puts segments into it, `reader` takes them out."""
