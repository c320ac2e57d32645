"""Read docs/sudo.md: the rows of its table, the commands that sudo logs, and the example for /etc/sudoers.d."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sudo.md"


def rows() -> list[tuple[str, str]]:
    """Return role and module of each row."""
    return re.findall(r"^\| `([a-z_]+)` \| `([a-z_.]+)` \| .+ \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def logged() -> list[str]:
    """Return a pattern for each command as sudo logs it; 1.9.13 puts an argument with blanks into quotes."""
    return _block("sudo-log").splitlines()


def example() -> str:
    """Return the example of a narrow grant."""
    return _block("sudoers")


def _block(name: str) -> str:
    found = re.search(rf"^```{name}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, f"docs/sudo.md has no block {name}"
    return found[1]
