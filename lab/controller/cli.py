"""The verbs of lab/lab: what a person types, one clear line back for each."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from controller import client, enter, packages
from controller.state import LAB_FOLDER, Folder, LabError, lab_name, one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.hosts import Host

    Act = Callable[[argparse.Namespace, Folder], int]

# The modules for `up`, `fault` and `status` are imported where they are used: `proxy` and `exec` run once per
# connection or command, and must start fast.

_NOWHERE = "nowhere"  # in the place of a host: an address that nobody in the lab has

_EPILOG = """\
HOST is mac-mini, macbook-pro, windows-msi, outsider, or mac-03 ... of `up --macs N`. Two labs at once: --name or LAB_NAME.
Ansible reaches the lab with `-i inventory -i lab/inventory`."""


def say(line: str) -> None:
    """Print one line at once."""
    print(line, flush=True)


def with_root(arguments: list[str]) -> None:
    """Go on as root: namespaces need it."""
    if os.geteuid() == 0:
        return
    if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode != 0:
        raise LabError("The lab builds namespaces and needs root: run it with sudo, or let sudo work without a password.")
    kept = [f"{name}={os.environ[name]}" for name in ("LAB_NAME", "PYENV_ROOT", "TERM") if name in os.environ]
    os.execvp("sudo", ["sudo", "-n", "env", *kept, sys.executable, str(LAB_FOLDER / "lab"), *arguments])


def owner() -> tuple[int, int]:
    """Give who may use the lab's ssh key: the person behind sudo."""
    return int(os.environ.get("SUDO_UID", os.getuid())), int(os.environ.get("SUDO_GID", os.getgid()))


def up(args: argparse.Namespace, folder: Folder) -> int:
    """Start the lab."""
    from controller.hosts import MACOS, fleet
    from controller.keeper import Order
    from controller.start import start

    packages.ensure(say)
    try:
        everyone = [host.name for host in fleet(args.macs)]
    except ValueError as error:
        raise LabError(str(error)) from error
    only = tuple(args.only.split(",")) if args.only else ()
    unknown = [name for name in only if name not in everyone]
    if unknown:
        raise LabError(f"No host is called {', '.join(unknown)}: choose from {', '.join(everyone)}.")
    if args.macos not in MACOS:
        raise LabError(f"macOS {args.macos} is not known here: choose from {', '.join(map(str, MACOS))}.")
    payload = str(Path(args.ollama).resolve()) if args.ollama else ""
    if payload and not (Path(payload) / "ollama").is_file():
        raise LabError(f"{payload} holds no program `ollama`: unpack a release of Ollama there.")
    with one_at_a_time():
        folder.remove_if_stale()
        record = folder.running()
        if record is not None:
            say(f"Lab {folder.name} is up already: {', '.join(record.hosts)}.")
            return 0
        begun = time.monotonic()
        end_with = -1 if args.end_with is None else os.pidfd_open(args.end_with)
        order = Order(folder.name, args.macs, only, args.macos, payload, owner(), end_with)
        hosts = tuple(host.name for host in order.hosts)
        try:
            start(folder, order, hosts, say)
        except BaseException:
            client.end(folder)
            raise
    say(f"Lab {folder.name} is up: {len(hosts)} hosts in {time.monotonic() - begun:.1f} s.")
    return 0


def down(_args: argparse.Namespace, folder: Folder) -> int:
    """End the lab."""
    with one_at_a_time():
        ended = client.end(folder)
    say(f"Lab {folder.name} is down; nothing of it is left." if ended else f"Lab {folder.name} was not running.")
    return 0


