"""sysctl, vm_stat and memory_pressure: how much memory there is, and how it is doing."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from mac.machine import Machine, fault, machine, path, read_json, write_atomically

PAGE = 16384  # bytes, on Apple silicon
MIB = 1048576


class Memory(NamedTuple):
    """The memory figures that the three commands show, each in its own form."""

    total: int
    free: int
    swap_used: int
    pressure: int

    @property
    def swap_total(self) -> int:
        """Give the swap space in bytes: whole swap files of 1 GiB, as many as are in use (xnu vm_compressor)."""
        gib = 1024 * MIB
        return -(-self.swap_used // gib) * gib

    @property
    def free_percent(self) -> int:
        """Give the percentage that is available, kern.memorystatus_level."""
        return min(100, 100 * self.free // self.total)


def observe(me: Machine) -> Memory:
    """Take the figures from the faults; a Mac without faults has 61 % available and no swap in use."""
    free, swap, pressure = me.memory_bytes * 61 // 100 + 1, 0, 1
    others = fault("memory-follows-models")
    if others is not None:
        need = int(float(4096 if others is True else others) * MIB) + sum(loaded())
        free = max(me.memory_bytes // 50, me.memory_bytes - need)
        swap = _remembered(need - me.memory_bytes, time.time())
        pressure = pressure_of(need - swap, me.memory_bytes)
    told = fault("free-memory-mb")
    return Memory(
        total=me.memory_bytes,
        free=free if told is None else int(float(told) * MIB),
        swap_used=int(float(fault("swap-used-mb", swap / MIB)) * MIB),
        pressure=int(fault("memory-pressure", pressure)),
    )


_USAGE = "/var/db/virtual-mac/usage"
_SWAP = "swap.json"
WRITES = 100 * MIB
"""Bytes that go to swap in a second. Of real Macs, 10 GB within seconds was reported; a guess on the slow side."""
COMES_BACK = 0.1
"""Part of what is no longer needed that comes back in a minute: pages return only when touched. A guess."""


def loaded() -> list[int]:
    """Give the bytes that each runner takes that lives, by the notes which the server leaves."""
    sizes = []
    for file in sorted(path(_USAGE).glob("[0-9]*.json")):
        note = read_json(f"{_USAGE}/{file.name}", {})
        if Path(f"/proc/{note.get('pid')}").exists():
            sizes.append(int(note.get("ram_bytes", 0)))
    return sizes


def swap_after(need: int, before: int, seconds: float) -> int:
    """Give the swap in use: it rises fast to what does not fit, and falls slowly to it."""
    if need >= before:
        return min(need, before + int(WRITES * seconds))
    return max(need, int(before * (1 - COMES_BACK) ** (seconds / 60)), 0)


def pressure_of(resident: int, total: int) -> int:
    """Give the pressure level by what is to be held in memory: normal, warning, critical. The thresholds are a guess."""
    return 4 if resident > total * 5 // 4 else 2 if resident > total else 1


def _remembered(need: int, now: float) -> int:
    """Go on from the last look at swap, whoever looked."""
    try:
        descriptor = os.open(path(f"{_USAGE}/{_SWAP}"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return max(0, need)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            before = json.loads(file.read() or "{}")
        except ValueError:
            before = {}
        swap = swap_after(need, int(before.get("swap", 0)), max(0.0, now - float(before.get("at", now))))
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"swap": swap, "at": now}))
        file.flush()
        if os.fstat(descriptor).st_uid == os.getuid():
            os.fchmod(descriptor, 0o666)
    return swap


def swapusage(memory: Memory) -> str:
    """Print swap as sysctl does: always in MiB with two decimals (system_cmds sysctl.c, S_xswusage)."""
    total, used = memory.swap_total / MIB, memory.swap_used / MIB
    return f"total = {total:.2f}M  used = {used:.2f}M  free = {total - used:.2f}M  (encrypted)"


# Values set by hand live as long as the boot: /var/run is a fresh folder on every start.
_SET = "/var/run/virtual-mac-sysctl.json"
_WRITABLE = ("iogpu.wired_limit_mb", "kern.maxfiles", "kern.maxfilesperproc", "net.inet.tcp.delayed_ack")
# Readable by name, but left out of `sysctl -a` (xnu: CTLFLAG_MASKED).
_MASKED = ("kern.memorystatus_vm_pressure_level",)


def boot_time() -> int:
    """Give the second in which this Mac's first process was started."""
    stat = Path("/proc/1/stat").read_text(encoding="utf-8")
    ticks = int(stat.rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    return int(time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK"))


def values(me: Machine, memory: Memory, chosen: dict[str, str]) -> dict[str, str]:
    """Give every variable this sysctl knows."""
    boot = boot_time()
    known = {
        "hw.activecpu": str(me.cpus),
        "hw.cputype": "16777228",
        "hw.logicalcpu": str(me.cpus),
        "hw.machine": "arm64",
        "hw.memsize": str(me.memory_bytes),
        "hw.model": me.model,
        "hw.ncpu": str(me.cpus),
        "hw.optional.arm64": "1",
        "hw.pagesize": str(PAGE),
        "hw.physicalcpu": str(me.cpus),
        "iogpu.wired_limit_mb": "0",
        "kern.boottime": f"{{ sec = {boot}, usec = 0 }} {time.strftime('%c', time.localtime(boot))}",
        "kern.hostname": me.local_host_name + ".local",
        "kern.maxfiles": "245760",
        "kern.maxfilesperproc": "122880",
        "kern.memorystatus_level": str(memory.free_percent),
        "kern.memorystatus_vm_pressure_level": str(memory.pressure),
        "kern.osproductversion": me.os_version,
        "kern.osrelease": me.darwin,
        "kern.ostype": "Darwin",
        "kern.osversion": me.build,
        "machdep.cpu.brand_string": me.chip,
        "machdep.cpu.core_count": str(me.cpus),
        "net.inet.tcp.delayed_ack": "3",
        "sysctl.proc_translated": "0",
        "vm.page_free_count": str(memory.free // PAGE),
        "vm.swapusage": swapusage(memory),
    }
    return {**known, **chosen}


def _options(argv: list[str]) -> tuple[str, list[str]]:
    letters, names = "", []
    for word in argv:
        if word.startswith("-") and len(word) > 1:
            letters += word[1:]
        else:
            names.append(word)
    return letters, names


def sysctl(argv: list[str]) -> int:
    """Read or set kernel variables; the exit code is the number of failures (system_cmds sysctl.c)."""
    letters, names = _options(argv)
    if any(letter not in "abdehiNnopqrwxAX" for letter in letters) or (not names and "a" not in letters.lower()):
        print("usage: sysctl [-bdehiNnoqrx] name[=value] ...\n       sysctl [-bdehNnoqrx] -a", file=sys.stderr)
        return 1
    chosen: dict[str, str] = read_json(_SET, {})
    known = values(machine(), observe(machine()), chosen)
    if not names:
        names = [name for name in sorted(known) if name not in _MASKED]
    failures = 0
    for word in names:
        name, assigned, value = word.partition("=")
        found = [name] if name in known else sorted(key for key in known if key.startswith(name + "."))
        if not found:
            if "i" not in letters:
                failures += 1
                if "q" not in letters:
                    print(f"sysctl: unknown oid '{name}'", file=sys.stderr)
        elif assigned:
            failures += _assign(name, value, known[found[0]], letters, chosen)
        else:
            for key in found:
                _show(key, known[key], letters)
    return failures


def _show(name: str, value: str, letters: str) -> None:
    if "N" in letters:
        print(name)
    elif "n" in letters:
        print(value)
    else:
        print("{}{}{}".format(name, "=" if "e" in letters else ": ", value))


def _assign(name: str, value: str, old: str, letters: str, chosen: dict[str, str]) -> int:
    if name not in _WRITABLE:
        print(f"sysctl: oid '{name}' is read only", file=sys.stderr)
        return 1
    if not value.lstrip("-").isdigit():
        print(f"sysctl: invalid integer '{value}'", file=sys.stderr)
        return 1
    before = "" if "n" in letters else name + ": "
    if os.getuid() != 0:
        # The old value is out before the kernel refuses.
        print(f"{before}{old}")
        sys.stdout.flush()
        print(f"sysctl: {name}={value}: Operation not permitted", file=sys.stderr)
        return 1
    chosen[name] = value
    write_atomically(path(_SET), json.dumps(chosen).encode("utf-8"))
    print(f"{before}{old} -> {value}")
    return 0


def pages(memory: Memory) -> list[tuple[str, int]]:
    """Split the memory into vm_stat's lines; what is not free is shared out in fixed parts."""
    total = memory.total // PAGE
    speculative = min(memory.free // PAGE, total // 100)
    free = memory.free // PAGE - speculative
    used = total - free - speculative
    wired, compressed, active = used * 25 // 100, used * 10 // 100, used * 35 // 100
    inactive = used - wired - compressed - active
    swapped = memory.swap_used // PAGE
    return [
        ("Pages free", free),
        ("Pages active", active),
        ("Pages inactive", inactive),
        ("Pages speculative", speculative),
        ("Pages throttled", 0),
        ("Pages wired down", wired),
        ("Pages purgeable", inactive // 20),
        ('"Translation faults"', 351429881),
        ("Pages copy-on-write", 9421365),
        ("Pages zero filled", 192384410),
        ("Pages reactivated", 3291042),
        ("Pages purged", 1204331),
        ("File-backed pages", inactive // 2),
        ("Anonymous pages", active + inactive - inactive // 2),
        ("Pages stored in compressor", compressed * 3),
        ("Pages occupied by compressor", compressed),
        ("Decompressions", 5129941),
        ("Compressions", 9120034),
        ("Pageins", 7348812),
        ("Pageouts", 91022),
        ("Swapins", swapped * 2),
        ("Swapouts", swapped * 3),
    ]


def vm_stat(argv: list[str]) -> int:
    """Print the memory statistics (system_cmds vm_stat.c); an interval is taken as one sample."""
    if argv and not argv[-1].replace(".", "", 1).isdigit():
        print("usage: vm_stat [[-c count] interval]", file=sys.stderr)
        return 1
    print(f"Mach Virtual Memory Statistics: (page size of {PAGE} bytes)")
    for name, count in pages(observe(machine())):
        print(f"{name + ':':<30} {count:>16}.")
    return 0


def memory_pressure(argv: list[str]) -> int:
    """Print the totals and the percentage that is free. Real ones with `-l`, `-p` or a count eat memory."""
    memory = observe(machine())
    if argv not in ([], ["-Q"]):
        print("Usage: memory_pressure [-Q] [-l level] [-p percent_free] [-s sleep_seconds] [<pages>]")
        return 0
    total = memory.total // PAGE
    print(f"The system has {memory.total} ({total} pages with a page size of {PAGE}).")
    counts = dict(pages(memory))
    if argv != ["-Q"]:
        print("\nStats: ")
        for name in ("Pages free", "Pages purgeable", "Pages purged"):
            print(f"{name}: {counts[name]} ")
        print("\nSwap I/O:")
        for name in ("Swapins", "Swapouts"):
            print(f"{name}: {counts[name]} ")
        print("\nPage Q counts:")
        for name in ("active", "inactive", "speculative", "throttled", "wired down"):
            print(f"Pages {name}: {counts['Pages ' + name]} ")
        print("\nCompressor Stats:")
        print(f"Pages used by compressor: {counts['Pages occupied by compressor']} ")
        print(f"Pages decompressed: {counts['Decompressions']} ")
        print(f"Pages compressed: {counts['Compressions']} ")
        print(f"\nFile I/O:\nPageins: {counts['Pageins']} \nPageouts: {counts['Pageouts']} ")
        print()
    print(f"System-wide memory free percentage: {memory.free_percent}%")
    return 0
