"""Turning one host on: namespaces, mounts, addresses, and at last its first process."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller import image, linux, network

if TYPE_CHECKING:
    from controller.hosts import Host

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_PSEUDO = {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "mqueue", "securityfs", "debugfs", "tracefs"}
_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")


@dataclass(frozen=True)
class Place:
    """The folders of one host on the keeper's memory."""

    memory: Path
    host: Host

    @property
    def disk(self) -> Path:
        """Give the host's disk: a memory file system of its own, so that it can be full on its own."""
        return self.memory / "disks" / self.host.name

    @property
    def root(self) -> Path:
        """Give where the host's root is put together."""
        return self.memory / "roots" / self.host.name

    @property
    def image(self) -> Path:
        """Give the layer it shares with its kind."""
        return self.memory / "image" / ("mac" if self.host.is_mac else "linux")

    @property
    def log(self) -> Path:
        """Give the file that takes what the host's first process prints."""
        return self.memory / "logs" / f"{self.host.name}.log"


def separate_program_mounts(mountinfo: str) -> list[str]:
    """List file systems mounted below the program folders (a separate /usr): an overlay of / misses those."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point, kind = before.split()[4], after.split()[0]
        if kind not in _PSEUDO and f"{point}/".startswith(tuple(f"{top}/" for top in _PROGRAMS)):
            found.append(point)
    return found


def _mount_disk(place: Place) -> None:
    upper, work = place.disk / "upper", place.disk / "work"
    layers = f"lowerdir={place.image}:/,upperdir={upper},workdir={work},index=off"
    linux.mount("overlay", place.root, "overlay", data=layers)
    points = separate_program_mounts(Path("/proc/self/mountinfo").read_text())
    for number, point in enumerate(point for point in points if Path(point).is_dir()):
        extra = place.disk / f"work{number}"
        extra.mkdir(exist_ok=True)
        over = f"{upper}{point}"
        Path(over).mkdir(parents=True, exist_ok=True)
        shared = f"{place.image}{point}"
        lower = f"{shared}:{point}" if Path(shared).is_dir() else point
        data = f"lowerdir={lower},upperdir={over},workdir={extra},index=off"
        linux.mount("overlay", f"{place.root}{point}", "overlay", data=data)


def _mount_devices(root: Path, terminal_group: int) -> None:
    dev = root / "dev"
    linux.mount("tmpfs", dev, "tmpfs", linux.MS_NOSUID, "mode=0755,size=1m")
    for name in _DEVICES:
        (dev / name).touch()
        linux.bind(f"/dev/{name}", dev / name)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    # An instance of its own, or terminals of the running system would show inside.
    data = f"newinstance,ptmxmode=0666,mode=0620,gid={terminal_group}"
    linux.mount("devpts", dev / "pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, data)
    linux.mount("tmpfs", dev / "shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        (dev / name).symlink_to(target)
    # Its owner is the user at the screen (`stat -f %Su /dev/console`); what is written there nobody reads.
    console = dev / "console"
    try:
        os.mknod(console, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        console.touch(0o600)


def _mount_rest(place: Place, lent: image.Lent) -> None:
    root, mac = place.root, place.host.is_mac
    linux.mount("proc", root / "proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.mount("sysfs", root / "sys", "sysfs", linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NOEXEC)
    _mount_devices(root, terminal_group=4 if mac else 5)
    run = root / ("private/var/run" if mac else "run")
    linux.mount("tmpfs", run, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755")
    (run / "sshd").mkdir(mode=0o755)
    linux.mount("tmpfs", root / ("private/tmp" if mac else "tmp"), "tmpfs", linux.MS_NOSUID, "mode=1777")
    for source, target in (
        (lent.library, image.LIBRARY),
        (lent.stand_ins.prefix, image.PREFIX),
        (lent.apple.prefix, image.APPLE_PREFIX),
        (lent.payload, image.PAYLOAD),
    ):
        if source is not None:
            linux.bind(source, f"{root}{target}", read_only=True)


def _first_program(host: Host) -> list[str]:
    if host.is_mac:
        return [image.PYTHON, f"{image.LIBRARY}/mac/launchd/daemon.py"]
    # With SIGCHLD ignored the kernel itself buries the orphans that every first process inherits.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    return ["/bin/sleep", "infinity"]


def _run_as_first(place: Place, lent: image.Lent, plugged_in: int) -> None:
    """Become the host's first process. Runs as PID 1 of the new PID namespace."""
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    _mount_disk(place)
    _mount_rest(place, lent)
    linux.set_host_name(place.host.host_name)
    network.settle_new_namespace()
    os.read(plugged_in, 1)
    network.heed_pulled_cable()
    network.run_ip(network.host_batch(place.host))
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    linux.become_root_of(place.root)
    os.setsid()
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
        os.dup2(descriptor, number)
    argv = _first_program(place.host)
    path = image.MAC_PATH if place.host.is_mac else image.LINUX_PATH
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execve(argv[0], argv, {"PATH": path})


@dataclass
class Starting:
    """A host between its first process' birth and its program."""

    place: Place
    pid: int
    plug: int  # written to once the cables are in
    report: int  # what went wrong, or nothing


def begin(place: Place, lent: image.Lent) -> Starting:
    """Make a host's namespaces and its first process, which then waits for its cables."""
    plugged_in, plug = os.pipe()
    report, tell = os.pipe()
    outer = os.fork()
    if outer == 0:
        code = 1
        try:
            os.close(plug)
            linux.unshare(linux.CLONE_ALL)
            inner = os.fork()
            if inner == 0:
                _run_as_first(place, lent, plugged_in)
            os.write(tell, b"%d\n" % inner)
            code = 0
        except BaseException:
            os.write(tell, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(plugged_in)
    os.close(tell)
    os.waitpid(outer, 0)
    first = os.read(report, 1 << 16)
    line, _, rest = first.partition(b"\n")
    if not line.isdigit():
        raise RuntimeError(f"{place.host.name}: {first.decode()}")
    if rest:
        raise RuntimeError(f"{place.host.name}: {rest.decode()}")
    return Starting(place, int(line), plug, report)


def finish(starting: Starting) -> None:
    """Let the host go on, its cables being in, until its first program runs."""
    with contextlib.suppress(BrokenPipeError):
        os.write(starting.plug, b"1")
    os.close(starting.plug)
    with os.fdopen(starting.report, "rb") as stream:
        trouble = stream.read().decode()
    if trouble:
        raise RuntimeError(f"{starting.place.host.name}: {trouble}")


def socket_below(pid: int) -> Path:
    """Give launchd's socket as the keeper reaches it; /proc/PID/root does not lead through absolute links."""
    return Path(f"/proc/{pid}/root/private/var/run/launchd.sock")


def processes_of(pid: int) -> list[int]:
    """List every process of the host whose first process is `pid`."""
    own = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208  names are wanted, not paths
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{entry}/ns/pid").readlink() == own:
                    found.append(int(entry))
    return found


def freeze(pid: int) -> None:
    """Stop every process of a host; again until no new one shows, since a running one may fork meanwhile."""
    stopped: set[int] = set()
    while fresh := set(processes_of(pid)) - stopped:
        for process in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        stopped |= fresh


def thaw(pid: int) -> None:
    """Let a host's processes go on, the first process last: it must find the others as it left them."""
    for process in sorted(processes_of(pid), reverse=True):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
