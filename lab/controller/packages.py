"""The programs of the running system that the lab is made of, and how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from controller.state import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

# Program -> Debian's and Ubuntu's package. /usr/sbin is not on everyone's PATH.
NEEDED = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "nft": "nftables",
    "sudo": "sudo",
    # macOS brings these.
    "curl": "curl",
    "zsh": "zsh",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""One of these shows the report in its tests; the first is Debian's."""
_SEARCHED = "/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> list[str]:
    """List the packages whose programs are not there."""
    return sorted({package for program, package in NEEDED.items() if not shutil.which(program, path=_SEARCHED)})


def missing_for_tests() -> list[str]:
    """List what the tests need beside it: a browser, whichever there is."""
    return [] if any(map(shutil.which, BROWSERS)) else [BROWSERS[0]]


def install_line(packages: list[str], *, root: bool) -> list[str]:
    """Give the one command that installs packages on Debian and Ubuntu."""
    become = [] if root else ["sudo", "-n"]
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    return [*become, *quiet, "apt-get", "install", "--yes", "--no-install-recommends", *packages]


def ensure(say: Callable[[str], None], *, tests: bool = False) -> bool:
    """Install what is missing where that is possible, for the tests too if asked; tell whether anything was."""
    packages = missing() + (missing_for_tests() if tests else [])
    if not packages:
        return False
    root = os.geteuid() == 0
    command = install_line(packages, root=root)
    if not shutil.which("apt-get"):
        raise LabError(f"The lab needs these packages of your system: {' '.join(packages)}; please install them.")
    say(f"packages  installing {' '.join(packages)}")
    update = [*command[: command.index("apt-get") + 1], "update"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        # A machine whose package lists were never fetched knows no package.
        subprocess.run(update, capture_output=True, check=False)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LabError(f"Installing {' '.join(packages)} failed ({last}): run `{' '.join(command)}` yourself.")
    return True
