"""Who may log in to a host: the texts of passwd, shadow, group and sudoers."""

from __future__ import annotations

from pathlib import Path

from controller.hosts import Host

PASSWORD = "felipe"  # noqa: S105  the lab's own; it opens nothing outside of it
# `openssl passwd -6 -salt virtualmac felipe`: fixed, so that making a host starts no program for it.
_HASH = "$6$virtualmac$cBnT8HK4p0516XZTFriCuI/.ItblD0RsErSem0VMqjzAm8hfaRvwy4EAcGpx1hYd4qhuRd89DG8fi4VFy2kPR0"

ADMIN = 80  # the group of people who may administer a Mac; Homebrew's folders are its

# Numbers as `dscl . -list` gives them on macOS 15; nobody is -2 there, which Linux writes unsigned.
_MAC_ACCOUNTS = (
    ("root", 0, 0, "/var/root", "/bin/sh"),
    ("daemon", 1, 1, "/var/root", "/usr/bin/false"),
    ("nobody", 4294967294, 4294967294, "/var/empty", "/usr/bin/false"),
)
_MAC_GROUPS = (
    ("wheel", 0, "root"), ("daemon", 1, "root"), ("kmem", 2, "root"), ("sys", 3, "root"), ("tty", 4, "root"),
    ("operator", 5, "root"), ("mail", 6, ""), ("bin", 7, ""), ("everyone", 12, ""), ("staff", 20, "root"),
    ("admin", ADMIN, "root,{user}"), ("_developer", 204, ""), ("com.apple.access_ssh", 399, "{user}"),
    ("nobody", 4294967294, ""),
)  # fmt: skip
_LINUX_ACCOUNTS = (
    ("root", 0, 0, "/root", "/bin/bash"),
    ("daemon", 1, 1, "/usr/sbin", "/usr/sbin/nologin"),
    ("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin"),
)
_LINUX_GROUPS = (
    ("root", 0, ""), ("daemon", 1, ""), ("tty", 5, ""), ("sudo", 27, "{user}"), ("shadow", 42, ""),
    ("utmp", 43, ""), ("nogroup", 65534, ""),
)  # fmt: skip
# sshd separates its privileges into this user; on a Mac it is called _sshd, but Debian's sshd asks for `sshd`.
_SSHD = ("sshd", 75, 75, "/var/empty", "/usr/bin/false")

# macOS 15's /etc/sudoers, shortened: no secure_path, so PATH stays the caller's, and HOME is kept.
_MAC_SUDOERS = """\
Defaults env_reset
Defaults env_keep += "BLOCKSIZE COLORFGBG COLORTERM __CF_USER_TEXT_ENCODING CHARSET LANG LANGUAGE"
Defaults env_keep += "LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LC_MONETARY LC_NUMERIC LC_TIME LINES COLUMNS"
Defaults env_keep += "LSCOLORS SSH_AUTH_SOCK TZ EDITOR VISUAL HOME MAIL"
Defaults lecture = never
Defaults !syslog
root ALL = (ALL) ALL
%admin ALL = (ALL) ALL
@includedir /private/etc/sudoers.d
"""
_LINUX_SUDOERS = """\
Defaults env_reset
Defaults secure_path = /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Defaults lecture = never
Defaults !syslog
root ALL = (ALL:ALL) ALL
%sudo ALL = (ALL:ALL) ALL
"""


def shell(host: Host) -> str:
    """Give the login shell: zsh where this system has one, as on every Mac since 10.15."""
    return "/bin/zsh" if host.is_mac and Path("/bin/zsh").exists() else "/bin/bash"


def passwd(host: Host) -> str:
    """Write /etc/passwd."""
    system = _MAC_ACCOUNTS if host.is_mac else _LINUX_ACCOUNTS
    rows = [*system, _SSHD, (host.user, host.uid, host.gid, host.home, shell(host))]
    return "".join(f"{name}:x:{uid}:{gid}:{name}:{home}:{program}\n" for name, uid, gid, home, program in rows)


def shadow(host: Host) -> str:
    """Write /etc/shadow. `*` is no password but no lock either: sshd refuses a `!`, also with a key."""
    system = [name for name, *_ in (*(_MAC_ACCOUNTS if host.is_mac else _LINUX_ACCOUNTS), _SSHD)]
    own = _HASH if host.in_fleet else "*"
    return "".join(f"{name}:{'*' if name != host.user else own}:20000:0:99999:7:::\n" for name in (*system, host.user))


def group(host: Host) -> str:
    """Write /etc/group."""
    rows = _MAC_GROUPS if host.is_mac else _LINUX_GROUPS
    members = host.user if host.in_fleet else ""
    lines = [f"{name}:x:{gid}:{text.format(user=members)}\n" for name, gid, text in (*rows, ("sshd", 75, ""))]
    return "".join(lines) + ("" if host.is_mac else f"{host.user}:x:{host.gid}:\n")


def sudoers(host: Host) -> str:
    """Write /etc/sudoers."""
    return _MAC_SUDOERS if host.is_mac else _LINUX_SUDOERS
