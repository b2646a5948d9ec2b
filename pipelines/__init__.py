# SPDX-License-Identifier: MIT
"""Jobs over sets of clips: they call the codec's front doors and hold no codec maths.

`python -m pipelines.evaluate` runs all of them in order. A run has a folder, and all that its jobs and `eval` tell each
other lies in it (`handover/__init__.py` has the list).

    datasets -> options -> units -> encode_set: unit_files, join -> decode_set
                                    (several machines: merge)
"""
