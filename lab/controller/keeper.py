"""The keeper: one process that is the lab.

It is PID 1 of its own PID namespace, and its mount and network namespaces hold everything the lab has. When it
ends, however it ends, the kernel ends every process below it and takes the mounts, bridges and disks away.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from mac.commands.brew import layout as homebrew_layout
from registry import authority

from controller import accounts, enter, image, interpreter, keys, linux, machine, network, state
from controller.hosts import REGISTRY4, Host, fleet, machine_json
from controller.machine import Place
from controller.tree import Tree

_DISK_BYTES = 460 * 1000**3
_BOOT_SECONDS = 20.0


@dataclass(frozen=True)
class Order:
    """What `up` asks the keeper to be."""

    name: str
    extra_macs: int
    only: tuple[str, ...]
    macos: int
    ollama_payload: str
    owner: tuple[int, int]  # who may use the ssh key
    end_with: int  # a pidfd: when that process ends, so does the lab; -1 for none

    @property
    def hosts(self) -> tuple[Host, ...]:
        """List the hosts to turn on."""
        everyone = fleet(self.extra_macs)
        return tuple(host for host in everyone if not self.only or host.name in self.only)


@dataclass
class Running:
    """A host as the keeper knows it. No pid: its first process has ended, which is a Mac without power."""

    place: Place
    pid: int = 0
    pidfd: int = -1
    since: float = 0.0
    asleep: bool = False

    @property
    def host(self) -> Host:
        """Give the plan's entry."""
        return self.place.host


