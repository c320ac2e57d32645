"""Run `brew`: as the user it belongs to, without a question, without touching anything but what was named."""

from __future__ import annotations

import json
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .commands import SYSTEM_PATH, Answer, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet import versions
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet import versions
    from ansible.module_utils.fleet.vocabulary import Unknown


QUIET: Mapping[str, str] = {
    "HOMEBREW_NO_ANALYTICS": "1",
    # Questions are the default since Homebrew 6, and hints only make the answer longer.
    "HOMEBREW_NO_ASK": "1",
    "HOMEBREW_NO_COLOR": "1",
    "HOMEBREW_NO_ENV_HINTS": "1",
    # Homebrew itself and all other formulae stay as they are.
    "HOMEBREW_NO_AUTO_UPDATE": "1",
    "HOMEBREW_NO_INSTALLED_DEPENDENTS_CHECK": "1",
    # Without it the old keg goes at once, and with it the way back.
    "HOMEBREW_NO_INSTALL_CLEANUP": "1",
}

FRESH: Mapping[str, str] = {
    # The list of versions is fetched although Homebrew itself is not updated, unless it is younger than a second (api.rb
    # `fetch_api_files!` at 6.0.18). What is changed afterwards goes by the list that was asked.
    "HOMEBREW_FORCE_API_AUTO_UPDATE": "1",
    "HOMEBREW_API_AUTO_UPDATE_SECS": "1",
}

STALE = ("falling back to cached version", "curl: (")
"""What brew says on stderr when the list could not be fetched; its exit status tells nothing of it."""


@dataclass(frozen=True)
class Brew:
    """The `brew` of a prefix, run as `account`: it refuses root (brew.sh at 6.0.18)."""

    prefix: str
    account: pwd.struct_passwd

    def __call__(self, *words: str, timeout: float, more: Mapping[str, str] | None = None) -> Answer:
        """Run and return whatever the exit status; OSError when it does not start or end."""
        environment = {**QUIET, **(more or {}), "PATH": f"{self.prefix}/bin:{self.prefix}/sbin:{SYSTEM_PATH}"}
        return run([f"{self.prefix}/bin/brew", *words], timeout, environment, self.account)

    def available(self, formula: str, installed: tuple[str, ...], timeout: float) -> str | Unknown:
        """Return the version that `brew` would install now, or why it could not be asked; one start of brew.

        `outdated` fetches the list anew, `info` would answer from one of up to seven days ago (api.rb at 6.0.18), so that serves
        where nothing is installed only. A formula that is not outdated has nothing newer than what is there.
        """
        words = ["outdated", "--json=v2", "--formula", formula] if installed else ["info", "--json=v2", "--formula", formula]
        try:
            answer = self(*words, timeout=timeout, more=FRESH)
        except OSError as problem:
            return Unknown(str(problem))
        if any(word in answer.err for word in STALE):
            return Unknown(f"Homebrew has no way to the internet: {told(answer)}")
        try:
            rows = json.loads(answer.out)["formulae"]
            if installed:
                # Named and outdated is exit status 1 (cmd/outdated.rb), so the status is no verdict.
                return str(rows[0]["current_version"]) if rows else versions.newest(installed)
            row = rows[0]
            return str(row["versions"]["stable"]) + (f"_{row['revision']}" if row.get("revision") else "")
        except (ValueError, KeyError, IndexError, TypeError):
            return Unknown(f"brew {words[0]}: {told(answer)}")


def told(answer: Answer) -> str:
    """Return what brew said went wrong, as one line: its errors, else the last words on stderr."""
    lines = [line.strip() for line in answer.err.splitlines() if line.strip()]
    chosen = [line for line in lines if line.startswith(("Error:", "curl:"))] or lines[-1:]
    return "; ".join(line.removeprefix("Error: ") for line in chosen) or answer.said
