"""The header of a GGUF file: read from its first bytes, asked for more where they end, refused where it lies."""

from __future__ import annotations

import struct
import time
from functools import cache

import gguf as package
import pytest
from ansible.module_utils.fleet.gguf import BLOCKS, NeedMore, Skipped, read_header
from gguf import GGMLQuantizationType as Type
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.budget.headers import HEADERS, HYBRID_HEADS, make

ALL = sorted(HEADERS)


@cache
def header(name):
    return HEADERS[name]()


@pytest.mark.parametrize("name", ALL)
def test_a_header_is_read_to_its_last_byte(name):
    data = header(name)
    read = read_header(data, complete=True)
    assert read.header_bytes % 32 == 0
    assert 0 <= read.header_bytes - len(data) < 32
    assert read.metadata["general.architecture"].encode() in data
    assert read.metadata["tokenizer.ggml.tokens"] == Skipped(8, 1000)
    assert read.tensors[0].name == "token_embd.weight"
    # Whatever follows is data and not looked at.
    assert read_header(data + b"\xff" * 1000) == read


def test_sizes_offsets_and_types_are_those_of_the_writer():
    read = {tensor.name: tensor for tensor in read_header(header("gptoss")).tensors}
    table = read["token_embd.weight"]
    assert (table.dims, table.type, table.size_bytes, table.offset) == ((2880, 201_088), "BF16", 1_158_266_880, 0)
    assert read["blk.0.ffn_gate_exps.weight"].size_bytes == 32 * 2880 * 2880 // 32 * 17
    assert sum(one.size_bytes for one in read.values()) == read_header(header("gptoss")).tensor_bytes


def test_the_sizes_of_all_types_are_those_of_the_package():
    assert {int(kind): (kind.name, *package.GGML_QUANT_SIZES[kind]) for kind in Type} == BLOCKS


