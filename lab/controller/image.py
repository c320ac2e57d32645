"""What a host's disk holds: a layer all Macs (or all Linux hosts) share, and above it what is one host's own.

Below both lies the running system's `/`, of which only the program folders show; its homes, its /etc, its /var
and whatever else it holds are covered. That keeps the host's secrets out and makes a Mac's tree a Mac's.
"""

from __future__ import annotations

import os
import plistlib
import stat
from dataclasses import dataclass
from pathlib import Path

from mac.entry import COMMANDS, SYSTEM_JOBS, system_job

from controller import accounts
from controller.hosts import Host, etc_hosts
from controller.interpreter import Interpreter
from controller.tree import Tree

LENT = "/opt/virtual-mac"
LIBRARY = f"{LENT}/lib"
PREFIX = f"{LENT}/pyprefix"
APPLE_PREFIX = f"{LENT}/apple-python"
PAYLOAD = f"{LENT}/ollama-payload"
PYTHON = f"{LENT}/python"
VIRTUAL = "/var/db/virtual-mac"
DEVELOPER_TOOLS = "/Library/Developer/CommandLineTools"
HOMEBREW = "/opt/homebrew"
MAC_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
LINUX_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SHARED_WITH_SYSTEM = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr"}
# What programs of the running system need of its /etc; everything else there is its own business.
_ETC_BORROWED = (
    "alternatives", "gai.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "magic", "mime.types",
    "protocols", "security", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "xattr.conf",
)  # fmt: skip
_PAM = {
    "other": "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
    "sudo": "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n",
    "su": "auth sufficient pam_rootok.so\nauth required pam_unix.so\naccount required pam_unix.so\n"
    "session required pam_permit.so\n",
}
# Programs that tell a Mac from a Linux, or that Ansible would take for the Mac's own Python. The last two are
# a real Ollama of the running system and zsh's questionnaire for people without a .zshrc, which macOS has not.
_NOT_ON_A_MAC = (
    "usr/bin/python*", "usr/bin/pip*", "usr/bin/systemctl", "usr/bin/journalctl", "usr/bin/loginctl",
    "usr/bin/apt*", "usr/bin/dpkg*", "usr/bin/snap", "usr/bin/docker", "usr/bin/podman", "usr/sbin/service",
    "usr/sbin/update-rc.d", "usr/sbin/ufw", "usr/bin/ollama", "usr/share/zsh/functions/Newuser",
)  # fmt: skip

# macOS 15's body (pf.conf(5): the order of the statement kinds matters, and the last line must end).
_PF_CONF = """\
#
# Default PF configuration file.
#
scrub-anchor "com.apple/*"
nat-anchor "com.apple/*"
rdr-anchor "com.apple/*"
dummynet-anchor "com.apple/*"
anchor "com.apple/*"
load anchor "com.apple" from "/etc/pf.anchors/com.apple"
"""
_PF_ANCHOR = """\
#
# com.apple ruleset, referred to by the default /etc/pf.conf file.
#
anchor "200.AirDrop/*"
anchor "250.ApplicationFirewall/*"
"""
_PYTHON3 = f"""\
#!/bin/sh
# Apple's python3 is a door to the developer tools; without them it only asks for their installation.
tool={DEVELOPER_TOOLS}/usr/bin/python3
if [ -x "$tool" ]; then exec "$tool" "$@"; fi
cat >&2 <<'END'
xcode-select: note: No developer tools were found, requesting install.
If developer tools are located at a non-default location on disk, use `sudo xcode-select --switch path/to/Xcode.app` \
to specify the Xcode that you wish to use for command line developer tools, and cancel the installation dialog.
See `man xcode-select` for more details.
END
exit 1
"""
# path_helper(8): the lines of /etc/paths and /etc/paths.d in order, then what PATH holds beyond them.
_PATH_HELPER = """\
#!/bin/sh
wanted=$(cat /etc/paths /etc/paths.d/* 2>/dev/null)
path=
IFS='
:'
for folder in $wanted $PATH; do
    case ":$path:" in *":$folder:"*) ;; *) path="${path:+$path:}$folder" ;; esac
done
printf 'PATH="%s"; export PATH;\\n' "$path"
"""
_USE_PATH_HELPER = "if [ -x /usr/libexec/path_helper ]; then\n\teval `/usr/libexec/path_helper -s`\nfi\n"
_PATHS = "/usr/local/bin\n/System/Cryptexes/App/usr/bin\n/usr/bin\n/bin\n/usr/sbin\n/sbin\n"
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n"

# No PAM: a session then takes its PATH from SetEnv. The value is macOS' for commands over ssh.
_SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AuthorizedKeysFile .ssh/authorized_keys
AcceptEnv LANG LC_*
SetEnv PATH={path}
UseDNS no
PrintMotd no
PidFile none
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Lent:
    """What the lab binds into every host from outside its disk."""

    library: Path
    stand_ins: Interpreter
    apple: Interpreter
    payload: Path | None  # a folder with a real Ollama, to be put in the stand-in's place


@dataclass(frozen=True)
class Keys:
    """The ssh keys of one host, and the one key that opens it."""

    private: str
    public: str
    authorized: str