def status(args: argparse.Namespace, folder: Folder) -> int:
    """Show the hosts."""
    if folder.remove_if_stale():
        print(f"Lab {folder.name} had ended without `down`; its leftovers are removed.", file=sys.stderr)
    if folder.running() is None:
        if args.json:
            say(json.dumps({"name": folder.name, "running": False, "hosts": []}, sort_keys=True))
        else:
            say(f"Lab {folder.name} is not running: start it with `lab/lab up`.")
        return 0 if args.json else 1
    values = client.ask(folder, "status").values
    if args.json:
        say(json.dumps({"name": folder.name, "running": True, **values}, indent=1, sort_keys=True))
        return 0
    say(f"Lab {folder.name}; the registry {'is running' if values['registry'] else 'HAS ENDED (see `lab/lab logs registry`)'}.")
    rows = [("HOST", "STATE", "UP", "CONSOLE", "LAN", "TAILNET", "FAULTS")]
    for host in values["hosts"]:
        seconds = "-" if host["up_seconds"] is None else f"{host['up_seconds']:.0f} s"
        set_faults = ", ".join(sorted(host["faults"])) or "-"
        screen = host["console_user"] or ("login window" if host["mac"] else "-")
        rows.append((host["name"], host["state"], seconds, screen, host["lan"], host["tailnet"] or "-", set_faults))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return 0


def go_inside(folder: Folder, host: str, action: Callable[[], int]) -> int:
    """Do something inside a host."""
    return enter.become(client.ask(folder, "enter", host=host).descriptor, action)


def exec_(args: argparse.Namespace, folder: Folder) -> int:
    """Run a command in a host."""
    reply = client.ask(folder, "enter", host=args.host)
    user = args.user or reply.values["user"]
    environment = {"VIRTUAL_MAC_SESSION": args.session} if args.session else {}
    command = enter.Command(args.command, user, touch=user, environment=environment)
    return enter.become(reply.descriptor, lambda: enter.execute(command))


def hosts_of(folder: Folder) -> tuple[Host, ...]:
    """List the hosts of a running lab, as planned."""
    from controller.hosts import fleet

    return fleet(folder.require().extra_macs)


def proxy(args: argparse.Namespace, folder: Folder) -> int:
    """Be an ssh server for one connection, on stdin and stdout, inside a host."""
    if args.host == _NOWHERE:
        return enter.turn_away(f"ssh: Could not resolve hostname {args.address}: nodename nor servname provided, or not known")
    reply = client.ask(folder, "enter", host=args.host, by_ssh=True)
    if reply.values.get("asleep"):
        return enter.turn_away("silence")
    asked, network = args.address or args.host, ""
    if args.address:
        network = next((host.network_of(asked) for host in hosts_of(folder) if host.name == args.host), "")
    user = args.user or reply.values["user"]
    sshd = ["/usr/sbin/sshd", "-i", "-f", "/etc/ssh/sshd_config", "-E", "/var/db/virtual-mac/sshd.log"]
    command = enter.Command(sshd, touch=user, asked=asked, network=network)
    return enter.become(reply.descriptor, lambda: enter.execute(command))


def ssh(args: argparse.Namespace, folder: Folder) -> int:
    """Log in to a host as its user."""
    folder.require()
    os.execvp("ssh", ["ssh", "-F", str(folder.ssh_config), args.host, *args.command])
    return 0


def reboot(args: argparse.Namespace, folder: Folder) -> int:
    """Turn a host off and on."""
    begun = time.monotonic()
    reply = client.ask(folder, "reboot", host=args.host, login=args.login)
    user, mac = reply.values["user"], reply.values["mac"]
    screen = "" if not mac else f"; {user} is logged in" if args.login else "; nobody is logged in at its console"
    say(f"{args.host} is up again after {time.monotonic() - begun:.1f} s{screen}.")
    return 0


def require_mac(folder: Folder, host: str) -> client.Reply:
    """Ask for the way into a Mac."""
    reply = client.ask(folder, "enter", host=host)
    if not reply.values["mac"]:
        raise LabError(f"{host} is no Mac and has no login window.")
    return reply


def login(args: argparse.Namespace, folder: Folder) -> int:
    """Log the Mac's user in at its console."""
    reply = require_mac(folder, args.host)
    user = reply.values["user"]
    code = enter.become(reply.descriptor, lambda: enter.console("login", user))
    if code == 0:
        say(f"{user} is logged in at the console of {args.host}.")
    return code