@dataclass
class Keeper:
    """The lab's state and everything that can be asked of it."""

    order: Order
    folder: state.Folder
    lent: image.Lent
    running: dict[str, Running] = field(default_factory=dict)
    registry_pid: int = 0

    @property
    def memory(self) -> Path:
        """Give the lab's private memory."""
        return self.folder.mount_point

    def prepare(self) -> None:
        """Mount the memory, write the layers, make keys, lay the cables' far ends."""
        linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("proc", "/proc", "proc")
        linux.mount("sysfs", "/sys", "sysfs", linux.MS_RDONLY)
        linux.mount("lab", self.memory, "tmpfs", data=f"mode=0755,size={_DISK_BYTES}")
        for name in ("disks", "roots", "logs", "keys", "image", "registry"):
            (self.memory / name).mkdir()
        bundle = Path(authority.ensure(self.memory / "registry/ca")).read_text(encoding="utf-8")
        for name, write in (("mac", image.write_mac_image), ("linux", image.write_linux_image)):
            (self.memory / "image" / name).mkdir()
            write(Tree(self.memory / "image" / name), self.lent, bundle)
        for host in self.order.hosts:
            self.running[host.name] = Running(Place(self.memory, host))
        keys.make_pairs([self.folder.identity, *(self.key_of(host) for host in self.order.hosts)])
        self.write_client_files()
        for host in self.order.hosts:
            self.new_disk(self.running[host.name])
        network.settle_new_namespace()
        network.run_ip(network.router_batch())
        network.forward_packets()
        network.give_children_small_tables()

    def key_of(self, host: Host) -> Path:
        """Give where a host's key is kept: outside its disk, so that a reset Mac is known by the same key."""
        return self.memory / "keys" / host.name / "host"

    def write_client_files(self) -> None:
        """Leave what ssh needs, for the person who started the lab."""
        ssh = self.folder.ssh
        public = {host: self.key_of(host).with_suffix(".pub").read_text() for host in self.order.hosts}
        (ssh / "known_hosts").write_text(keys.known_hosts(public))
        proxy = [sys.executable, "-B", str(state.LAB_FOLDER / "lab"), "--name", self.order.name]
        self.folder.ssh_config.write_text(keys.ssh_config(self.order.hosts, ssh, proxy))
        self.folder.control_paths.mkdir(mode=0o700)
        for path in (ssh, *ssh.iterdir()):
            os.chown(path, *self.order.owner)

    def new_disk(self, running: Running) -> None:
        """Give a host an empty disk and write on it what a first boot finds."""
        place, host = running.place, running.host
        for folder in (place.disk, place.root):
            folder.mkdir(exist_ok=True)
        linux.mount("disk", place.disk, "tmpfs", data=f"mode=0755,size={_DISK_BYTES}")
        for name in ("upper", "work"):
            (place.disk / name).mkdir()
        tree = Tree(place.disk / "upper")
        pair = keys.read_pair(self.key_of(host), self.folder.identity.with_suffix(".pub").read_text())
        order = self.order
        identity = machine_json(host, order.macos, image.PAYLOAD if order.ollama_payload else "")
        image.write_own(tree, host, fleet(order.extra_macs), pair, identity, self.lent)
        if host.is_mac:
            homebrew_layout(tree.at(image.HOMEBREW), host.uid, accounts.ADMIN)

    def start_registry(self) -> None:
        """Start the registry on the router, where every network but the tailnet reaches it."""
        here = self.memory / "registry"
        (here / "state").mkdir(exist_ok=True)
        with (self.memory / "logs/registry.log").open("ab") as log:
            self.registry_pid = subprocess.Popen(
                [
                    sys.executable, "-m", "registry.server",
                    "--listen", f"{REGISTRY4}:443", "--listen-plain", f"{REGISTRY4}:80",
                    "--ca", here / "ca", "--state", here / "state",
                ],
                cwd=state.LAB_FOLDER, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            ).pid  # fmt: skip

    def power_on(self, hosts: list[Running], *, login: bool = False) -> None:
        """Boot hosts side by side, until the launchd of each Mac answers and, if wanted, its user is logged in."""
        starting = [machine.begin(running.place, self.lent) for running in hosts]
        network.run_ip([line for one in starting for line in network.cable_batch(one.place.host, one.pid)])
        for running, one in zip(hosts, starting, strict=True):
            machine.finish(one)
            running.pid, running.pidfd = one.pid, os.pidfd_open(one.pid)
            running.since, running.asleep = time.time(), False
        deadline = time.monotonic() + _BOOT_SECONDS
        for running in hosts:
            if running.host.is_mac:
                self.wait_for_launchd(running, deadline)
        for running in hosts:
            set_faults = read_json(virtual_folder(running) / "faults.json")
            if set_faults.get("offline"):
                self.set_line(running, up=False)
            self.pull_cables(running, set_faults)
        if login:
            self.log_in(hosts)

    def wait_for_launchd(self, running: Running, deadline: float) -> None:
        """Wait until a Mac's launchd takes commands."""
        place = machine.socket_below(running.pid)
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(str(place))
                return
            if select.select([running.pidfd], [], [], 0.005)[0]:
                raise RuntimeError(f"{running.host.name}: launchd ended at once:\n{tail(running.place.log)}")
        raise RuntimeError(f"{running.host.name}: launchd does not answer:\n{tail(running.place.log)}")

    def power_off(self, running: Running) -> None:
        """Cut a host's power. Its disk stays."""
        if running.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)
            select.select([running.pidfd], [], [])
            self.forget(running)
        # The kernel takes the cables down a moment later, by itself; the next boot must not meet them.
        for line in network.unplug_batch(running.host):
            with contextlib.suppress(RuntimeError):
                network.run_ip([line])

    def forget(self, running: Running) -> None:
        """Note that a host is off."""
        os.close(running.pidfd)
        running.pid, running.pidfd = 0, -1

    def log_in(self, hosts: list[Running]) -> None:
        """Log the user of each Mac in at its console, side by side."""
        children = {self.start_login(one): one for one in hosts if one.host.is_mac}
        for child, one in children.items():
            if enter.wait_status(os.waitpid(child, 0)[1]) != 0:
                raise RuntimeError(f"{one.host.name}: the login of {one.host.user} failed:\n{tail(one.place.log)}")

    def start_login(self, running: Running) -> int:
        """Start the login of a Mac's user; give the pid to wait for."""
        child = os.fork()
        if child == 0:
            code = 70
            try:
                log = os.open(running.place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(log, 1)
                os.dup2(log, 2)
                code = enter.become(running.pidfd, lambda: enter.console("login", running.host.user))
            finally:
                os._exit(code)
        return child

    def compile_stand_ins(self) -> None:
        """Compile the stand-ins beside their sources, in the background: uncompiled they start three times slower."""
        if os.fork() == 0:
            code = 1
            try:
                os.nice(10)
                for name in ("mac", "ollama", "controller"):
                    compileall.compile_dir(state.LAB_FOLDER / name, quiet=2)
                    own(state.LAB_FOLDER / name)
                code = 0
            finally:
                os._exit(code)

    def answer(self, request: dict[str, object]) -> tuple[dict[str, object], list[int]]:
        """Do what a client asks; give the reply and the descriptors that go with it."""
        verb = request["verb"]
        if verb == "status":
            return {"hosts": [self.describe(one) for one in self.running.values()], "registry": self.registry_pid != 0}, []
        running = self.running.get(str(request.get("host")))
        if running is None:
            return {"error": f"This lab has no host {request.get('host')!r}: it has {', '.join(self.running)}."}, []
        name = running.host.name
        if verb in ("enter", "sleep", "wake") and not running.pid:
            return {"error": f"{name} is off: turn it on with `lab/lab reboot {name}`."}, []
        if verb == "enter":
            if running.asleep:
                if request.get("by_ssh"):
                    return {"asleep": True}, []
                return {"error": f"{name} is asleep: wake it with `lab/lab wake {name}`."}, []
            return {"mac": running.host.is_mac, "user": running.host.user}, [running.pidfd]
        getattr(self, f"on_{verb}")(running, request)
        return {"mac": running.host.is_mac, "user": running.host.user}, []

    def on_reboot(self, running: Running, request: dict[str, object]) -> None:
        """Turn a host off and on; agents start only after a login."""
        self.power_off(running)
        self.power_on([running], login=bool(request.get("login")))

    def on_reset(self, running: Running, request: dict[str, object]) -> None:
        """Turn a host off and on with an empty disk, and log its user in, as after `up`."""
        self.power_off(running)
        linux.unmount(running.place.disk)
        self.new_disk(running)
        self.on_reboot(running, {**request, "login": True})

    def on_sleep(self, running: Running, _request: dict[str, object]) -> None:
        """Put a host to sleep: no packets, no processor time."""
        network.run_ip(network.link_batch(running.host, up=False))
        machine.freeze(running.pid)
        running.asleep = True

    def on_wake(self, running: Running, _request: dict[str, object]) -> None:
        """Wake a host."""
        machine.thaw(running.pid)
        network.run_ip(network.link_batch(running.host, up=True))
        self.pull_cables(running, read_json(virtual_folder(running) / "faults.json"))
        running.asleep = False

    def pull_cables(self, running: Running, set_faults: dict[str, object]) -> None:
        """Take out again what was out before a reboot or a sleep."""
        for fault, name in network.FAULTS.items():
            if set_faults.get(fault):
                network.run_ip(network.link_batch(running.host, up=False, only=name))

    def on_disk(self, running: Running, request: dict[str, object]) -> None:
        """Set what stays free on a host's disk; None gives all of it back."""
        free = request["free"]
        size = _DISK_BYTES
        if isinstance(free, int):
            found = os.statvfs(running.place.disk)
            size = (found.f_blocks - found.f_bfree) * found.f_frsize + free
        linux.mount("disk", running.place.disk, "tmpfs", linux.MS_REMOUNT, f"mode=0755,size={size}")

    def on_line(self, running: Running, request: dict[str, object]) -> None:
        """Give a host its way through the router, or take it."""
        self.set_line(running, up=bool(request["up"]))

    def on_cable(self, running: Running, request: dict[str, object]) -> None:
        """Pull a host's cable out of one network, or plug it in."""
        network.run_ip(network.link_batch(running.host, up=bool(request["up"]), only=str(request["network"])))

    def set_line(self, running: Running, *, up: bool) -> None:
        """Change a host's routes, inside its network namespace."""
        batch = network.online_batch if up else network.offline_batch
        child = os.fork()
        if child == 0:
            code = 1
            try:
                linux.setns(running.pidfd, linux.CLONE_NEWNET)
                with contextlib.suppress(RuntimeError):  # taken away already
                    network.run_ip(batch(running.host))
                code = 0
            finally:
                os._exit(code)
        os.waitpid(child, 0)

    def describe(self, running: Running) -> dict[str, object]:
        """Give what `status` shows of a host."""
        host, virtual = running.host, virtual_folder(running)
        session = read_json(virtual / "session.json")
        return {
            "name": host.name,
            "state": ("asleep" if running.asleep else "up") if running.pid else "off",
            "mac": host.is_mac,
            "user": host.user,
            "console_user": session.get("console_user"),
            "up_seconds": round(time.time() - running.since, 1) if running.pid else None,
            "lan": host.lan4 or host.outside4,
            "tailnet": host.tailnet4,
            "faults": read_json(virtual / "faults.json"),
        }

    def bury(self) -> None:
        """Take note of everything that ended; orphans of the whole lab end up here."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.registry_pid:
                self.registry_pid = 0
            for running in self.running.values():
                if running.pid == pid:
                    self.forget(running)

    def serve(self, listener: socket.socket) -> None:
        """Answer clients, one at a time, until the end."""
        wake, signalled = os.pipe()
        for descriptor in (wake, signalled):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(signalled)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        watched: list[socket.socket | int] = [listener, wake, *([self.order.end_with] if self.order.end_with >= 0 else [])]
        while True:
            self.bury()
            ready, _, _ = select.select(watched, [], [])
            if self.order.end_with in ready:
                return
            if wake in ready:
                os.read(wake, 4096)
            if listener in ready:
                self.serve_one(listener.accept()[0])

    def serve_one(self, connection: socket.socket) -> None:
        """Take one request and answer it. Whatever goes wrong is the client's to read; the lab stays."""
        with connection:
            connection.settimeout(5)
            try:
                line = connection.makefile("rb").readline()
                reply, descriptors = self.answer(json.loads(line))
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                reply, descriptors = {"error": f"The keeper could not do that: {error}"}, []
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [json.dumps(reply).encode() + b"\n"], descriptors)


