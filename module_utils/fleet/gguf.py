"""The header of a GGUF file, read from its first bytes: what kind of model it is and how large each tensor is.

Layout (ggml/docs/gguf.md, versions 2 and 3, little endian): magic `GGUF`, uint32 version, uint64 number of tensors, uint64
number of key-value pairs, the pairs, one record per tensor (name, dimensions, type, offset), padding, then the data, of which
nothing is read. The vocabulary is most of a header and says nothing about memory: long arrays are stepped over and only their
length is kept. A file is not trusted: counts and lengths are bounded before anything is done because of them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAGIC = b"GGUF"
LARGEST_HEADER_BYTES = 64 * 2**20
"""More than any known header (the largest vocabularies make about 16 MiB of it); beyond it the file is not a model of ours."""

MOST_PAIRS = 16_384
MOST_TENSORS = 65_536
MOST_STRINGS = 2_000_000
"""Texts in one array; the largest vocabularies have some 260,000 words and 500,000 merges."""

KEPT_ARRAY = 4096
"""Arrays up to this length are returned (one number per layer); longer ones only as `Skipped`."""

KEPT_TEXT_BYTES = 4096
"""Longer texts (chat templates, licences) are returned cut to this."""

_SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING = 8
_ARRAY = 9

BLOCKS: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""ggml type -> its name, elements per block, bytes per block (ggml-common.h; GGML_QUANT_SIZES of the package `gguf`)."""


class NeedMore(Exception):
    """The bytes end before the header does. `bytes_needed_estimate` is how many of the file's first bytes to bring next time."""

    def __init__(self, bytes_needed_estimate: int) -> None:
        super().__init__(f"the header goes on, about {bytes_needed_estimate} bytes are needed")
        self.bytes_needed_estimate = bytes_needed_estimate


@dataclass(frozen=True)
class Skipped:
    """An array that was stepped over: the ggml number of its element type, and its length."""

    element_type: int
    length: int


@dataclass(frozen=True)
class Tensor:
    """One tensor. `dims` as stored (the fastest first), `offset` in bytes from the start of the data.

    `size_bytes` is exact for every type in `BLOCKS`; for a type newer than this file it is the distance to the next tensor,
    and 0 for the last one.
    """

    name: str
    dims: tuple[int, ...]
    type: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Header:
    """What stands before the data. `header_bytes` is where the data starts."""

    metadata: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    header_bytes: int

    @property
    def tensor_bytes(self) -> int:
        """Return the bytes of all tensors together."""
        return sum(tensor.size_bytes for tensor in self.tensors)


def read_header(data: bytes, *, complete: bool = False) -> Header:
    """Read a header from the first bytes of a file.

    Raises `NeedMore` when the bytes given end too early, unless `complete` says that the file has no more: then, and for
    whatever is not GGUF, ValueError with a sentence.
    """
    return _Reader(data, complete=complete).header()


