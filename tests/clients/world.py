"""A network of its own for one run of a client: the fleet's names and addresses, servers on some of them, silence on others.

`run` starts this file as the first process of fresh network, mount and process namespaces. It lays the network out as the
request on stdin says, starts the servers, waits until they answer, runs the client to its end and prints what happened as JSON.
Everything in it ends with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
START_LIMIT = 180
"""Seconds a server may take to answer; the proxy of LiteLLM takes ten on an idle machine."""


@dataclass(frozen=True)
class Server:
    """A process the client is to meet; `ready` is a URL that answers once it is up, none for one that never does."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ready: str = ""


@dataclass(frozen=True)
class World:
    """What there is in the network, and what is run in it."""

    folder: str
    """An empty folder; inside the world it is memory, where `files` (path below it -> text) stand and all else is written."""
    command: list[str]
    environment: dict[str, str]
    limit: int
    """Seconds after which the client is ended."""
    files: dict[str, str] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    """Addresses of machines that are awake: a port nobody listens on refuses."""
    asleep: list[str] = field(default_factory=list)
    """Addresses that leave everything unanswered."""
    names: dict[str, str] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What came of it; `status` is None when the limit ended it."""

    status: int | None
    stdout: str
    stderr: str
    seconds: float
    logs: dict[str, str]
    """What each server wrote."""


def run(world: World) -> Result:
    """Run a client in its world; as another user than root, `sudo` makes the namespaces and the processes are the user's."""
    command = [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *NAMESPACES, sys.executable, "-I", "-B", __file__]
    request = {**asdict(world), "uid": os.getuid(), "gid": os.getgid()}
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"no network for the client could be made: {done.stderr.strip()[-2000:]}")
    return Result(**json.loads(done.stdout))


def _lay_out(request: dict[str, Any]) -> None:
    """Give the namespace its addresses and names."""
    steps = [["ip", "link", "set", "lo", "up"]]
    everybody = [*request["addresses"], *request["asleep"]]
    steps += [["ip", "address", "add", address, "dev", "lo"] for address in everybody]
    if request["asleep"]:
        # Dropped on the way in, a SYN meets silence, as with a Mac that sleeps.
        steps += [["nft", "add", "table", "ip", "fleet"]]
        steps += [["nft", "add", "chain", "ip", "fleet", "in", "{ type filter hook input priority 0 ; }"]]
        steps += [["nft", "add", "rule", "ip", "fleet", "in", "ip", "daddr", address, "drop"] for address in request["asleep"]]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        if done.returncode != 0:
            sys.exit(f"{' '.join(step)}: {done.stderr.strip()}")
    folder = Path(request["folder"])
    # Clients wait for the disk many times a turn (SQLite); what another program writes meanwhile is not to be measured.
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "mode=0755", "world", str(folder)], check=True)
    hosts = folder / "hosts"
    lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{address} {name}" for name, address in request["names"].items())]
    hosts.write_text("\n".join(lines) + "\n", encoding="ascii")
    subprocess.run(["/usr/bin/mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    for path, text in request["files"].items():
        file = folder / path
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
    subprocess.run(["/usr/bin/chown", "-R", f"{request['uid']}:{request['gid']}", str(folder)], check=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _main() -> None:
    """Be the first process of the namespaces."""
    request = json.load(sys.stdin)
    _lay_out(request)
    owner = {"user": request["uid"], "group": request["gid"], "extra_groups": [], "stdin": subprocess.DEVNULL}
    folder = Path(request["folder"])
    started = []
    for server in request["servers"]:
        with (folder / f"{server['name']}.log").open("wb") as log:
            started.append(subprocess.Popen(server["command"], env=server["environment"], stdout=log, stderr=log, **owner))
    logs = {server["name"]: folder / f"{server['name']}.log" for server in request["servers"]}
    for server, process in zip(request["servers"], started, strict=True):
        deadline = time.monotonic() + START_LIMIT
        while server["ready"] and not _answers(server["ready"]):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{server['name']} does not answer at {server['ready']}: {_text(logs[server['name']])}")
            time.sleep(0.05)
    with (folder / "client.out").open("wb") as out, (folder / "client.err").open("wb") as err:
        began = time.monotonic()
        client = subprocess.Popen(request["command"], env=request["environment"], stdout=out, stderr=err, **owner)
        try:
            status: int | None = client.wait(request["limit"])
        except subprocess.TimeoutExpired:
            status = None
        seconds = time.monotonic() - began
    said = (_text(folder / "client.out"), _text(folder / "client.err"))
    wrote = {name: _text(log) for name, log in logs.items()}
    json.dump(asdict(Result(status, *said, seconds, wrote)), sys.stdout)


if __name__ == "__main__":
    _main()
