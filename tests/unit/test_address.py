"""Which address a host answers at: what ssh's words mean, who is asked in which order, and the packet that wakes a Mac."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import pytest
from ansible.module_utils.fleet.address import (
    Attempt,
    answer_sentence,
    attempt,
    away_sentence,
    candidates,
    error_sentence,
    is_away,
    magic_packet,
)
from hypothesis import given
from hypothesis import strategies as st

LOCAL, TAILNET = "felipes-mac-mini.local", "100.115.10.14"


def action():
    path = Path(__file__).resolve().parents[2] / "action_plugins" / "fleet_address.py"
    spec = importlib.util.spec_from_file_location("action_fleet_address", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Host key for mac-mini has changed and you have requested strict checking.
Host key verification failed."""
UNKNOWN = """\
No ED25519 host key is known for mac-mini and you have requested strict checking.
Host key verification failed."""


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (None, "answered"),
        ("ssh: Could not resolve hostname x.local: nodename nor servname provided, or not known", "name"),
        ("ssh: Could not resolve hostname x.local: Name or service not known", "name"),
        ("ssh: connect to host x port 22: Operation timed out", "silent"),
        ("ssh: connect to host x port 22: Connection timed out", "silent"),
        ("Connection timed out during banner exchange", "silent"),
        ("ssh: connect to host x port 22: Connection refused", "refused"),
        ("ssh: connect to host x port 22: No route to host", "route"),
        ("ssh: connect to host x port 22: Network is unreachable", "route"),
        ("ssh: connect to host x port 22: Host is down", "route"),
        ("kex_exchange_identification: read: Connection reset by peer", "closed"),
        ("Connection closed by UNKNOWN port 65535", "closed"),
        ("felipe@x: Permission denied (publickey).", "denied"),
        (CHANGED, "key_changed"),
        (UNKNOWN, "key_unknown"),
        ("Host key verification failed.", "key_unknown"),
        ("something nobody foresaw", "other"),
        ("", "other"),
    ],
)
def test_what_ssh_says_has_a_cause(words, cause):
    read = attempt(LOCAL, words)
    assert (read.address, read.cause) == (LOCAL, cause)
    assert read.clause()


def test_the_words_are_the_last_line_without_ansibles_own():
    said = "Failed to connect to the host via ssh: mux_client: broken\r\nsomething nobody foresaw\n\n"
    assert attempt(LOCAL, said).words == "something nobody foresaw"


@pytest.mark.parametrize(
    ("addresses", "tried"),
    [
        ([LOCAL, "", None, LOCAL, TAILNET], (LOCAL, TAILNET)),
        ([TAILNET, LOCAL, TAILNET], (TAILNET, LOCAL)),
        ([], ()),
    ],
)
def test_each_address_is_tried_once_in_order(addresses, tried):
    assert candidates(addresses) == tried


@pytest.mark.parametrize("cause", ["name", "silent", "refused", "route", "closed", "other"])
def test_silence_is_being_away(cause):
    assert is_away([Attempt(LOCAL, cause), Attempt(TAILNET, "silent")])


@pytest.mark.parametrize("cause", ["answered", "key_changed", "key_unknown", "denied"])
def test_somebody_who_answers_is_not_away(cause):
    assert not is_away([Attempt(LOCAL, "silent"), Attempt(TAILNET, cause)])


SILENT = [Attempt(LOCAL, "name"), Attempt(TAILNET, "silent")]


def test_silence_names_every_address_and_why():
    for sentence in (error_sentence("mac-mini", "felipe", SILENT), away_sentence("mac-mini", SILENT)):
        assert f"mac-mini does not answer at {LOCAL} (the name does not resolve here), nor at {TAILNET} (no answer" in sentence
    assert "Remote Login" in error_sentence("mac-mini", "felipe", SILENT)
    assert f"ssh -o HostKeyAlias=mac-mini felipe@{LOCAL}" in error_sentence("mac-mini", "felipe", SILENT)
    assert "wake-up packet and stayed silent for 40 s" in away_sentence("mac-mini", SILENT, 40.2)
    assert "wake" not in away_sentence("mac-mini", SILENT)


