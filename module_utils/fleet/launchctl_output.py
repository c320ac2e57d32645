"""Read what launchctl prints. Apple declares the format "not API" (launchctl(1)), so the reader takes only what it must.

Layouts seen on macOS 13 to 26.5; macOS 12 and older differ where said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ADDED_BY_LAUNCHD = frozenset({"XPC_SERVICE_NAME", "OSLogRateLimit", "MallocSpaceEfficient"})
"""Names that launchd puts into a job's environment block by itself."""

_HEADER = re.compile(r"(?P<target>\S+) = \{")
_SCALAR = re.compile(r"\t(?P<key>[a-z][a-z ()]*?) = (?P<value>[^{].*|\{.+)?")
_BLOCK = re.compile(r"\t(?P<key>[a-z][a-z ]*?) = \{")
_SERVICE = re.compile(r"\t\t\s*(?P<pid>[1-9][0-9]*)\s+\S+\s+(?P<label>\S+)\s*")
_DISABLED = re.compile(r'\s*"(?P<label>[^"]+)" => (?P<word>disabled|enabled|true|false)')


@dataclass(frozen=True)
class Job:
    """A job as launchd holds it in memory: the definition it was bootstrapped with, and how it fares.

    `domain` is `system`, `gui/501` or `user/501`. `pid` is None unless a process exists. `last_exit` is the text of the previous
    run's end and says nothing about the present one.
    """

    domain: str
    label: str
    path: str = ""
    state: str = ""
    program: str = ""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    inherited: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stdout_path: str = ""
    stderr_path: str = ""
    working_directory: str = ""
    username: str = ""
    spawn_type: str = ""
    run_interval: int | None = None
    minimum_runtime: int | None = None
    exit_timeout: int | None = None
    runs: int = 0
    successive_crashes: int = 0
    pid: int | None = None
    last_exit: str = ""
    properties: frozenset[str] = frozenset()

    @property
    def target(self) -> str:
        """Return the service target, `gui/501/com.user.ollama`."""
        return f"{self.domain}/{self.label}"


def parse_job(text: str) -> Job:
    """Read `launchctl print DOMAIN/LABEL`.

    Only lines indented by one TAB belong to the job itself; the blocks of its coalitions repeat `state` and `active count`
    deeper in. Raises ValueError for text that is not such a print.
    """
    # Not splitlines(): a value may hold other line breaks than this one.
    lines = text.split("\n")
    header = _HEADER.match(lines[0]) if lines else None
    if not header or "/" not in header["target"]:
        message = f"not the print of a service: {text[:80]!r}"
        raise ValueError(message)
    domain, _, label = header["target"].rpartition("/")
    scalars: dict[str, str] = {}
    blocks: dict[str, list[str]] = {}
    inside: str | None = None
    for line in lines[1:]:
        if inside is not None:
            if line == "\t}":
                inside = None
            elif line.startswith("\t\t"):
                blocks[inside].append(line[2:])
            else:
                # A value with a line break in it goes on at the margin.
                blocks[inside][-1:] = ["\n".join([*blocks[inside][-1:], line])]
            continue
        block = _BLOCK.fullmatch(line)
        if block:
            inside = block["key"]
            blocks.setdefault(inside, [])
            continue
        scalar = _SCALAR.fullmatch(line)
        if scalar:
            scalars.setdefault(scalar["key"], scalar["value"] or "")
    return Job(
        domain=domain,
        label=label,
        path=scalars.get("path", ""),
        state=scalars.get("state", ""),
        program=scalars.get("program", ""),
        arguments=tuple(blocks.get("arguments", ())),
        environment=_pairs(blocks.get("environment", [])),
        inherited=_pairs(blocks.get("inherited environment", [])),
        stdout_path=scalars.get("stdout path", ""),
        stderr_path=scalars.get("stderr path", ""),
        working_directory=scalars.get("working directory", ""),
        username=scalars.get("username", ""),
        spawn_type=scalars.get("spawn type", "").partition(" ")[0],
        run_interval=_number(scalars.get("run interval", "").partition(" ")[0]),
        minimum_runtime=_number(scalars.get("minimum runtime")),
        exit_timeout=_number(scalars.get("exit timeout")),
        runs=_number(scalars.get("runs")) or 0,
        successive_crashes=_number(scalars.get("successive crashes")) or 0,
        pid=_number(scalars.get("pid")),
        last_exit=_last_exit(scalars),
        properties=frozenset(word.strip() for word in scalars.get("properties", "").split("|") if word.strip()),
    )


def _pairs(lines: list[str]) -> Mapping[str, str]:
    split = (line.partition(" => ") for line in lines)
    return MappingProxyType({key: value for key, arrow, value in split if arrow})


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def _last_exit(scalars: Mapping[str, str]) -> str:
    for key in ("last exit code", "last terminating signal", "last exit reason"):
        if key in scalars:
            return f"{key} = {scalars[key]}"
    return ""


def parse_disabled(text: str) -> frozenset[str]:
    """Return the labels that `launchctl print-disabled DOMAIN` calls disabled.

    A label that is not listed is enabled. macOS 12 and older print `true` for disabled. The second section, login item
    associations, holds other words.
    """
    labels = set()
    for line in text.partition("login item associations")[0].splitlines():
        found = _DISABLED.match(line)
        if found and found["word"] in ("disabled", "true"):
            labels.add(found["label"])
    return frozenset(labels)


def parse_services(text: str) -> dict[int, str]:
    """Return process -> label of everything that runs in a domain, from `launchctl print DOMAIN` (macOS 13 to 26).

    Applications that somebody started are in it too, as `application.com.electron.ollama.123.456`.
    """
    block = text.partition("\n\tservices = {\n")[2].partition("\n\t}")[0]
    return {int(found["pid"]): found["label"] for found in map(_SERVICE.fullmatch, block.split("\n")) if found}


def is_login_domain(text: str) -> bool:
    """Tell from `launchctl print gui/UID` that somebody is logged in at the screen: `type = login`."""
    return "\n\ttype = login\n" in text + "\n"
