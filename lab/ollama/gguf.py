"""Reads the header of a GGUF file: metadata and the list of tensors, never the weights."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ollama import golang

# Values per block and bytes per block of ggml's tensor types (ggml.c, `type_traits`).
TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
    39: ("MXFP4", 32, 17),
}
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}


class BadFile(ValueError):
    """The file is no GGUF, or is cut short."""


class Tensor(NamedTuple):
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size: int


class Header(NamedTuple):
    """What the header says."""

    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data_offset: int
    file_size: int

    @property
    def architecture(self) -> str:
        """The architecture, which prefixes the model's own keys."""
        return str(self.metadata.get("general.architecture", ""))

    def number(self, key: str, default: int = 0) -> int:
        """Give a number of the architecture; for a list (hybrid models) its largest."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        return int(max(value) if isinstance(value, list) else value)

    @property
    def parameters(self) -> int:
        """The number of weights."""
        total = 0
        for tensor in self.tensors:
            count = 1
            for side in tensor.shape:
                count *= side
            total += count
        return total

    def tensor_bytes(self, name: str) -> int:
        """Give the size of a tensor; 0 when there is none of that name."""
        return next((tensor.size for tensor in self.tensors if tensor.name == name), 0)


def _take(stream: BinaryIO, form: str) -> Any:
    size = struct.calcsize(form)
    data = stream.read(size)
    if len(data) < size:
        raise BadFile("unexpected EOF")
    return struct.unpack(form, data)[0]


def _text(stream: BinaryIO) -> str:
    length = _take(stream, "<Q")
    data = stream.read(length)
    if len(data) < length:
        raise BadFile("unexpected EOF")
    return data.decode("utf-8", "replace")


def _value(stream: BinaryIO, kind: int) -> Any:
    if kind == 8:
        return _text(stream)
    if kind == 9:
        inner = _take(stream, "<I")
        return [_value(stream, inner) for _ in range(_take(stream, "<Q"))]
    if kind not in _SCALARS:
        raise BadFile("invalid file magic")
    value = _take(stream, _SCALARS[kind])
    return golang.short_float32(value) if kind == 6 else value


def read(path: Path) -> Header:
    """Read a file's header."""
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise BadFile("supplied file was not in GGUF format")
        _take(stream, "<I")
        tensors, keys = _take(stream, "<Q"), _take(stream, "<Q")
        metadata: dict[str, Any] = {}
        for _ in range(keys):
            key = _text(stream)
            metadata[key] = _value(stream, _take(stream, "<I"))
        found = []
        for _ in range(tensors):
            name = _text(stream)
            shape = tuple(_take(stream, "<Q") for _ in range(_take(stream, "<I")))
            kind, offset = _take(stream, "<I"), _take(stream, "<Q")
            label, per_block, block = TYPES.get(kind, ("unknown", 1, 0))
            count = 1
            for side in shape:
                count *= side
            found.append(Tensor(name, shape, label, offset, count // per_block * block))
        alignment = int(metadata.get("general.alignment", 32))
        data_offset = -(-stream.tell() // alignment) * alignment
        return Header(metadata, tuple(found), data_offset, os.fstat(stream.fileno()).st_size)


_cache: dict[tuple[str, int, int], Header] = {}
_lock = threading.Lock()


def cached(path: Path) -> Header:
    """Read a header once per version of the file: /api/tags asks for every model on every call."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    with _lock:
        if key not in _cache:
            _cache[key] = read(path)
        return _cache[key]


def check_complete(header: Header) -> None:
    """Refuse a file that ends before its last tensor, in llama.cpp's words."""
    for tensor in header.tensors:
        end = header.data_offset + tensor.offset + tensor.size
        if end > header.file_size:
            raise BadFile(f'tensor "{tensor.name}" offset+size ({end}) exceeds file size ({header.file_size})')
