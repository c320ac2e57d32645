"""Writes the header of a GGUF file (version 3): metadata and tensor list, byte for byte the same on every machine.

The package `gguf` writes whole files only; its reader judges this writer in the tests.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ollama.gguf import TYPES

ALIGNMENT = 32
_TYPE_NUMBERS = {label: number for number, (label, _, _) in TYPES.items()}


class TensorInfo(NamedTuple):
    """A tensor to list; its shape has the fastest dimension first, as GGUF has it."""

    name: str
    shape: tuple[int, ...]
    type: str

    @property
    def size(self) -> int:
        """The bytes its data takes."""
        _, per_block, block = TYPES[_TYPE_NUMBERS[self.type]]
        count = 1
        for side in self.shape:
            count *= side
        return count // per_block * block


def _text(value: str) -> bytes:
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def _scalar(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    return 8, _text(str(value))


def _value(value: Any) -> bytes:
    if isinstance(value, list):
        items = [_scalar(item) for item in value]
        kind = items[0][0] if items else 8
        return struct.pack("<IIQ", 9, kind, len(items)) + b"".join(data for _, data in items)
    kind, data = _scalar(value)
    return struct.pack("<I", kind) + data


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def header(metadata: Mapping[str, Any], tensors: Sequence[TensorInfo]) -> tuple[bytes, int]:
    """Give the header's bytes up to where the data begins, and the length of the whole file with its data."""
    out = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += _text(key) + _value(value)
    offset = 0
    for tensor in tensors:
        out += _text(tensor.name) + struct.pack("<I", len(tensor.shape))
        out += struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)
        out += struct.pack("<IQ", _TYPE_NUMBERS[tensor.type], offset)
        offset += _aligned(tensor.size)
    out += b"\0" * (_aligned(len(out)) - len(out))
    return out, len(out) + offset