def shim(name: str) -> str:
    """Give the file that stands at a Mac command's true path."""
    return f'#!/bin/sh\nexec {PYTHON} {LIBRARY}/mac/entry.py {name} "$@"\n'


def _cover(tree: Tree) -> None:
    """Hide every folder of the running system's root that holds no programs."""
    for entry in sorted(os.listdir("/")):  # noqa: PTH208  names are wanted, not paths
        if entry not in _SHARED_WITH_SYSTEM and not tree.at(entry).is_symlink():
            if tree.at(entry).exists():
                tree.folder(f"/{entry}", stat.S_IMODE(tree.at(entry).stat().st_mode), alone=True)
            else:
                tree.hide(f"/{entry}")


def _resolved(path: str) -> str:
    """Follow the running system's links (/bin is usr/bin on today's Linux): a layer must not replace them."""
    parent, name = path.rsplit("/", 1)
    return os.path.realpath(parent or "/") + "/" + name


def same_name_elsewhere(path: str) -> list[str]:
    """List the running system's programs of a Mac command's name: they would come first on the PATH."""
    place = _resolved(path)
    others = {_resolved(f"{folder}/{path.rsplit('/', 1)[1]}") for folder in MAC_PATH.split(":")}
    return sorted(other for other in others - {place} if os.path.lexists(other))


def _lend(tree: Tree, lent: Lent) -> None:
    for folder in (LIBRARY, PREFIX, APPLE_PREFIX, PAYLOAD):
        tree.folder(folder)
    program = f"{PREFIX}/{lent.stand_ins.program}"
    tree.file(PYTHON, f'#!/bin/sh\nexec {program} -I -S -B "$@"\n', 0o755)
    for interpreter, prefix in ((lent.stand_ins, PREFIX), (lent.apple, APPLE_PREFIX)):
        library = interpreter.shared_library
        if not library:
            continue
        # The distribution's own copy lies in a folder that the loader searches first, and is another build.
        places = [f"/usr/lib/{library}", *(str(copy) for copy in Path("/usr/lib").glob(f"*-linux-gnu*/{library}"))]
        for place in places:
            if not tree.at(place).is_symlink():
                tree.link(place, f"{prefix}/lib/{library}")


def _etc(tree: Tree, etc: str, authority: str) -> None:
    for name in _ETC_BORROWED:
        tree.copy(Path("/etc") / name, f"{etc}/{name}")
    for name, text in _PAM.items():
        tree.file(f"{etc}/pam.d/{name}", text)
    tree.file(f"{etc}/nsswitch.conf", _NSSWITCH)
    tree.file(f"{etc}/resolv.conf", "# No name server: the lab's names are in /etc/hosts.\n")
    tree.file(f"{etc}/shells", "/bin/bash\n/bin/sh\n/bin/zsh\n")
    tree.folder(f"{etc}/ssl/certs")
    with tree.at(f"{etc}/ssl/certs/ca-certificates.crt").open("a", encoding="utf-8") as bundle:
        bundle.write(authority)
    tree.link(f"{etc}/ssl/cert.pem", "certs/ca-certificates.crt")


def write_mac_image(tree: Tree, lent: Lent, authority: str) -> None:
    """Write what all Macs share."""
    for link in ("etc", "var", "tmp"):
        tree.link(f"/{link}", f"private/{link}")
    tree.link("/run", "private/var/run")  # sshd and sudo keep their files there; on a Mac there is no /run
    tree.folder("/private")
    _etc(tree, "/private/etc", authority)
    for name in ("profile", "zprofile"):
        tree.file(f"/private/etc/{name}", _USE_PATH_HELPER)
    tree.file("/private/etc/zshrc", "# System-wide profile for interactive zsh(1) shells.\n")
    for name in ("zshenv", "zprofile", "zshrc"):
        # Debian's zsh looks in /etc/zsh for what Apple's has in /etc.
        tree.file(f"/private/etc/zsh/{name}", f"[ -r /etc/{name} ] && . /etc/{name} || :\n")
    tree.file("/private/etc/paths", _PATHS)
    tree.file("/private/etc/newsyslog.conf", "# logfilename [owner:group] mode count size when flags\n")
    for name in ("paths.d", "newsyslog.d"):
        tree.folder(f"/private/etc/{name}")
    tree.file("/private/etc/pf.conf", _PF_CONF)
    tree.file("/private/etc/pf.anchors/com.apple", _PF_ANCHOR)
    tree.file("/private/etc/manpaths", "/usr/share/man\n/usr/local/share/man\n")
    for folder in ("db", "log", "folders", "mail", "at", "spool", "run", "lib"):
        tree.folder(f"/private/var/{folder}")
    tree.folder("/private/var/root", 0o750)
    tree.folder("/private/var/empty", 0o555)
    tree.folder("/private/var/tmp", 0o1777)
    tree.folder("/private/tmp", 0o1777)
    for folder in ("/dev", "/proc", "/sys", "/cores", "/Volumes", "/Users", "/System/Library/LaunchAgents"):
        tree.folder(folder)
    tree.folder("/usr/local", alone=True)
    tree.folder("/usr/local/bin")
    tree.folder("/Users/Shared", 0o1777)
    for folder in ("/Library", "/Library/LaunchDaemons", "/Library/LaunchAgents", "/Library/Logs"):
        tree.folder(folder)
    tree.folder("/Library/Preferences")
    for folder, mode in (("/Applications", 0o775), ("/Library/Application Support", 0o755)):
        tree.folder(folder, mode, (0, accounts.ADMIN))
    _lend(tree, lent)
    _cover(tree)
    for pattern in _NOT_ON_A_MAC:
        for found in Path("/").glob(pattern):
            tree.hide(str(found))
    for path, name in COMMANDS.items():
        for other in same_name_elsewhere(path):
            tree.hide(other)
        tree.file(_resolved(path), shim(name), 0o755)
    tree.file("/usr/bin/python3", _PYTHON3, 0o755)
    tree.file("/usr/libexec/path_helper", _PATH_HELPER, 0o755)
    for label in SYSTEM_JOBS:
        text = plistlib.dumps(system_job(label)).decode("utf-8")
        tree.file(f"/System/Library/LaunchDaemons/{label}.plist", text)