def logout(args: argparse.Namespace, folder: Folder) -> int:
    """Log the Mac's user out."""
    reply = require_mac(folder, args.host)
    user = reply.values["user"]
    code = enter.become(reply.descriptor, lambda: enter.console("logout", user))
    if code == 0:
        say(f"{user} is logged out; {args.host} shows its login window.")
    return code


def reset(args: argparse.Namespace, folder: Folder) -> int:
    """Give a host an empty disk."""
    client.ask(folder, "reset", host=args.host)
    say(f"{args.host} is as on its first day; its ssh key stays.")
    return 0


def sleep(args: argparse.Namespace, folder: Folder) -> int:
    """Put a host to sleep."""
    client.ask(folder, "sleep", host=args.host)
    say(f"{args.host} sleeps: it answers nobody until `lab/lab wake {args.host}`.")
    return 0


def wake(args: argparse.Namespace, folder: Folder) -> int:
    """Wake a host."""
    client.ask(folder, "wake", host=args.host)
    say(f"{args.host} is awake.")
    return 0


def list_faults() -> int:
    """Print every fault there is."""
    from controller import faults

    for part, known in faults.catalogue().items():
        say(f"{part}:")
        for name, text in sorted(known.items()):
            say(f"  {name:28} {text}")
    return 0


def fault(args: argparse.Namespace, folder: Folder) -> int:
    """Switch a fault."""
    if args.list:
        return list_faults()
    from controller import faults, network

    value = faults.parse_value(args.value)
    if args.host == faults.REGISTRY:
        faults.check(args.name_, args.host, mac=False)
        record = folder.require()
        file = folder.mount_point / "registry/state/faults.json"
        # The registry's folder is in the keeper's mounts; its faults are read afresh on every use.
        code = enter.become(os.pidfd_open(record.pid), lambda: faults.switch_registry(file, args.name_, value))
    else:
        reply = client.ask(folder, "enter", host=args.host)
        faults.check(args.name_, args.host, mac=reply.values["mac"])
        free = faults.free_bytes(value)
        if args.name_ == "disk-full":
            client.ask(folder, "disk", host=args.host, free=None)  # the fault itself is noted on that disk
        code = enter.become(reply.descriptor, lambda: faults.switch_inside(args.name_, value))
        if args.name_ == "disk-full" and free is not None:
            client.ask(folder, "disk", host=args.host, free=free)
        if args.name_ in network.FAULTS:
            client.ask(folder, "cable", host=args.host, network=network.FAULTS[args.name_], up=value is False)
        if args.name_ == "offline":
            client.ask(folder, "line", host=args.host, up=value is False)
    if code == 0:
        say(f"{args.host}: {args.name_} is {'off' if value is False else 'on' if value is True else json.dumps(value)}.")
    return code


def logs(args: argparse.Namespace, folder: Folder) -> int:
    """Print what a host's first process and its sshd said."""
    record = folder.require()
    if args.host not in (*record.hosts, "registry", "keeper"):
        raise LabError(f"There is no log of {args.host}: choose from {', '.join(record.hosts)}, registry, keeper.")
    memory = folder.mount_point
    places = [
        memory / "logs" / f"{args.host}.log",
        memory / "disks" / args.host / "upper/private/var/db/virtual-mac/sshd.log",
        memory / "disks" / args.host / "upper/private/var/log/system.log",
        memory / "disks" / args.host / "upper/var/db/virtual-mac/sshd.log",
    ]

    def show() -> int:
        for place in places:
            if place.exists():
                say(f"==> {place.name} <==")
                say(place.read_text(encoding="utf-8", errors="replace").rstrip())
        return 0

    return enter.become(os.pidfd_open(record.pid), show)


