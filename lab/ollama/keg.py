"""Writes what Homebrew pours into the Cellar for the formula `ollama`."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import time
from pathlib import Path
from typing import Optional

from mac import machine

from ollama.versions import Release

INTERPRETER = "/opt/virtual-mac/python"
LIBRARY = "/opt/virtual-mac/lib"
LABEL = "homebrew.mxcl.ollama"
LATEST = "0.32.15"

_PROGRAM = """#!{interpreter}
# Ollama {version}
import sys

sys.path.insert(0, "{library}")
from {module} import main

raise SystemExit(main({arguments}))
"""


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


def service(prefix: str) -> bytes:
    """Give the service file of the formula (homebrew-core Formula/o/ollama.rb 0.32.3): no OLLAMA_HOST in it.

    Homebrew writes it with sorted keys and tabs, as plistlib does.
    """
    log = prefix + "/var/log/ollama.log"
    content = {
        "EnvironmentVariables": {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"},
        "KeepAlive": True,
        "Label": LABEL,
        "LimitLoadToSessionType": ["Aqua", "Background", "LoginWindow", "StandardIO", "System"],
        "ProgramArguments": [prefix + "/opt/ollama/bin/ollama", "serve"],
        "RunAtLoad": True,
        "StandardErrorPath": log,
        "StandardOutPath": log,
        "WorkingDirectory": prefix + "/var",
    }
    return plistlib.dumps(content, sort_keys=True)


def receipt() -> dict[str, object]:
    """Give the part of a bottle's receipt that `brew info --json=v2` shows."""
    return {
        "homebrew_version": "6.0.18",
        "used_options": [],
        "unused_options": [],
        "built_as_bottle": True,
        "poured_from_bottle": True,
        "loaded_from_api": True,
        "installed_as_dependency": False,
        "installed_on_request": True,
        "time": int(time.time()),
        "runtime_dependencies": [],
        "source": {"spec": "stable", "tap": "homebrew/core"},
        "arch": "arm64",
    }


def write_keg(
    cellar_dir: Path,
    version: str,
    *,
    interpreter: str = INTERPRETER,
    library: str = LIBRARY,
    payload: Optional[Path] = None,
    runner: bool = True,
) -> None:
    """Write `cellar_dir/ollama/VERSION`.

    With a payload (a folder with a real `ollama` and `lib/ollama`), or with `ollama_payload` in the Mac's identity
    or environment, that program is put in the stand-in's place. A bottle of 0.30.0 to 0.30.4 has no llama-server, nor has
    one without `runner`.
    """
    keg = cellar_dir / "ollama" / version
    libexec = keg / "libexec"
    named = os.environ.get("OLLAMA_PAYLOAD") or machine.machine().ollama_payload
    real = payload or (Path(named) if named else None)
    release = Release(version)
    if real:
        shutil.copytree(real, libexec, symlinks=True, dirs_exist_ok=True)
    else:
        places = {"interpreter": interpreter, "library": library, "version": release.version}
        arguments = f'"{release.version}", __file__, sys.argv[1:]'
        program = _PROGRAM.format(module="ollama.cli", arguments=arguments, **places)
        _write(libexec / "ollama", program, 0o755)
        if release.llama_server and not release.broken_bottle and runner:
            server = _PROGRAM.format(module="ollama.runner", arguments="sys.argv[1:]", **places)
            _write(libexec / "lib/ollama/llama-server", server, 0o755)
    link = keg / "bin/ollama"
    link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("../libexec/ollama")
    file = keg / (LABEL + ".plist")
    file.write_bytes(service(str(cellar_dir.parent)))
    file.chmod(0o644)
    _write(keg / "INSTALL_RECEIPT.json", json.dumps(receipt(), indent=2) + "\n")
