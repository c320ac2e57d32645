"""Faults made on a virtual Mac, and the diagnoses that each must give, no more and no fewer."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tests.support.drifts import AGENTS, CELLAR, HOME, PLACE, SOCKETFILTERFW, UID, Mac

LOG = "/tmp/ollama.err.log"  # noqa: S108  the path of the owner's documentation
STORE = f"{HOME}/.ollama/models"
KEG = f"{CELLAR}/0.32.15"
RESIDENT = "qwen3:8b"
SQUATTER = "com.example.squatter"
APP_PLACE = "/Applications/Ollama.app/Contents/Resources"


@dataclass(frozen=True)
class Fault:
    """A fault: how it is made for the length of a block, and the ids that the doctor must name, those of notes included.

    `host` is the only machine on which it can be made, "" for either Mac. `words` must be said in the evidence or the remedy.
    """

    name: str
    trouble: Callable[[Mac], AbstractContextManager[Any]]
    ids: tuple[str, ...]
    host: str = ""
    words: tuple[str, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, for the test's id."""
        return self.name


def serving(mac: Mac) -> None:
    """Wait until a Mac serves again with its resident in memory, as it does by itself."""
    mac.wait(lambda: mac.answers() and mac.pid() is not None, 60)
    mac.api("POST", "/api/generate", {"model": RESIDENT, "keep_alive": -1})


def switch(name: str, value: str = "on") -> Callable[[Mac], AbstractContextManager[Any]]:
    """Return a fault of the lab."""

    @contextlib.contextmanager
    def trouble(mac: Mac) -> Iterator[None]:
        mac.fleet.lab("fault", mac.name, name, value)
        try:
            yield
        finally:
            mac.fleet.lab("fault", mac.name, name, "off")

    return trouble


def restarted(mac: Mac) -> None:
    """Let launchd start the service anew, whatever becomes of it."""
    mac.run("/bin/launchctl", "kickstart", "-k", mac.target, check=False)


def bootstrapped(mac: Mac) -> None:
    """Load the service from its file."""
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", mac.plist)
    serving(mac)


def by_hand(
    make: Callable[[Mac], Any], undo: Callable[[Mac], Any], *, then: Callable[[Mac], None] | None = None
) -> Callable[[Mac], AbstractContextManager[Any]]:
    """Return a fault that one act makes and another takes back."""

    @contextlib.contextmanager
    def trouble(mac: Mac) -> Iterator[None]:
        make(mac)
        try:
            yield
        finally:
            undo(mac)
            if then is not None:
                then(mac)

    return trouble


def shell(command: str, user: str = "felipe") -> Callable[[Mac], Any]:
    """Return an act that is one line of a shell."""
    return lambda mac: mac.run("sh", "-c", command, user=user)


