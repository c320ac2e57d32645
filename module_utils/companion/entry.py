"""Start a verb: `ollama-fleet residents`, `ollama-fleet logs`, `ollama-fleet heal`.

Everything said goes to stderr, which launchd appends to the log; only `heal now` and `heal look`, which are for people, print
what came of it on stdout.

Exit status: 0 also when the next run may do better, since launchd may push the next start of a job out that ends in failure; 64
for words nobody knows, 65 for settings that cannot be read, 70 for a defect. Never 78: that is what launchd's own xpcproxy leaves
when it cannot start a job at all (macOS 26.5.1), and the two must not be mistaken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import state

VERSION = 1
EX_USAGE, EX_DATAERR, EX_SOFTWARE = 64, 65, 70


# A verb is read when it is called: at each start Python compiles anew what it reads from the archive.
def _logs(settings: Path, place: Path, _words: Sequence[str]) -> None:
    from . import logs

    logs.run(_text(settings), place)


def _residents(settings: Path, place: Path, _words: Sequence[str]) -> None:
    from . import residents

    residents.run(_text(settings), place)


def _heal(settings: Path, place: Path, words: Sequence[str]) -> None:
    from . import heal

    heal.run(settings, place, words)


VERBS: Mapping[str, Callable[[Path, Path, Sequence[str]], None]] = {"heal": _heal, "logs": _logs, "residents": _residents}
"""A verb takes its settings file, the folder of its state, and further words; ValueError means that the settings are wrong."""

FILES: Mapping[str, str] = {"heal": "desired-state.json"}
"""Settings that are not named after their verb."""

WORDS: Mapping[str, tuple[str, ...]] = {"heal": ("now", "look")}
"""The one further word that a verb may be given."""


def _text(settings: Path) -> str:
    try:
        return settings.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        message = f"it cannot be read ({problem})"
        raise ValueError(message) from problem


def say(verb: str, sentence: str) -> None:
    """Write one line for a person, as the verb's log has them."""
    line = f"{state.now()} {verb}: {sentence}"
    if verb == "heal":
        line = json.dumps({"time": state.now(), "level": "critical", "said": sentence})
    print(line, file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Run one verb and return the exit status."""
    words = list(argv[1:])
    if words == ["--version"]:
        print(f"ollama-fleet {VERSION}")
        return 0
    verb, further = (words[0], words[1:]) if words else ("", [])
    if verb not in VERBS or len(further) > 1 or not set(further) <= set(WORDS.get(verb, ())):
        print(f"usage: ollama-fleet {'|'.join(sorted(VERBS))} [{'|'.join(WORDS['heal'])}]", file=sys.stderr)
        return EX_USAGE
    settings = Path(argv[0]).resolve().parent / FILES.get(verb, f"{verb}.json")
    try:
        VERBS[verb](settings, state.folder(), further)
    except ValueError as problem:
        say(verb, f"the settings {settings} are not sound: {problem}. Run site.yml again.")
        return EX_DATAERR
    except OSError as problem:
        say(verb, f"{problem}. The next run tries again.")
    except Exception as problem:  # a defect is one sentence in the log, too
        say(verb, f"ended by a defect of this program: {type(problem).__name__}: {problem}.")
        return EX_SOFTWARE
    return 0
