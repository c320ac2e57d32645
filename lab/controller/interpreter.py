"""Finding the Pythons that the lab lends to its hosts: one for the stand-ins, one as Apple's python3."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_ASK = (
    "import sys, sysconfig; print(sys.base_prefix, '%d.%d' % sys.version_info[:2],"
    " sysconfig.get_config_var('INSTSONAME') if sysconfig.get_config_var('Py_ENABLE_SHARED') else '-')"
)


@dataclass(frozen=True)
class Interpreter:
    """An installed Python: its prefix is bound into the hosts, whatever folder it lives in here."""

    prefix: Path
    version: str
    shared_library: str  # its name when the program is only a shell around it, else empty

    @property
    def program(self) -> str:
        """Give the executable's path below the prefix."""
        return f"bin/python{self.version}"


def running() -> Interpreter:
    """Describe the interpreter that runs this, not its virtual environment."""
    shared = sysconfig.get_config_var("Py_ENABLE_SHARED")
    library = str(sysconfig.get_config_var("INSTSONAME")) if shared else ""
    version = "{}.{}".format(*sys.version_info[:2])
    return Interpreter(Path(sys.base_prefix), version, library)


def ask(program: Path) -> Interpreter | None:
    """Ask an executable what it is; None if it does not run or has no standard library beside it."""
    try:
        done = subprocess.run([program, "-I", "-c", _ASK], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    prefix, version, library = done.stdout.split()
    found = Interpreter(Path(prefix), version, "" if library == "-" else library)
    return found if (found.prefix / found.program).exists() else None


def candidates(version: str) -> list[Path]:
    """List where a Python of one version may lie on a developer's or a CI machine."""
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    places = [
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}")),
        *sorted((home / ".local/share/uv/python").glob(f"cpython-{version}.*/bin/python{version}")),
        *sorted(Path("/opt/hostedtoolcache/Python").glob(f"{version}.*/*/bin/python{version}")),
    ]
    on_path = shutil.which(f"python{version}")
    return [*places, Path(on_path)] if on_path else places


def for_command_line_tools() -> Interpreter:
    """Choose what plays Apple's python3: a 3.9, as the Command Line Tools bring, else the running one."""
    return next((found for place in candidates("3.9") if (found := ask(place))), running())
