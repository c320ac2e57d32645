"""Reading a client's file on the controller: JSON5 by a library, and what it must not let through."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

PLUGIN = Path(__file__).resolve().parents[2] / "action_plugins" / "client_files.py"


def plugin():
    spec = importlib.util.spec_from_file_location("client_files_under_test", PLUGIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


read_json = plugin().read_json

SMILE = "\U0001f600"

READ = {
    "strict": (b'{"a": [1, 1.5, null, true, "\\u00e9"]}', {"a": [1, 1.5, None, True, "é"]}, True),
    "comments": (b"// x\n{/* y */ a: 1, 'b': 'c',}", {"a": 1, "b": "c"}, False),
    "numbers": (b"{a: 0x10, b: +1, c: .5, d: 5., e: -0x1}", {"a": 16, "b": 1, "c": 0.5, "d": 5.0, "e": -1}, False),
    "a smile in two halves": (b'{a: "\\ud83d\\ude00"}', {"a": SMILE}, False),
    "and strictly": (b'{"a": "\\ud83d\\ude00"}', {"a": SMILE}, True),
    "half a smile": (b'{"a": "\\ud83d"}', {"a": "\ud83d"}, True),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', {"a": 1}, False),
    "keys like paths": (b'{"ollama/qwen3:8b": {}, "a.b": 1}', {"ollama/qwen3:8b": {}, "a.b": 1}, True),
    "deep enough": (b'{"a":' * 90 + b"1" + b"}" * 90, None, True),
    "deep enough in JSON5": (b"{a:" * 90 + b"1" + b"}" * 90, None, False),
    "carriage returns": (b'{\r\n"a": 1\r\n}\r\n', {"a": 1}, True),
}


@pytest.mark.parametrize(("content", "value", "strict"), READ.values(), ids=READ)
def test_what_is_read(content, value, strict):
    document = read_json(content)
    assert document.strict is strict
    assert value is None or document.value == value
    assert list(document.value) == list(value or document.value)


def test_infinity_is_read_and_left_to_the_writer():
    assert math.isinf(read_json(b"{a: Infinity}").value["a"])
    assert math.isinf(read_json(b'{"a": -Infinity}').value["a"])


REFUSED = {
    "cut": (b'{\n "token": "s3cr3t",\n "a": 1', ["line 3", "column", "unexpected end of input"]),
    "a missing comma": (b'{\n "token": "s3cr3t"\n "a": 1}', ["line 3, column 2", "unexpected"]),
    "an open text": (b'{"token": "s3cr3t', ["line 1", "unexpected"]),
    "a bare word": (b'{"token": s3cr3t}', ["line 1", "unexpected"]),
    "two": (b"{} {}", ["line 1", "unexpected"]),
    "empty": (b"", ["line 1, column 1", "empty"]),
    "blank": (b" \n", ["line 2"]),
    "a list": (b"[1]", ["line 1, column 1", "no mapping", "allowed is a mapping"]),
    "a text": (b'"s3cr3t"', ["no mapping"]),
    "a key twice": (b'{"a": {"b": 1, "b": 2}}', ["'b'", "twice"]),
    "a key twice in JSON5": (b"{a: 1, 'a': 2}", ["'a'", "twice"]),
    "not UTF-8": (b'{"a":\n"\xff"}', ["line 2", "UTF-8"]),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), ["line 1", "UTF-8"]),
    "too deep": (b'{"a":' * 200 + b"1" + b"}" * 200, ["deeper than 100"]),
    "much too deep": (b"[" * 100_000, ["deeper than 100"]),
    "too deep in JSON5": (b"{a:" * 200 + b"1" + b"}" * 200, ["deeper than 100"]),
    "long JSON5": (b"// x\n{" + b" " * 300_000 + b"}", ["256 KiB"]),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_document_says_where_and_nothing_of_what_is_in_it(content, words):
    with pytest.raises(ValueError, match=r"^(?s:.+)$") as caught:
        read_json(content)
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert "s3cr3t" not in said


def test_without_the_library_strict_json_is_read(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "json5", None)
    assert read_json(b'{"a": 1}').strict
    with pytest.raises(ValueError, match="make setup"):
        read_json(b"{a: 1}")


TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXT, VALUES, max_size=3), st.booleans())
def test_any_document_is_read_alike_by_both_readers(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert read_json(text.encode()).value == value
    commented = read_json(f"/* theirs */ {text} // end".encode())
    assert commented.value == value
    assert not commented.strict
