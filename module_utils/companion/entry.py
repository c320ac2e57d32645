"""Start a verb: `ollama-fleet residents`, `ollama-fleet logs`. Everything said goes to stderr, which launchd appends to the log.

Exit status: 0 also when the next run may do better, since launchd may push the next start of a job out that ends in failure; 64
for words nobody knows, 65 for settings that cannot be read, 70 for a defect. Never 78: that is what launchd's own xpcproxy leaves
when it cannot start a job at all (macOS 26.5.1), and the two must not be mistaken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import logs, residents, state

VERSION = 1
EX_USAGE, EX_DATAERR, EX_SOFTWARE = 64, 65, 70

VERBS: Mapping[str, Callable[[str, Path], None]] = {"logs": logs.run, "residents": residents.run}
"""A verb takes the text of its settings and the folder of its state; ValueError means that the settings are wrong."""


def say(verb: str, sentence: str) -> None:
    """Write one line for a person."""
    print(f"{state.now()} {verb}: {sentence}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Run one verb and return the exit status."""
    words = list(argv[1:])
    if words == ["--version"]:
        print(f"ollama-fleet {VERSION}")
        return 0
    if len(words) != 1 or words[0] not in VERBS:
        print(f"usage: ollama-fleet {'|'.join(sorted(VERBS))}", file=sys.stderr)
        return EX_USAGE
    verb = words[0]
    settings = Path(argv[0]).resolve().parent / f"{verb}.json"
    try:
        text = settings.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        say(verb, f"the settings {settings} cannot be read: {problem}. Run site.yml again.")
        return EX_DATAERR
    try:
        VERBS[verb](text, state.folder())
    except ValueError as problem:
        say(verb, f"the settings {settings} are not sound: {problem}. Run site.yml again.")
        return EX_DATAERR
    except OSError as problem:
        say(verb, f"{problem}. The next run tries again.")
    except Exception as problem:  # a defect is one sentence in the log, too
        say(verb, f"ended by a defect of this program: {type(problem).__name__}: {problem}.")
        return EX_SOFTWARE
    return 0