@pytest.mark.parametrize(
    ("attempts", "words"),
    [
        (
            [SILENT[0], Attempt(TAILNET, "key_changed")],
            [TAILNET, "another host key", "ssh-keygen -R mac-mini", f"HostKeyAlias=mac-mini felipe@{TAILNET}"],
        ),
        ([Attempt(LOCAL, "key_unknown")], [LOCAL, "not known here under the name mac-mini", "ssh_host_ed25519_key.pub"]),
        ([Attempt(LOCAL, "denied", "Permission denied (publickey).")], [LOCAL, "Permission denied (publickey).", "ansible_user"]),
    ],
    ids=["swapped", "never met", "no login"],
)
def test_somebody_who_must_not_be_talked_to_is_named_with_the_remedy(attempts, words):
    sentence = error_sentence("mac-mini", "felipe", attempts)
    assert [word for word in words if word not in sentence] == []
    assert sentence.startswith("mac-mini")


def test_the_address_that_answers_is_said_with_those_that_did_not():
    attempts = [Attempt(LOCAL, "key_changed"), Attempt(TAILNET, "answered")]
    said = answer_sentence("mac-mini", TAILNET, attempts)
    assert said == f"mac-mini answers at {TAILNET} ({LOCAL}: a machine with another host key answers there)"
    woken = answer_sentence("mac-mini", LOCAL, [Attempt(LOCAL, "answered")], woken=True)
    assert woken == f"mac-mini woke up and answers at {LOCAL}"


@given(st.binary(min_size=6, max_size=6), st.sampled_from([":", "-", ""]), st.booleans())
def test_the_wake_up_packet_is_102_bytes_in_any_spelling(address, separator, upper):
    text = separator.join(f"{byte:02X}" if upper else f"{byte:02x}" for byte in address)
    assert magic_packet(text) == b"\xff" * 6 + address * 16


@pytest.mark.parametrize("text", ["", "felipes-mac-mini.local", "3c:22:fb:0a:1b", "3c:22:fb:0a:1b:2c:3d", "3c:22:fb:0a:1b:2g"])
def test_what_is_no_hardware_address_is_refused_in_words(text):
    with pytest.raises(ValueError, match="is no hardware address; write it as `ifconfig en0`"):
        magic_packet(text)


# The race, by a double whose addresses answer, fail, or stay silent until the end of the test. -----------------------------


class Network:
    """Addresses that answer (None), fail (words) or are silent (an event that nobody sets until the end)."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []
        self.end = threading.Event()

    def ask(self, address):
        """Ask."""
        self.asked.append(address)
        answer = self.answers[address]
        if answer == "silent":
            self.end.wait(30)
            return "too late"
        return answer


@pytest.mark.parametrize(
    ("answers", "said", "asked"),
    [
        ({"a": None, "b": None}, {"a": None}, ["a"]),
        ({"a": "refused", "b": None}, {"a": "refused", "b": None}, ["a", "b"]),
        ({"a": "silent", "b": None}, {"b": None}, ["a", "b"]),
        ({"a": "refused", "b": "no name"}, {"a": "refused", "b": "no name"}, ["a", "b"]),
        ({"a": "silent", "b": "no name"}, {"a": "HUNG", "b": "no name"}, ["a", "b"]),
        ({"a": "silent", "b": "silent", "c": None}, {"c": None}, ["a", "b", "c"]),
    ],
    ids=["the first", "the second", "past a silent one", "nobody", "nobody, one hangs", "past two silent ones"],
)
def test_the_first_that_answers_wins_and_no_more_are_asked_than_needed(answers, said, asked):
    module = action()
    network = Network(**answers)
    try:
        found = module.race(list(answers), network.ask, patience=0.05, limit=0.2)
    finally:
        network.end.set()
    assert found == {address: module.HUNG if words == "HUNG" else words for address, words in said.items()}
    assert network.asked == asked


def test_one_that_is_late_still_counts():
    network = Network(a="silent", b="refused")
    network.answers["a"] = None
    late = threading.Event()

    def ask(address):
        if address == "a":
            late.wait(30)
        else:
            late.set()
        return network.ask(address)

    assert action().race(["a", "b"], ask, patience=0.02, limit=30) == {"a": None, "b": "refused"}
