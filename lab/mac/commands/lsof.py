"""lsof: open network sockets and files, in the forms that scripts on a Mac use."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import NamedTuple

from mac.commands import sockets

USAGE = (
    "lsof: illegal option or argument\nlsof 4.91\n usage: [-?abhlnNoOPRtUvVX] [+|-c c] [-d s] [-F [f]] [-i [i]] [-p s] [-s [p:s]]"
)


class Row(NamedTuple):
    """One open file."""

    command: str
    pid: int
    user: str
    descriptor: str
    access: str
    kind: str
    device: str
    offset: str
    node: str
    name: str


class Call(NamedTuple):
    """What was asked for."""

    internet: str | None  # the words after -i, "" for all; None without -i
    states: set[str]
    pids: set[int]
    commands: list[str]
    descriptors: set[str]
    fields: str | None
    terse: bool
    all_of: bool
    files: list[str]


class BadCall(Exception):
    """Options that lsof does not know."""


def parse(argv: list[str]) -> Call:
    """Read the command line; option letters may be glued together and to their value."""
    internet: str | None = None
    states: set[str] = set()
    pids: set[int] = set()
    commands: list[str] = []
    descriptors: set[str] = set()
    fields: str | None = None
    terse = all_of = False
    files: list[str] = []
    words = list(argv)

    def value(rest: str) -> str:
        if rest:
            return rest
        if not words:
            raise BadCall
        return words.pop(0)

    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            files.append(word)
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "nPlRwboOX":
                continue
            if letter == "a":
                all_of = True
            elif letter == "t":
                terse = True
            elif letter == "i":
                # The address may be the next word: `-i :11434`.
                follows = bool(words) and not letters and _is_address(words[0])
                internet, letters = (words.pop(0) if follows else letters), ""
            elif letter == "s":
                protocol, _, names = letters.partition(":")
                if protocol.upper() != "TCP":
                    raise BadCall
                states |= {name.upper() for name in names.split(",")}
                letters = ""
            elif letter == "F":
                fields, letters = letters, ""
            elif letter in "pcd":
                text, letters = value(letters), ""
                if letter == "p":
                    pids |= {int(part) for part in text.split(",") if part.isdigit()}
                elif letter == "c":
                    commands.append(text)
                else:
                    descriptors |= set(text.split(","))
            else:
                raise BadCall
    return Call(internet, states, pids, commands, descriptors, fields, terse, all_of, files)


def _is_address(word: str) -> bool:
    return word.startswith((":", "@", "4", "6")) or word.upper().startswith(("TCP", "UDP"))


def selects(wanted: str, socket: sockets.Socket) -> bool:
    """Say whether `[46][protocol][@host][:ports]` covers a socket; a port may be at either end."""
    rest = wanted
    if rest[:1] in ("4", "6"):
        if socket.family != int(rest[0]):
            return False
        rest = rest[1:]
    if rest.upper().startswith("UDP"):
        return False
    if rest.upper().startswith("TCP"):
        rest = rest[3:]
    host = ""
    if rest.startswith("@"):
        host, _, ports = rest[1:].rpartition(":") if ":" in rest else (rest[1:], "", "")
    else:
        ports = rest.lstrip(":")
    if host and host.strip("[]") not in (socket.local, socket.peer):
        return False
    if not ports:
        return True
    allowed: set[int] = set()
    for part in ports.split(","):
        first, _, last = part.partition("-")
        allowed |= set(range(int(first), int(last or first) + 1))
    return socket.port in allowed or socket.peer_port in allowed


def _endpoint(address: str, port: int) -> str:
    if address in ("0.0.0.0", "::"):
        address = "*"
    elif ":" in address:
        address = f"[{address}]"
    return "{}:{}".format(address, port or "*")


def name_of(socket: sockets.Socket) -> str:
    """Write the NAME column of a TCP socket."""
    text = _endpoint(socket.local, socket.port)
    if socket.peer_port:
        text += "->" + _endpoint(socket.peer, socket.peer_port)
    return "{} ({})".format(text, sockets.STATES.get(socket.state, "CLOSED"))


def _process(pid: int) -> tuple[str, int]:
    folder = Path(f"/proc/{pid}")
    return (folder / "comm").read_text(encoding="utf-8").strip(), folder.stat().st_uid


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _visible(pid: int) -> bool:
    """Tell whether the caller may see a process: a plain user sees only his own."""
    try:
        return os.getuid() in (0, _process(pid)[1])
    except OSError:
        return False


def internet_rows(call: Call) -> list[Row]:
    """Give the sockets that the call selects."""
    found: list[Row] = []
    by_inode = sockets.holders()
    for socket in sockets.table():
        if not selects(call.internet or "", socket):
            continue
        if call.states and sockets.STATES.get(socket.state, "") not in call.states:
            continue
        for holder in by_inode.get(socket.inode, []):
            try:
                command, uid = _process(holder.pid)
            except OSError:
                continue
            if not _visible(holder.pid):
                continue
            found.append(
                Row(
                    command,
                    holder.pid,
                    _user(uid),
                    str(holder.descriptor),
                    "u",
                    f"IPv{socket.family}",
                    f"0x{socket.inode:016x}",
                    "0t0",
                    "TCP",
                    name_of(socket),
                )
            )
    return sorted(found, key=lambda row: (row.pid, int(row.descriptor)))


def _file_row(pid: int, command: str, user: str, descriptor: str, link: str) -> Row | None:
    try:
        target = os.readlink(f"/proc/{pid}/{link}")  # noqa: PTH115  the link as it stands
        stat = os.stat(f"/proc/{pid}/{link}")  # noqa: PTH116  follows the magic link
    except OSError:
        return None
    if not target.startswith("/"):
        return None
    kind = "DIR" if os.path.isdir(target) else "CHR" if target.startswith("/dev/") else "REG"  # noqa: PTH112  the target as a text
    access = "" if descriptor in ("cwd", "txt") else "u"
    name = target[: -len(" (deleted)")] if target.endswith(" (deleted)") else target
    device = f"1,{stat.st_dev & 255}"
    return Row(command, pid, user, descriptor, access, kind, device, str(stat.st_size), str(stat.st_ino), name)


def file_rows(call: Call) -> list[Row]:
    """Give the files that processes hold: working folder, program and descriptors."""
    found: list[Row] = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):  # noqa: PTH208  names are wanted, not paths
        if (call.pids and pid not in call.pids) or not _visible(pid):
            continue
        try:
            command, uid = _process(pid)
            numbers = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  names are wanted, not paths
        except OSError:
            continue
        links = [("cwd", "cwd"), ("txt", "exe")] + [(str(number), f"fd/{number}") for number in numbers]
        rows = [_file_row(pid, command, _user(uid), name, link) for name, link in links]
        found += [row for row in rows if row is not None]
    if call.files:
        wanted = {os.path.realpath(name) for name in call.files}
        found = [row for row in found if row.name in wanted]
    return found


def select(call: Call) -> list[Row]:
    """Give all rows the call asks for. Without -a the selections are added up, with it they must all hold."""
    chosen: list[Row] = []
    if call.internet is not None:
        chosen += internet_rows(call)
    if call.files or (call.internet is None and (call.pids or call.commands or call.descriptors)):
        chosen += file_rows(call)
    elif call.pids and not call.all_of:
        chosen += [row for row in file_rows(call) if row not in chosen]
    if call.internet is None or call.all_of:
        if call.pids:
            chosen = [row for row in chosen if row.pid in call.pids]
        if call.commands:
            chosen = [row for row in chosen if any(row.command.startswith(name) for name in call.commands)]
        if call.descriptors:
            chosen = [row for row in chosen if row.descriptor in call.descriptors]
    return chosen


def table_text(rows: list[Row]) -> list[str]:
    """Lay the rows out in columns; COMMAND is cut to nine characters."""
    width = max([7] + [len(row.command[:9]) for row in rows])
    heads = ("COMMAND", "PID", "USER", "FD", " ", "TYPE", "DEVICE", "SIZE/OFF", "NODE", "NAME")
    cells = [(row.command[:9], str(row.pid), row.user, row.descriptor, row.access or " ", *row[5:]) for row in rows]
    layout = "{:<%d} {:>5} {:>6} {:>4}{}  {:>4} {:>18} {:>8} {:>4} {}" % width  # noqa: UP031  braces all over
    return [layout.format(*line) for line in (heads, *cells)]


def fields_text(rows: list[Row], fields: str) -> list[str]:
    """Write the form for programs: one field per line, process fields once per process (lsof(8), OUTPUT FOR)."""
    letters = fields or "pcLfautDSdionTP"
    process: dict[str, str] = {}
    lines: list[str] = []
    last = -1
    for row in rows:
        if row.pid != last:
            last = row.pid
            process = {"c": row.command, "L": row.user}
            lines.append(f"p{row.pid}")
            lines += [letter + process[letter] for letter in "cL" if letter in letters]
        name = row.name.rsplit(" (", 1)[0] if row.node == "TCP" else row.name
        values = {"a": row.access, "t": row.kind, "P": row.node if row.node == "TCP" else "", "n": name}
        lines.append("f" + row.descriptor)
        lines += [letter + values[letter] for letter in "atPn" if letter in letters and values[letter]]
        if "T" in letters and row.node == "TCP":
            lines.append("TST=" + row.name.rsplit(" (", 1)[1].rstrip(")"))
    return lines


def main(argv: list[str]) -> int:
    """List what is open; exit 1 and print nothing when nothing matches."""
    try:
        call = parse(argv)
    except BadCall:
        print(USAGE, file=sys.stderr)
        return 1
    rows = select(call)
    if not rows:
        return 1
    if call.terse:
        print("\n".join(str(pid) for pid in sorted({row.pid for row in rows})))
    elif call.fields is not None:
        print("\n".join(fields_text(rows, call.fields)))
    else:
        print("\n".join(table_text(rows)))
    return 0
