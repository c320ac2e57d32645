"""Starting a lab: the folder, the namespaces, and the keeper in them."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from controller import linux
from controller.state import LAB_FOLDER, Folder, LabError, Record, start_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.keeper import Order

_KEEPER = "import sys; sys.path.insert(0, sys.argv[1]); from controller.keeper import run; run(sys.argv[2:])"


def _daemon(report: int, order: Order, born: int) -> None:
    """Leave this terminal and these namespaces, and start the keeper as the new ones' first process."""
    os.setsid()
    os.chdir("/")
    linux.unshare(linux.CLONE_ALL)
    keeper = os.fork()
    if keeper:
        os.write(born, b"%d\n" % keeper)
        os._exit(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(report, 1)
    os.dup2(report, 2)
    for descriptor in (report, order.end_with):
        if descriptor >= 0:
            os.set_inheritable(descriptor, True)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    arguments = [str(LAB_FOLDER), str(report), json.dumps(asdict(order))]
    os.execv(sys.executable, [sys.executable, "-B", "-c", _KEEPER, *arguments])


def start(folder: Folder, order: Order, hosts: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Start the keeper and wait until every host is up, passing its progress on."""
    for path in (folder.path, folder.mount_point, folder.ssh):
        path.mkdir(parents=True, exist_ok=True)
    folder.ssh.chmod(0o700)
    heard, report = os.pipe()
    birth, born = os.pipe()
    outer = os.fork()
    if outer == 0:
        try:
            _daemon(report, order, born)
        except OSError as error:
            os.write(report, f"{error.strerror}\n".encode())
        finally:
            os._exit(1)
    os.close(report)
    os.close(born)
    os.waitpid(outer, 0)
    with os.fdopen(birth) as stream:
        line = stream.readline()
    said: list[str] = []
    with os.fdopen(heard, encoding="utf-8", errors="replace") as stream:
        if line:
            pid = int(line)
            begun = start_time(pid)
            if begun is not None:
                folder.write(Record(order.name, pid, begun, hosts, order.extra_macs, order.macos, str(LAB_FOLDER.parent)))
        for told in stream:
            if told == "ready\n":
                return
            said.append(told.rstrip("\n"))
            if "  up  " in told or told.startswith("image  "):
                say(told.rstrip("\n"))
    raise LabError("The lab did not come up; the last it said:\n  " + "\n  ".join(said[-25:] or ["nothing"]))