def test_a_type_newer_than_this_reader_gets_the_distance_to_the_next_tensor():
    data = bytearray(header("llama"))
    at = data.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 16
    data[at : at + 4] = struct.pack("<I", 4711)
    first = read_header(bytes(data)).tensors[0]
    assert (first.type, first.size_bytes) == ("type 4711", 128_256 * 4096 // 256 * 144)


def test_short_arrays_are_kept_and_long_ones_only_counted():
    read = read_header(header("hybrid"))
    assert read.metadata["qwen3next.attention.head_count_kv"] == tuple(HYBRID_HEADS)
    long = read_header(make("llama", {"block_count": 1, "a": list(range(5000)), "b": [True, False]}))
    assert long.metadata["llama.a"] == Skipped(5, 5000)
    assert long.metadata["llama.b"] == (True, False)


def test_the_alignment_of_the_data_is_the_files_own():
    data = make("llama", {"block_count": 1}, alignment=4096)
    assert read_header(data).header_bytes % 4096 == 0


@pytest.mark.parametrize("name", ALL)
def test_cut_anywhere_it_asks_for_more_or_says_that_it_is_truncated(name):
    data = header(name)
    for length in range(0, len(data), 97):
        with pytest.raises(NeedMore) as asked:
            read_header(data[:length])
        assert asked.value.bytes_needed_estimate > length
        with pytest.raises(ValueError, match="truncated"):
            read_header(data[:length], complete=True)


@pytest.mark.parametrize("name", ALL)
def test_a_reader_that_brings_what_is_asked_for_is_done_after_a_few_requests(name):
    data = header(name)
    have, requests = 512, 0
    while True:
        try:
            read = read_header(data[:have])
            break
        except NeedMore as more:
            have, requests = more.bytes_needed_estimate, requests + 1
    assert read == read_header(data)
    assert requests < 12


def test_a_large_vocabulary_costs_a_fraction_of_a_second():
    words = b"".join(struct.pack("<Q", 7) + b"abcdefg" for _ in range(260_000))
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 260_000) + words
    start = time.perf_counter()
    assert read_header(data).metadata["tokenizer.ggml.tokens"] == Skipped(8, 260_000)
    assert time.perf_counter() - start < 2
    with pytest.raises(NeedMore) as asked:
        read_header(data[:100_000])
    assert 0.5 < asked.value.bytes_needed_estimate / len(data) < 2


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def start(tensors=0, pairs=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"<html>not found</html>", "no GGUF file", id="a web page"),
        pytest.param(b"GGUF" + struct.pack(">I", 3) + b"\0" * 16, "version is 50331648", id="big endian"),
        pytest.param(start(version=1), "version is 1", id="version 1"),
        pytest.param(start(version=4), "version is 4", id="version 4"),
        pytest.param(start(pairs=2**63), "claims 9223372036854775808 key-value pairs", id="too many pairs"),
        pytest.param(start(tensors=2**40), "claims 1099511627776 tensors", id="too many tensors"),
        pytest.param(start(pairs=1) + struct.pack("<Q", 2**62), "a key of 4611686018427387904 bytes", id="endless key"),
        pytest.param(start(pairs=1) + string("k") + struct.pack("<IQ", 8, 2**40), "a text of", id="endless text"),
        pytest.param(start(pairs=1) + string("k") + struct.pack("<I", 13), "unknown type 13", id="unknown value type"),
        pytest.param(start(pairs=1) + string("k") + struct.pack("<IIQ", 9, 8, 2**40), "776 texts", id="endless texts"),
        pytest.param(start(pairs=1) + string("k") + struct.pack("<IIQ", 9, 4, 2**40), "more than", id="endless numbers"),
        pytest.param(start(pairs=1) + string("k") + struct.pack("<IIQ", 9, 9, 1), "array of type 9", id="array of arrays"),
        pytest.param(
            start(pairs=2) + 2 * (string("k") + struct.pack("<II", 4, 1)), "key 'k' twice", id="one key twice"
        ),
        pytest.param(
            start(pairs=1) + string("general.alignment") + struct.pack("<II", 4, 0), "general.alignment", id="alignment 0"
        ),
        pytest.param(
            start(pairs=1) + string("general.alignment") + struct.pack("<I", 8) + string("x"), "alignment", id="alignment x"
        ),
        pytest.param(start(tensors=1) + string("t") + struct.pack("<I", 2**31), "2147483648 dimensions", id="dimensions"),
        pytest.param(start(tensors=1) + string("t") + struct.pack("<I", 0), "0 dimensions", id="no dimensions"),
        pytest.param(
            start(tensors=1) + string("t") + struct.pack("<IQQIQ", 2, 2**63, 2**63, 0, 0), "elements", id="a vast product"
        ),
        pytest.param(start(tensors=1) + string("t") + struct.pack("<IQIQ", 1, 1, 0, 2**63), "at byte", id="a vast offset"),
    ],
)  # fmt: skip
def test_a_corrupt_header_is_refused_in_a_sentence(data, says):
    with pytest.raises(ValueError, match=says):
        read_header(data)
    with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
        read_header(data, complete=True)


@pytest.mark.parametrize("name", ["qwen3", "hybrid"])
def test_no_flipped_byte_brings_anything_but_a_header_a_request_or_a_sentence(name):
    data = header(name)
    for position in range(0, len(data), 53):
        for bits in (0xFF, 0x80, 0x01):
            broken = bytearray(data)
            broken[position] ^= bits
            attempt(bytes(broken))


@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_bytes_bring_anything_but_a_header_a_request_or_a_sentence(data, pairs):
    attempt(data)
    attempt(start(1, pairs) + data)


def attempt(data):
    outcomes = []
    for complete in (False, True):
        try:
            read_header(data, complete=complete)
        except NeedMore as more:
            outcomes.append(not complete and len(data) < more.bytes_needed_estimate <= 64 * 2**20)
        except ValueError as refused:
            outcomes.append(len(str(refused)) < 300)
    assert all(outcomes)
