"""Read what else on a Mac bears on its service: Ollama.app, Homebrew's own environment, who is logged in after a reboot."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from .commands import run

if TYPE_CHECKING:
    from fleet.service_findings import Surroundings
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet.service_findings import Surroundings
    from ansible.module_utils.fleet.vocabulary import Unknown


APPLICATION = "/Applications/Ollama.app"
LOGIN_WINDOW = Path("/Library/Preferences/com.apple.loginwindow.plist")
"""Readable by everybody; `autoLoginUser` is there only while automatic login is on."""


def read_surroundings(home: str) -> Surroundings:
    """Read all of it; each thing that cannot be read is unknown on its own."""
    apps = [app for app in (APPLICATION, f"{home}{APPLICATION}") if Path(app).is_dir()]
    return Surroundings(
        app=apps[0] if apps else "",
        app_runs=bool(apps) and run(["/usr/bin/pgrep", "-f", f"{apps[0]}/Contents/"]).rc == 0,
        brew_environment=read_brew_environment(Path(home, ".homebrew/services/ollama.env")),
        file_vault=read_file_vault(),
        auto_login=read_auto_login(LOGIN_WINDOW),
    )


def read_brew_environment(path: Path) -> tuple[str, ...]:
    """Return the names that Homebrew 6.0.15 and later would put into the environment of its own service."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(sorted({line.partition("=")[0].strip() for line in lines if "=" in line and not line.lstrip().startswith("#")}))


def read_file_vault() -> bool | Unknown:
    """Tell whether the disk waits for somebody after a reboot; `fdesetup status` needs no root."""
    try:
        answer = run(["/usr/bin/fdesetup", "status"])
    except OSError as problem:
        return Unknown(str(problem))
    for words, on in (("FileVault is On", True), ("FileVault is Off", False)):
        if words in answer.out:
            return on
    return Unknown(f"fdesetup status: {answer.said}")


def read_auto_login(path: Path) -> str | Unknown:
    """Return the account that is logged in by itself after a boot, "" for none."""
    try:
        settings: Any = plistlib.loads(path.read_bytes())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, ExpatError, plistlib.InvalidFileException) as problem:
        return Unknown(f"{path}: {problem}")
    name = settings.get("autoLoginUser", "") if isinstance(settings, dict) else ""
    return name if isinstance(name, str) else ""
