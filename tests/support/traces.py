"""What lies on a Mac, file by file, so that two moments can be held against each other."""

from __future__ import annotations

from tests.support.drifts import Mac

FOLDERS = ("/Users/felipe", "/Library", "/private/etc")
NOT_OURS = (
    "/Users/felipe/.ollama",  # models and keys: Ollama's own
    "/Users/felipe/.ansible",  # Ansible's own, in use while it runs
    "/Users/felipe/.ansible_async",
    "/Users/felipe/.sudo_as_admin_successful",  # Debian's sudo
    "/Users/felipe/Library/LaunchAgents",  # the folder itself, which is macOS's; what lies in it counts
)

_LISTING = r"""
for folder in "$@"; do
  find "$folder" -xdev -printf '%p\t%y\t%m\t%U:%G\t%l\n'
  find "$folder" -xdev -name .ollama -prune -o -type f -exec sha256sum {} + | sed 's/^\([0-9a-f]*\)  \(.*\)$/\2\tcontent\t\1/'
done
"""


def tree(mac: Mac) -> set[str]:
    """Return one line for each file and folder: kind, mode, owner, target; and one for the content of each file."""
    lines = mac.run("sh", "-c", _LISTING, "tree", *FOLDERS, user="root").splitlines()
    return {line for line in lines if not _is_exempt(line.split("\t")[0])}


def _is_exempt(path: str) -> bool:
    if path.startswith("/Users/felipe/Library/LaunchAgents/"):
        return False
    return any(path == known or path.startswith(f"{known}/") for known in NOT_OURS)
