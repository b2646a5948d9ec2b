# SPDX-License-Identifier: MIT
"""A file that is still being written, read as a pipe: who reads waits for what is not there yet.

`c3v encode --live` holds a lock on the file until it is whole; when nobody holds it, what is there is all that comes.
"""

from __future__ import annotations

import errno
import fcntl
import io
import logging
import os
import time
from pathlib import Path

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
"""Between two looks at whether the file has grown."""


class FollowedFile(io.RawIOBase):
    """See above. Not seekable, so that a reader takes it for a pipe.

    Args:
        path: of the file; waited for where it is not there yet, or empty and nobody is writing to it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        place = Path(path)
        if not place.exists():
            _log.warning("waiting for %s, which is not there yet", path)
        while not place.exists():
            time.sleep(_LOOK_SECONDS)
        self._file = place.open("rb", buffering=0)
        self._is_whole = False
        while not os.fstat(self._file.fileno()).st_size:
            time.sleep(_LOOK_SECONDS)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1, /) -> bytes:
        """Some of the next bytes, at most `size`; none only at the end of the whole file."""
        while True:
            # Looked at before reading: what was written before the lock was given up is there then.
            is_whole = self._is_whole or self._is_free()
            data = self._file.read(size)
            if data or is_whole:
                self._is_whole = is_whole
                return data
            time.sleep(_LOOK_SECONDS)

    read1 = read

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _is_free(self) -> bool:
        """Whether nobody is writing any more."""
        descriptor = self._file.fileno()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            # A file system without locks: nothing tells, so the stream's own end must.
            return error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return True