class _Reader:
    """A position in the bytes. Nothing is copied but what is kept."""

    def __init__(self, data: bytes, *, complete: bool) -> None:
        self.data = data
        self.complete = complete
        self.position = 0

    def need(self, count: int, more: int = 0) -> None:
        """Make sure of `count` bytes here; `more` is a guess of what follows them, for the next request."""
        end = self.position + count
        if end <= len(self.data):
            return
        if end > LARGEST_HEADER_BYTES:
            message = f"the GGUF header claims more than {LARGEST_HEADER_BYTES} bytes: it is corrupt"
            raise ValueError(message)
        if self.complete:
            message = f"the GGUF header is truncated: the file ends at byte {len(self.data)}, {end} are needed"
            raise ValueError(message)
        # Twice as much each time: reading again from the start then costs no more than reading once, twice over.
        raise NeedMore(min(LARGEST_HEADER_BYTES, max(end + more, 2 * len(self.data), 4096)))

    def scalar(self, layout: str) -> Any:
        size = struct.calcsize(layout)
        self.need(size)
        (value,) = struct.unpack_from(layout, self.data, self.position)
        self.position += size
        return value

    def text(self, what: str, longest: int = LARGEST_HEADER_BYTES) -> str:
        length = self.scalar("<Q")
        if length > longest:
            message = f"the GGUF header has {what} of {length} bytes: it is corrupt"
            raise ValueError(message)
        self.need(length)
        start, self.position = self.position, self.position + length
        return bytes(self.data[start : start + min(length, KEPT_TEXT_BYTES)]).decode("utf-8", "replace")

    def header(self) -> Header:
        self.need(4)
        if self.data[:4] != MAGIC:
            message = f"this is no GGUF file: it starts with {bytes(self.data[:4])!r}, not {MAGIC!r}"
            raise ValueError(message)
        self.position = 4
        version = self.scalar("<I")
        if version not in (2, 3):
            message = f"the GGUF version is {version}, versions 2 and 3 (little endian) can be read"
            raise ValueError(message)
        tensors, pairs = self.scalar("<Q"), self.scalar("<Q")
        for what, count, most in (("tensors", tensors, MOST_TENSORS), ("key-value pairs", pairs, MOST_PAIRS)):
            if count > most:
                message = f"the GGUF header claims {count} {what}, more than {most}: it is corrupt"
                raise ValueError(message)
        metadata = {}
        for _ in range(pairs):
            key = self.text("a key", 65_535)
            if key in metadata:
                message = f"the GGUF header has the key {key[:80]!r} twice: it is corrupt"
                raise ValueError(message)
            metadata[key] = self.value(self.scalar("<I"), key)
        records = [self.tensor_record() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or isinstance(alignment, bool) or not 0 < alignment <= 2**20:
            message = f"general.alignment of the GGUF header is {alignment!r}: it is corrupt"
            raise ValueError(message)
        return Header(metadata, _sized(records), -(-self.position // alignment) * alignment)

    def value(self, kind: int, key: str) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.text("a text")
        if kind == _ARRAY:
            return self.array(key)
        message = f"the GGUF key {key[:80]!r} has the unknown type {kind}: the header is corrupt or newer than version 3"
        raise ValueError(message)

    def array(self, key: str) -> Any:
        kind, length = self.scalar("<I"), self.scalar("<Q")
        if kind in _SCALARS:
            layout = _SCALARS[kind]
            size = struct.calcsize(layout) * length
            self.need(size, 65_536)
            start, self.position = self.position, self.position + size
            if length > KEPT_ARRAY:
                return Skipped(kind, length)
            return struct.unpack_from(f"<{length}{layout[1]}", self.data, start)
        if kind != _STRING:
            message = f"the GGUF key {key[:80]!r} is an array of type {kind}, which no model has: the header is corrupt"
            raise ValueError(message)
        if length > MOST_STRINGS:
            message = f"the GGUF key {key[:80]!r} claims {length} texts, more than {MOST_STRINGS}: the header is corrupt"
            raise ValueError(message)
        self.skip_texts(length)
        return Skipped(kind, length)

    def skip_texts(self, count: int) -> None:
        """Step over texts by their lengths alone: the one loop of a header that is long."""
        data, end, position = self.data, len(self.data), self.position
        read = struct.Struct("<Q").unpack_from
        for done in range(count):
            following = position + 8
            if following <= end:
                following += read(data, position)[0]
            if following > end:
                average = (position - self.position) // done + 1 if done else 16
                self.position = position
                self.need(following - position, (count - done) * average)
            position = following
        self.position = position

    def tensor_record(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.text("a tensor name", 1024)
        count = self.scalar("<I")
        if not 1 <= count <= 4:
            message = f"the tensor {name[:80]!r} of the GGUF header has {count} dimensions: it is corrupt"
            raise ValueError(message)
        dims = tuple(self.scalar("<Q") for _ in range(count))
        kind, offset = self.scalar("<I"), self.scalar("<Q")
        elements = 1
        for size in dims:
            elements *= size
        # 10**15 bytes is a petabyte: no model, but a sum of such figures is still an ordinary number.
        if elements > 10**15 or offset > 10**15:
            message = f"the tensor {name[:80]!r} of the GGUF header claims {elements} elements at byte {offset}: it is corrupt"
            raise ValueError(message)
        return name, dims, kind, offset


def _sized(records: list[tuple[str, tuple[int, ...], int, int]]) -> tuple[Tensor, ...]:
    offsets = sorted({offset for _, _, _, offset in records})
    following = dict(zip(offsets, offsets[1:]))
    tensors = []
    for name, dims, kind, offset in records:
        block = BLOCKS.get(kind)
        size = following.get(offset, offset) - offset if block is None else _block_bytes(dims, block)
        tensors.append(Tensor(name, dims, f"type {kind}" if block is None else block[0], offset, size))
    return tuple(tensors)


def _block_bytes(dims: tuple[int, ...], block: tuple[str, int, int]) -> int:
    rows = 1
    for size in dims[1:]:
        rows *= size
    return rows * -(-dims[0] // block[1]) * block[2]
