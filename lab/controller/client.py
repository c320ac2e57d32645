"""Asking the keeper, from outside the lab."""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
from dataclasses import dataclass
from typing import Any

from controller.state import Folder, LabError


@dataclass(frozen=True)
class Reply:
    """The keeper's answer, with the pidfd of a host's first process where one was asked for."""

    values: dict[str, Any]
    descriptor: int


def ask(folder: Folder, verb: str, **details: object) -> Reply:
    """Put one request to a running lab."""
    folder.require()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(folder.socket))
        except OSError as error:
            raise LabError(f"Lab {folder.name} does not answer ({error.strerror}): end it with `lab/lab down`.") from error
        connection.sendall(json.dumps({"verb": verb, **details}).encode() + b"\n")
        data, descriptor = b"", -1
        while True:
            space = socket.CMSG_SPACE(array.array("i").itemsize)
            part, control, _, _ = connection.recvmsg(65536, space)
            for _level, _kind, payload in control:
                descriptor = array.array("i", payload[:4])[0]
            if not part:
                break
            data += part
    if not data:
        raise LabError(f"Lab {folder.name} ended while it was asked: start it with `lab/lab up`.")
    values = json.loads(data)
    if "error" in values:
        raise LabError(values["error"])
    return Reply(values, descriptor)


def end(folder: Folder) -> bool:
    """End a lab: kill its keeper, wait for the kernel to clear everything below it, delete the state folder."""
    record = folder.running()
    if record is not None:
        descriptor = os.pidfd_open(record.pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [])
        finally:
            os.close(descriptor)
    return folder.remove() or record is not None
