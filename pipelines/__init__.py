# SPDX-License-Identifier: MIT
"""Jobs over sets of clips: they call the codec's front doors and hold no codec maths.

`python -m pipelines.evaluate` runs all of them in order. A run has a folder, and all that its jobs and `eval` tell each
other lies in it:

    OUT/clips.json            which clips, where they lie, which frames            pipelines.evaluate
    OUT/run.json              command, commit, machine, protocol, hours            pipelines.evaluate, eval.measure
    OUT/units/STREAM/         each segment encoded apart, with its record          pipelines.encode_set
    OUT/streams/STREAM.c3v    the segments of a clip joined; .json: its record     pipelines.encode_set
    OUT/decoded/STREAM.json   frame hashes checked, seconds, memory                pipelines.decode_set
    OUT/classic/              other codecs on the same clips                       eval.classic_set
    OUT/measured/             figures of each stream                               eval.measure
    OUT/*.csv                 the figures of all                                   eval.measure
"""