def install_packages(args: argparse.Namespace, _folder: Folder) -> int:
    """Install the programs the lab is made of."""
    installed = packages.ensure(say, tests=args.tests)
    say("The lab's packages are installed now." if installed else "Every package the lab needs is there.")
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the verbs."""
    top = argparse.ArgumentParser(
        prog="lab/lab",
        description="Virtual Macs in private Linux namespaces: up in seconds, gone without a trace.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--name", help="which lab; default: LAB_NAME, else one per checkout")
    verbs = top.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, act: Act, *, host: bool = True) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        one.set_defaults(act=act)
        # --name is taken after the verb as well; SUPPRESS keeps it from undoing the one before.
        one.add_argument("--name", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if host:
            one.add_argument("host", metavar="HOST")
        return one

    one = verb("up", "start the lab, and log the Macs' user in", up, host=False)
    one.add_argument("--macs", type=int, default=0, metavar="N", help="so many further Macs: mac-03, mac-04, ...")
    one.add_argument("--only", metavar="HOST,...", help="start these hosts alone")
    one.add_argument("--macos", type=int, default=15, metavar="MAJOR", help="14, 15 (default) or 26")
    one.add_argument("--ollama", metavar="FOLDER", help="install this real Ollama for Linux instead of the stand-in")
    one.add_argument("--end-with", type=int, metavar="PID", help="end the lab when this process ends")
    verb("down", "end the lab and everything in it", down, host=False)
    one = verb("status", "show the hosts", status, host=False)
    one.add_argument("--json", action="store_true", help="for programs")
    one = verb("exec", "run a command in a host", exec_)
    one.add_argument("--user", help="default: the host's own; root works without a password")
    one.add_argument("--session", choices=["Aqua", "Background"], help="which launchd session the command is in")
    one.add_argument("command", nargs="*", metavar="-- CMD")
    one = verb("ssh", "log in to a host, or run a command there, by ssh", ssh)
    one.add_argument("command", nargs="*", metavar="-- CMD")
    one = verb("proxy", "be the ssh server of a host on stdin and stdout (for ssh's ProxyCommand)", proxy)
    one.add_argument("--user", help="who logs in")
    one.add_argument("--address", default="", help="the name or address that ssh was given; it answers as its network does")
    one = verb("reboot", "turn a host off and on; its disk stays, /tmp does not", reboot)
    one.add_argument("--login", action="store_true", help="log its user in afterwards")
    verb("login", "log a Mac's user in at its console", login)
    verb("logout", "log a Mac's user out", logout)
    verb("reset", "give a host an empty disk", reset)
    one = verb("fault", "make something go wrong in a host, or in the registry", fault, host=False)
    one.add_argument("--list", action="store_true", help="name every fault")
    one.add_argument("host", nargs="?", metavar="HOST")
    one.add_argument("name_", nargs="?", metavar="NAME")
    one.add_argument("value", nargs="?", metavar="on|off|JSON")
    verb("sleep", "stop a host's processes and network", sleep)
    verb("wake", "let a sleeping host go on", wake)
    verb("logs", "print a host's log (also: registry, keeper)", logs)
    one = verb("packages", "install the system packages the lab needs, and nothing else", install_packages, host=False)
    one.add_argument("--tests", action="store_true", help="those of the project's tests too: a browser")
    return top


def main(arguments: list[str]) -> int:
    """Run one verb. 0: done; 1: a sentence says why not; 2: not a command."""
    # What follows `--` is the host's business: argparse must not look for options in it.
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    asked = parser()
    args = asked.parse_args(arguments[:cut])
    if cut < len(arguments):
        args.command = arguments[cut + 1 :]
    if args.act is exec_ and not args.command:
        asked.error("exec needs a command: lab/lab exec HOST -- CMD...")
    if args.act is fault and not args.list and args.value is None:
        asked.error("fault needs HOST NAME on|off|JSON, or --list")
    try:
        with_root(arguments)
        code: int = args.act(args, Folder(lab_name(args.name)))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away (`| head -1`); what remains must not be flushed at exit. 141 = 128 + SIGPIPE.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code
