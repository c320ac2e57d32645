"""Content that is mostly zeros, carried and compared without touching the zeros.

The lab's registry serves model files of their real size as a header and a hole. Between it and the stand-in
Ollama a body may travel as frames: `D` + length + bytes, or `H` + length for a run of zeros. The fingerprint is
a sha256 over the size and every 64 KiB block that is not all zeros, with its number: two contents of one
fingerprint are equal byte by byte, as two of one sha256 are.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ENCODING = "x-lab-sparse"
FINGERPRINT = "X-Lab-Sparse-Digest"
BLOCK = 1 << 16
FRAME = struct.Struct(">cQ")


def data_extents(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the stretches of a file that the file system holds data for, as (start, end)."""
    at = start
    while at < end:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        if begin >= end:
            return
        stop = min(os.lseek(descriptor, begin, os.SEEK_HOLE), end)
        yield begin, stop
        at = stop


def fingerprint(path: Path) -> str:
    """Give the fingerprint of a file's content."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        total = hashlib.sha256(b"%d\n" % size)
        last = -1
        for begin, end in data_extents(stream.fileno(), 0, size):
            for block in range(max(begin // BLOCK, last + 1), -(-end // BLOCK)):
                stream.seek(block * BLOCK)
                content = stream.read(BLOCK)
                last = block
                if content.count(0) != len(content):
                    total.update(b"%d:%d\n" % (block, len(content)))
                    total.update(content)
    return "sha256:" + total.hexdigest()


def sha256(path: Path) -> str:
    """Give the true sha256 of a file's content, zeros and all; holes are hashed without being read."""
    total = hashlib.sha256()
    zeros = bytes(1 << 20)

    def hole(length: int) -> None:
        while length:
            step = min(length, len(zeros))
            total.update(zeros[:step])
            length -= step

    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        at = 0
        for begin, end in data_extents(stream.fileno(), 0, size):
            hole(begin - at)
            stream.seek(begin)
            for _ in range(begin, end, len(zeros)):
                total.update(stream.read(min(len(zeros), end - stream.tell())))
            at = end
        hole(size - at)
    return "sha256:" + total.hexdigest()


def read_frames(stream: BinaryIO) -> Iterator[tuple[bool, int]]:
    """Give (is data, length) per frame; the caller reads the bytes of a data frame from the stream itself."""
    while True:
        head = stream.read(FRAME.size)
        if not head:
            return
        if len(head) < FRAME.size:
            raise EOFError("unexpected EOF")
        kind, length = FRAME.unpack(head)
        yield kind == b"D", length