def write_linux_image(tree: Tree, lent: Lent, authority: str) -> None:
    """Write what all Linux hosts share."""
    _etc(tree, "/etc", authority)
    tree.copy(Path("/etc/os-release").resolve(), "/etc/os-release")
    tree.file("/etc/profile", f"PATH={LINUX_PATH}; export PATH\n")
    tree.link("/var/run", "/run")
    for folder in ("cache", "db", "empty", "lib", "log", "mail", "spool"):
        tree.folder(f"/var/{folder}")
    tree.folder("/var/tmp", 0o1777)  # noqa: S108  a path inside the host
    for folder in ("/dev", "/proc", "/sys", "/run", "/home"):
        tree.folder(folder)
    tree.folder("/root", 0o700)
    tree.folder("/tmp", 0o1777)  # noqa: S108  a path inside the host
    tree.folder("/usr/local", alone=True)
    tree.folder("/usr/local/bin")
    _lend(tree, lent)
    _cover(tree)
    if not Path("/usr/bin/python3").exists():
        tree.link("/usr/bin/python3", f"{PREFIX}/{lent.stand_ins.program}")


def write_own(tree: Tree, host: Host, everyone: tuple[Host, ...], keys: Keys, identity: str, lent: Lent) -> None:
    """Write what is one host's own, as it is on the first boot."""
    private = "/private" if host.is_mac else ""
    etc, virtual = f"{private}/etc", f"{private}{VIRTUAL}"
    owner = (host.uid, host.gid)
    for folder in (etc, f"{etc}/ssh", f"{etc}/sudoers.d"):
        tree.folder(folder)
    tree.file(f"{etc}/hosts", etc_hosts(host, everyone))
    tree.file(f"{etc}/passwd", accounts.passwd(host))
    tree.file(f"{etc}/group", accounts.group(host))
    tree.file(f"{etc}/shadow", accounts.shadow(host), 0o600)
    tree.file(f"{etc}/sudoers", accounts.sudoers(host), 0o440)
    tree.file(f"{etc}/ssh/sshd_config", _SSHD_CONFIG.format(path=MAC_PATH if host.is_mac else LINUX_PATH))
    tree.file(f"{etc}/ssh/ssh_host_ed25519_key", keys.private, 0o600)
    tree.file(f"{etc}/ssh/ssh_host_ed25519_key.pub", keys.public)
    homes = host.home.rsplit("/", 1)[0]
    tree.folder(homes)
    tree.folder(host.home, 0o750, owner)
    tree.folder(f"{host.home}/.ssh", 0o700, owner)
    tree.file(f"{host.home}/.ssh/authorized_keys", keys.authorized, 0o600, owner)
    tree.folder(virtual)
    tree.file(f"{virtual}/faults.json", "{}\n")
    if host.is_mac:
        _write_mac_own(tree, host, virtual, identity)
        tree.link(f"{DEVELOPER_TOOLS}/usr/bin/python3", f"{APPLE_PREFIX}/{lent.apple.program}")


def _write_mac_own(tree: Tree, host: Host, virtual: str, identity: str) -> None:
    owner = (host.uid, host.gid)
    tree.folder(f"{virtual}/state")
    tree.folder(f"{virtual}/journal", 0o1777)
    # What runners and swap take; the user's server and root's commands both write here.
    tree.folder(f"{virtual}/usage", 0o1777)
    tree.file(f"{virtual}/machine.json", identity)
    for name in ("Desktop", "Documents", "Downloads", "Library"):
        tree.folder(f"{host.home}/{name}", 0o700, owner)
    # No LaunchAgents: a fresh account has none until a program makes it.
    for name in ("Application Support", "Caches", "Keychains", "Logs", "Preferences"):
        tree.folder(f"{host.home}/Library/{name}", 0o700, owner)
    tree.folder("/Library")
    tree.folder("/Library/Developer")
    for folder in ("", "/usr", "/usr/bin"):
        tree.folder(DEVELOPER_TOOLS + folder)
