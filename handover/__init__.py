# SPDX-License-Identifier: MIT
"""What jobs (`pipelines`) and measures (`eval`) hand over to each other: files in the folder of a run, never imports.

Only what both sides must agree on is here: how a file is written, the list of clips, and what a figure says of where it
was made. It uses `c3video` alone.

    OUT/clips.json            which clips, where they lie, which frames            pipelines.evaluate
    OUT/run.json              command, commit, machine, protocol, hours            pipelines.evaluate, eval.measure
    OUT/units/STREAM/         each segment encoded apart, with its record          pipelines.encode_set
    OUT/streams/STREAM.c3v    the segments of a clip joined; .json: its record     pipelines.encode_set
    OUT/decoded/STREAM.json   frame hashes checked, seconds, memory                pipelines.decode_set
    OUT/classic/              other codecs on the same clips                       eval.classic_set
    OUT/measured/             figures of each stream                               eval.measure
    OUT/*.csv                 the figures of all                                   eval.measure
    OUT/frames/               sample frames as PNG                                 eval.samples
"""