@contextlib.contextmanager
def held(mac: Mac, verb: str) -> Iterator[None]:
    """Keep a job of the fleet from acting for a block: it finds its lock taken and goes away in silence."""
    holder = subprocess.Popen(
        mac.fleet.lab_command(
            "exec", mac.name, "--user", "felipe", "--", "flock", f"{PLACE}/state/{verb}.lock", "sh", "-c", "echo held; read end"
        ),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=mac.fleet.environment,
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.stdin.close()
        holder.wait(30)


def quiet(trouble: Callable[[Mac], AbstractContextManager[Any]]) -> Callable[[Mac], AbstractContextManager[Any]]:
    """Keep residents and healer from mending a fault while it is looked at."""

    @contextlib.contextmanager
    def quietly(mac: Mac) -> Iterator[None]:
        with held(mac, "residents"), held(mac, "heal"), trouble(mac):
            yield

    return quietly


# The port. ----------------------------------------------------------------------------------------------------------------


def _squat(mac: Mac) -> None:
    """Let a job of somebody else take the port while the service is away for a moment."""
    path = f"{AGENTS}/{SQUATTER}.plist"
    program = ["/usr/bin/python3", "-m", "http.server", "11434"]
    mac.write(path, {"Label": SQUATTER, "ProgramArguments": program, "RunAtLoad": True, "WorkingDirectory": "/Users/Shared"})
    mac.boot_out()
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", path)
    mac.wait(lambda: "HTTP" in mac.run_all("curl", "-sSi", "--max-time", "2", "http://127.0.0.1:11434/"))
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", mac.plist, check=False)


def _unsquat(mac: Mac) -> None:
    mac.boot_out(f"gui/{UID}/{SQUATTER}")
    mac.run("rm", f"{AGENTS}/{SQUATTER}.plist")
    _reload(mac)


def _taken(script: str, user: str) -> Callable[[Mac], AbstractContextManager[Any]]:
    """Return a fault in which a program that somebody started by hand holds the port."""

    @contextlib.contextmanager
    def trouble(mac: Mac) -> Iterator[None]:
        mac.boot_out()
        process = subprocess.Popen(
            mac.fleet.lab_command("exec", mac.name, "--user", user, "--", "sh", "-c", script),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=mac.fleet.environment,
        )  # fmt: skip
        try:
            mac.wait(lambda: "HTTP" in mac.run_all("curl", "-sSi", "--max-time", "2", "http://127.0.0.1:11434/"))
            mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", mac.plist, check=False)
            yield
        finally:
            process.terminate()
            process.wait(30)
            _reload(mac)

    return trouble


SERVER = "import http.server as h; h.HTTPServer(('0.0.0.0', 11434), h.SimpleHTTPRequestHandler).serve_forever()"
BY_ROOT = f'cd /Users/Shared && exec /usr/bin/python3 -c "{SERVER}"'
BY_APP = f'cd /Users/Shared && echo "{SERVER}" > {APP_PLACE}/serve.py && exec /usr/bin/python3 {APP_PLACE}/serve.py'


@contextlib.contextmanager
def _app_takes_port(mac: Mac) -> Iterator[None]:
    with switch("ollama-app")(mac):
        mac.run("chown", "felipe", APP_PLACE, user="root")
        with _taken(BY_APP, "felipe")(mac):
            yield


# The service. -------------------------------------------------------------------------------------------------------------


def _reloaded(mac: Mac, **variables: str) -> None:
    """Let launchd hold another definition than the file has."""
    good = mac.definition()
    mac.edit(EnvironmentVariables=mac.environment_with(**variables))
    mac.boot_out()
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", mac.plist)
    mac.write(mac.plist, good)


def _reload(mac: Mac) -> None:
    """Load the service anew: launchd remembers the crashes of a job as long as it holds it."""
    mac.boot_out()
    bootstrapped(mac)


def _other_setting(mac: Mac) -> None:
    _reloaded(mac, OLLAMA_NUM_PARALLEL="x")
    serving(mac)


def _bound_to_itself(mac: Mac) -> None:
    _reloaded(mac, OLLAMA_HOST="127.0.0.1")
    serving(mac)


def _in_user_domain(mac: Mac) -> None:
    copy = f"{HOME}/{mac.label}.plist"
    mac.write(copy, {**mac.definition(), "LimitLoadToSessionType": "Background"})
    mac.boot_out()
    mac.run("/bin/launchctl", "bootstrap", f"user/{UID}", copy)
    mac.wait(mac.answers)


def _back_in_gui(mac: Mac) -> None:
    mac.boot_out(f"user/{UID}/{mac.label}")
    bootstrapped(mac)


def _rival(mac: Mac) -> None:
    path = f"{AGENTS}/{mac.other_label}.plist"
    mac.write(path, {**mac.definition(), "Label": mac.other_label})
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", path)


def _no_rival(mac: Mac) -> None:
    mac.boot_out(f"gui/{UID}/{mac.other_label}")
    mac.run("rm", f"{AGENTS}/{mac.other_label}.plist")


def _bad_file(mac: Mac) -> None:
    mac.run("chmod", "0666", mac.plist)
    mac.boot_out()


def _good_file(mac: Mac) -> None:
    mac.run("chmod", "0644", mac.plist)
    bootstrapped(mac)


def _off(mac: Mac) -> None:
    mac.boot_out()
    mac.run("/bin/launchctl", "disable", mac.target)


def _on(mac: Mac) -> None:
    mac.run("/bin/launchctl", "enable", mac.target)
    bootstrapped(mac)


def _no_program(mac: Mac) -> None:
    mac.run("mv", CELLAR, f"{CELLAR}.aside")
    restarted(mac)


def _program(mac: Mac) -> None:
    mac.run("mv", f"{CELLAR}.aside", CELLAR)


@contextlib.contextmanager
def _exits(mac: Mac) -> Iterator[None]:
    with switch("ollama-exits")(mac):
        restarted(mac)
        yield
    _reload(mac)


@contextlib.contextmanager
def _idle(mac: Mac) -> Iterator[None]:
    with switch("bootstrap-stays-idle")(mac):
        mac.boot_out()
        mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", mac.plist)
        yield
    mac.run("/bin/launchctl", "kickstart", mac.target)
    serving(mac)


@contextlib.contextmanager
def _slow_start(mac: Mac) -> Iterator[None]:
    with switch("ollama-start-delay", "600")(mac):
        restarted(mac)
        yield
    restarted(mac)
    serving(mac)


@contextlib.contextmanager
def _logged_out(mac: Mac) -> Iterator[None]:
    mac.fleet.lab("logout", mac.name)
    try:
        yield
    finally:
        mac.fleet.lab("login", mac.name)
        serving(mac)


def _session(verb: str, *words: str) -> Callable[[Mac], Any]:
    return lambda mac: mac.run("/bin/launchctl", "asuser", str(UID), "/bin/launchctl", verb, *words, user="root")


def _foreign_log(mac: Mac) -> None:
    mac.run("sh", "-c", f"rm -f {LOG} && touch {LOG} && chmod 0644 {LOG}", user="root")
    restarted(mac)


# Programs, models, memory. ------------------------------------------------------------------------------------------------


def _other_keg(mac: Mac) -> None:
    """Do what `brew upgrade` does, which restarts nothing: another keg, other links."""
    mac.run("sh", "-c", f"cp -R {KEG} {CELLAR}/0.32.16 && ln -sfn ../Cellar/ollama/0.32.16 /opt/homebrew/opt/ollama")
    mac.run("sh", "-c", "ln -sfn ../Cellar/ollama/0.32.16/bin/ollama /opt/homebrew/bin/ollama")


def _one_keg(mac: Mac) -> None:
    mac.run("sh", "-c", "ln -sfn ../Cellar/ollama/0.32.15 /opt/homebrew/opt/ollama")
    mac.run("sh", "-c", f"ln -sfn ../Cellar/ollama/0.32.15/bin/ollama /opt/homebrew/bin/ollama; rm -r {CELLAR}/0.32.16")


RUNNER = f"{KEG}/libexec/lib/ollama/llama-server"


GRIND = r"""cd /usr/bin; for name in osascript sw_vers; do
mv $name $name.aside; printf '#!/bin/sh\nexec sleep 30\n' > $name; chmod 755 $name; done"""
UNGRIND = "cd /usr/bin; for name in osascript sw_vers; do mv $name.aside $name; done"

KILLED = """'level=ERROR msg="llama-server process has terminated: signal: killed"'"""


def _unloaded(mac: Mac) -> None:
    mac.api("POST", "/api/generate", {"model": RESIDENT, "keep_alive": 0})
    mac.wait(lambda: not mac.api("GET", "/api/ps")["models"])


@contextlib.contextmanager
def _no_load(mac: Mac) -> Iterator[None]:
    with switch("ollama-load-fails")(mac):
        _unloaded(mac)
        yield
    serving(mac)


def _blob(mac: Mac, name: str) -> str:
    """Return the path of a model's weights."""
    model, _, tag = name.partition(":")
    manifest = f"{STORE}/manifests/registry.ollama.ai/library/{model}/{tag}"
    script = (
        "import json, sys; layers = json.load(open(sys.argv[1]))['layers'];"
        "print(max(layers, key=lambda one: one['size'])['digest'].replace(':', '-'))"
    )
    return f"{STORE}/blobs/{mac.run('/usr/bin/python3', '-c', script, manifest).strip()}"


@contextlib.contextmanager
def _cut_short(mac: Mac) -> Iterator[None]:
    path = _blob(mac, "gpt-oss:20b")
    mac.run("truncate", "-s", "-1", path)
    try:
        yield
    finally:
        mac.run("truncate", "-s", "+1", path)


@contextlib.contextmanager
def _pulled_by_root(mac: Mac) -> Iterator[None]:
    path = _blob(mac, "gpt-oss:20b")
    mac.run("sh", "-c", f"chown root {path} && chmod 0600 {path}", user="root")
    try:
        yield
    finally:
        mac.run("sh", "-c", f"chown felipe {path} && chmod 0644 {path}", user="root")


@contextlib.contextmanager
def _garbled(mac: Mac) -> Iterator[None]:
    """Turn the first bytes of the resident's weights around: no size tells, and no load succeeds."""
    path = _blob(mac, RESIDENT)
    _unloaded(mac)
    mac.run("sh", "-c", f"head -c 4 {path} > {path}.kept && printf XXXX | dd of={path} conv=notrunc status=none")
    try:
        yield
    finally:
        mac.run("sh", "-c", f"dd if={path}.kept of={path} conv=notrunc status=none && rm {path}.kept")
        serving(mac)


@contextlib.contextmanager
def _too_large(mac: Mac) -> Iterator[None]:
    with switch("swap-used-mb", "9000")(mac):
        mac.api("POST", "/api/generate", {"model": "gpt-oss:20b"})
        yield
        mac.api("POST", "/api/generate", {"model": "gpt-oss:20b", "keep_alive": 0})
    serving(mac)


# Who reaches it. ----------------------------------------------------------------------------------------------------------


def _no_rule(mac: Mac) -> None:
    mac.run(SOCKETFILTERFW, "--remove", mac.program(), user="root")


def _rule(mac: Mac) -> None:
    mac.run(SOCKETFILTERFW, "--add", mac.program(), user="root")
    mac.run(SOCKETFILTERFW, "--unblockapp", mac.program(), user="root")


ELSEWHERE = "/sbin/pfctl -a com.apple/050.elsewhere"
EXPOSURE = "ollama-fleet.exposure"


def _elsewhere(mac: Mac) -> None:
    """Load rules of somebody else, who keeps LAN and tailnet out and the Mac itself not."""
    rules = "".join(
        f"block in quick proto tcp from {network} to any port 11434\n"
        for network in ("192.168.1.0/24", "fd00:1::/64", "100.64.0.0/10", "fe80::/10")
    )
    mac.fleet.lab("exec", mac.name, "--user", "root", "--", *ELSEWHERE.split(), "-f", "-", text=rules)


def _unguarded(mac: Mac) -> None:
    mac.run("/bin/launchctl", "bootout", f"system/{EXPOSURE}", user="root")
    mac.run("/sbin/pfctl", "-a", "com.apple/100.ollama-fleet", "-F", "all", user="root")


def _guarded(mac: Mac) -> None:
    mac.run("/bin/launchctl", "bootstrap", "system", f"/Library/LaunchDaemons/{EXPOSURE}.plist", user="root")
    asked = ("/sbin/pfctl", "-a", "com.apple/100.ollama-fleet", "-sr")
    mac.wait(lambda: "11434" in mac.run(*asked, user="root", check=False))


def _heal_back(mac: Mac) -> None:
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", f"{AGENTS}/{mac.label}.heal.plist")


FAULTS = (
    # What the owner's troubleshooting names comes first: the first rounds are looked at at each change.
    Fault("another job has the port", by_hand(_squat, _unsquat), ("port.held_by_other",),
          words=(SQUATTER, "launchctl bootout gui/501/com.example.squatter", "http.server")),
    Fault("the firewall has no rule", by_hand(_no_rule, _rule), ("reach.firewall_blocks",), words=("no rule",)),
    Fault("the service ends at once", _exits, ("service.crash_loop",)),
    Fault("a model is gone", quiet(by_hand(
        lambda mac: mac.api("DELETE", "/api/delete", {"model": "gpt-oss:20b"}),
        lambda mac: mac.api("POST", "/api/pull", {"model": "gpt-oss:20b", "stream": False}))), ("model.not_installed",)),
    Fault("a model is too large", quiet(_too_large), ("model.does_not_fit",), host="mac-mini", words=("gpt-oss:20b",)),
    Fault("it is bound to itself alone", by_hand(_bound_to_itself, _reload), ("server.wrong_bind",), words=("127.0.0.1",)),
    Fault("the server is silent", quiet(switch("ollama-hang")), ("server.hangs",)),
    Fault("there is no llama-server", by_hand(shell(f"mv {RUNNER} {RUNNER}.aside"), shell(f"mv {RUNNER}.aside {RUNNER}")),
          ("runner.missing",)),
    # The others.
    Fault("a program of root has the port", _taken(BY_ROOT, "root"), ("port.held_by_other",),
          words=("sudo lsof", "another user")),
    Fault("Ollama.app has the port", _app_takes_port, ("port.held_by_app",), words=("quit Ollama.app",)),
    Fault("Ollama.app is installed", switch("ollama-app"), ("app.installed",)),
    Fault("booted out", by_hand(lambda mac: mac.boot_out(), bootstrapped), ("service.not_loaded",)),
    Fault("switched off", by_hand(_off, _on), ("service.disabled",)),
    Fault("a file that everybody may write", by_hand(_bad_file, _good_file), ("service.bad_definition",), words=("0666",)),
    Fault("the program is gone", by_hand(_no_program, _program, then=_reload), ("service.program_missing",)),
    Fault("nobody is logged in", _logged_out, ("service.nobody_logged_in",)),
    Fault("in another domain", by_hand(_in_user_domain, _back_in_gui, then=serving), ("service.wrong_domain",)),
    Fault("an older label beside it", by_hand(_rival, _no_rival), ("service.rival",)),
    Fault("another definition in memory", by_hand(_other_setting, _reload), ("service.stale_definition",),
          words=("OLLAMA_NUM_PARALLEL",)),
    Fault("loaded and not started", _idle, ("service.not_running",)),
    Fault("it has only just been started", quiet(_slow_start), ("server.starting",)),
    Fault("a variable in the session", by_hand(
        _session("setenv", "OLLAMA_NUM_PARALLEL", "2"), _session("unsetenv", "OLLAMA_NUM_PARALLEL")),
        ("server.foreign_environment",)),
    Fault("a log of somebody else", by_hand(_foreign_log, shell(f"rm {LOG}", "root"), then=_reload), ("log.unwritable",)),
    Fault("a log that nobody rotated", by_hand(shell(f"truncate -s 30M {LOG}"), shell(f"truncate -s 0 {LOG}")), ("log.growing",)),
    Fault("upgraded and not restarted", by_hand(_other_keg, _one_keg), ("server.stale_binary",), words=("0.32.16",)),
    Fault("nothing can be loaded", quiet(_no_load), ("runner.missing",), words=("llama-server binary not found",)),
    Fault("a runner was killed", by_hand(
        shell(f"echo time=$(date -u +%FT%T.000Z) {KILLED} >> {LOG}"),
        shell(f"truncate -s 0 {LOG}")), ("runner.killed",)),
    Fault("the resident is not in memory", quiet(by_hand(_unloaded, serving)), ("model.not_loaded",)),
    Fault("the resident is about to leave", quiet(by_hand(
        lambda mac: mac.api("POST", "/api/generate", {"model": RESIDENT, "keep_alive": "5m"}), serving)), ("model.not_pinned",)),
    Fault("a file of a model is short", _cut_short, ("model.corrupt",), words=("gpt-oss:20b",)),
    Fault("the weights are garbled", quiet(_garbled), ("unexplained.completion",)),
    Fault("swap is high", quiet(switch("swap-used-mb", "9000")), ("memory.swap",), host="mac-mini"),
    Fault("memory pressure", quiet(switch("memory-pressure", "2")), ("memory.pressure",)),
    Fault("the disk is full", switch("disk-full", "50000000"), ("disk.full",)),
    Fault("a job is booted out", by_hand(lambda mac: mac.boot_out(f"{mac.target}.heal"), _heal_back), ("jobs.silent",)),
    Fault("no registry", switch("offline"), ("registry.unreachable",)),
    Fault("the packet filter is empty", by_hand(_unguarded, _guarded), ("exposure.not_enforced",)),
    Fault("somebody else's rule is in the way", by_hand(_elsewhere, shell(f"{ELSEWHERE} -F all", "root")), ("unexplained.reach",),
          words=("pfctl",)),
    Fault("Tailscale is stopped", switch("tailscale-stopped"), ("reach.tailnet_down",)),
    Fault("the tailnet is lost", switch("tailnet-down"), ("reach.tailnet_down",)),
    Fault("the cable is pulled", switch("lan-down"), ("reach.lan_down",)),
    Fault("ssh is silent", switch("unreachable"), ("host.unreachable",), host="mac-mini"),
    Fault("no tools", switch("no-clt"), ("host.no_tools",)),
    Fault("launchd tells nothing", switch("print-denied"), ("host.unread",)),
    Fault("a pull of root in the store", quiet(_pulled_by_root), ("model.store_closed",),
          words=(f"sudo chown -R felipe {STORE}", "belongs to root")),
    Fault("the store is closed", quiet(by_hand(shell(f"chmod 000 {STORE}"), shell(f"chmod 755 {STORE}"))),
          ("model.store_closed",), words=(f"chmod -R u+rwX {STORE}",)),
    Fault("the log was taken away", by_hand(shell(f"rm {LOG}"), _reload), ("log.missing",), words=("restart.yml",)),
    Fault("it grinds", quiet(by_hand(shell(GRIND, "root"), shell(UNGRIND, "root"))), ("host.slow",),
          words=("osascript", "sw_vers")),
)  # fmt: skip


def pairs() -> list[tuple[Fault, ...]]:
    """Put two faults into one run, one on each Mac: what one has must not touch what is said of the other."""
    rest, together = list(FAULTS), []
    while rest:
        first = rest.pop(0)
        second = next((one for one in rest if not (first.host and one.host)), None)
        if second is None:
            together.append((first,))
            continue
        rest.remove(second)
        together.append((second, first) if second.host == "mac-mini" else (first, second))
    return together