def virtual_folder(running: Running) -> Path:
    """Give where a host's faults and session are, seen from outside it."""
    private = "private" if running.host.is_mac else ""
    return running.place.disk / "upper" / private / image.VIRTUAL.lstrip("/")


def tail(file: Path, lines: int = 20) -> str:
    """Give the last lines of a log."""
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def read_json(file: Path) -> dict[str, object]:
    """Read a JSON object; one that is missing counts as empty."""
    try:
        known: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known


def own(folder: Path) -> None:
    """Give compiled files to the checkout's owner, who must be able to delete them without being root."""
    owner = state.LAB_FOLDER.stat()
    for cache in folder.rglob("__pycache__"):
        for path in (cache, *cache.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)


def main(order: Order, report: int) -> None:
    """Be the lab. `report` takes one line per host that is up, then `ready`; what comes before its end is the cause."""
    os.umask(0o022)
    folder = state.Folder(order.name)
    with os.fdopen(report, "w", buffering=1, encoding="utf-8") as told:
        payload = Path(order.ollama_payload) if order.ollama_payload else None
        apple = interpreter.for_command_line_tools()
        lent = image.Lent(state.LAB_FOLDER, interpreter.running(), apple, payload)
        keeper = Keeper(order, folder, lent)
        listener = socket.socket(socket.AF_UNIX)
        keeper.prepare()
        keeper.compile_stand_ins()
        keeper.start_registry()
        told.write(f"image  python3 on the Macs is {lent.apple.version} from {lent.apple.prefix}\n")
        everyone = list(keeper.running.values())
        keeper.power_on(everyone, login=True)
        for running in everyone:
            told.write(f"{running.host.name}  up  {running.host.lan4 or running.host.outside4}\n")
        listener.bind(str(folder.socket))
        folder.socket.chmod(0o600)
        listener.listen(64)
        told.write("ready\n")
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(keeper.memory / "logs/keeper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, descriptor in enumerate((null, log, log)):
        os.dup2(descriptor, number)
    keeper.serve(listener)


def run(arguments: list[str]) -> None:
    """Start from the line that `up` gives: the report's descriptor and the order as JSON."""
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin"  # `ip` is in nobody's but root's
    known = json.loads(arguments[1])
    known["only"], known["owner"] = tuple(known["only"]), tuple(known["owner"])
    main(Order(**known), int(arguments[0]))
