"""What pf holds: rulesets by anchor, tables, whether it is enabled and by whom. All of it ends with the boot."""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mac.machine import path, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mac.commands.pf.grammar import Ruleset

# /var/run is empty at every boot, as the kernel's memory is.
FILE = "/var/run/virtual-mac-pf.json"

Anchors = dict[str, dict[str, Any]]


class Token(NamedTuple):
    """A reference taken with `pfctl -E`."""

    pid: int
    name: str
    token: int
    time: float


class Pf(NamedTuple):
    """The whole state; changes give a new one."""

    enabled: bool = False
    since: float = 0.0
    plain: bool = False  # enabled by -e, which is one reference without a token
    tokens: list[Token] = []  # noqa: RUF012  never changed in place
    anchors: Anchors = {}  # noqa: RUF012  never changed in place

    @property
    def skip(self) -> list[str]:
        """Give the interfaces that pf leaves alone."""
        return list(self.anchors.get("", {}).get("skip", []))

    def rules(self, anchor: str) -> list[str]:
        """Give the filter rules of an anchor, printed."""
        return list(self.anchors.get(anchor, {}).get("rules", []))

    def translation(self, anchor: str) -> list[str]:
        """Give the anchors of normalization and translation, printed."""
        return list(self.anchors.get(anchor, {}).get("anchors", []))

    def children(self, parent: str) -> list[str]:
        """Give the anchors directly under another, in the order of their names."""
        prefix = parent + "/" if parent else ""
        names = {prefix + name[len(prefix) :].split("/")[0] for name in self.anchors if name.startswith(prefix) and name}
        return sorted(names)

    def table(self, anchor: str, name: str) -> list[str] | None:
        """Give the networks of a table: the anchor's own one, or else the main ruleset's."""
        for place in (anchor, ""):
            tables = self.anchors.get(place, {}).get("tables", {})
            if name in tables:
                return list(tables[name])
        return None

    def with_ruleset(self, anchor: str, ruleset: Ruleset) -> Pf:
        """Put a ruleset in an anchor's place; what was there before is gone, anchors below it stay."""
        entry = {
            "rules": list(ruleset.rules),
            "anchors": [item.text() for item in ruleset.anchors],
            "tables": {table.name: list(table.networks) for table in ruleset.tables},
            "const": [table.name for table in ruleset.tables if "const" in table.flags],
            "skip": list(ruleset.skip),
        }
        return self._replace(anchors={**self.anchors, anchor: entry})

    def with_table(self, anchor: str, name: str, networks: list[str]) -> Pf:
        """Replace the addresses of one table."""
        entry = dict(self.anchors.get(anchor, {}))
        entry["tables"] = {**entry.get("tables", {}), name: networks}
        return self._replace(anchors={**self.anchors, anchor: entry})

    def without(self, anchor: str, *parts: str) -> Pf:
        """Flush parts of an anchor: rules, anchors (translation), tables; an empty anchor is forgotten."""
        entry = {key: value for key, value in self.anchors.get(anchor, {}).items() if key not in parts}
        anchors = {name: value for name, value in self.anchors.items() if name != anchor}
        if any(entry.values()):
            anchors[anchor] = entry
        return self._replace(anchors=anchors)

    def switched_on(self, now: float) -> Pf:
        """Enable; the time counts from the first."""
        return self._replace(enabled=True, since=self.since if self.enabled else now)

    def switched_off(self, now: float) -> Pf:
        """Disable, whatever references are held."""
        return self._replace(enabled=False, since=now, plain=False, tokens=[])

    def uptime(self) -> str:
        """Print how long the present status has lasted."""
        seconds = int(time.time() - self.since) if self.since else 0
        days, rest = divmod(seconds, 86400)
        return f"{days} days {rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one call after the other look and change, as the kernel's lock does: two at once must not lose one's rules."""
    lock = path(FILE).with_suffix(".lock")
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def load() -> Pf:
    """Read the state of this boot."""
    kept = read_json(FILE, None)
    if kept is None:
        return Pf()
    return Pf(**{**kept, "tokens": [Token(*token) for token in kept["tokens"]]})


def store(pf: Pf) -> None:
    """Keep the state; only root may read it, as /dev/pf."""
    write_atomically(path(FILE), json.dumps(pf._asdict()).encode("utf-8"), 0o600)
