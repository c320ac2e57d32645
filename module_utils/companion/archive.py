"""Build the program of the fleet on the controller: one executable file from exactly the sources it needs.

A zip archive that Python runs, with a first line that names the interpreter. Nothing in it varies: names in order, one fixed
time, stored and not compressed, since two versions of zlib pack the same bytes differently. Same sources, same bytes, so the
sha256 of the file on the Mac says whether it is the one of this checkout.
"""

from __future__ import annotations

import ast
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "ansible.module_utils"
ENTRY = "companion.entry"
SHEBANG = b"#!/usr/bin/python3\n"
START = f"import sys\n\nfrom {PACKAGE}.{ENTRY} import main\n\nsys.exit(main(sys.argv))\n"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip archive can hold."""

UNIX = 3
MODE = 0o100644


@dataclass(frozen=True)
class Archive:
    """The program, and what to compare it with."""

    content: bytes
    sha256: str


def build(folder: Path) -> Archive:
    """Build from the sources in `folder`, which is `module_utils`; ValueError for a module that is not there."""
    files = {"__main__.py": START.encode(), "ansible/__init__.py": b"", "ansible/module_utils/__init__.py": b""}
    for name, path in sources(folder).items():
        package = path.name == "__init__.py"
        files[f"{PACKAGE}.{name}".replace(".", "/") + ("/__init__.py" if package else ".py")] = path.read_bytes()
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = UNIX
            entry.external_attr = MODE << 16
            archive.writestr(entry, files[name])
    content = buffer.getvalue()
    return Archive(content, hashlib.sha256(content).hexdigest())


def sources(folder: Path) -> dict[str, Path]:
    """Return the modules that the entry reaches, by their names below `ansible.module_utils`, with the packages around them."""
    found: dict[str, Path] = {}
    waiting = [ENTRY]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _path(folder, name)
        if path is None:
            message = f"{PACKAGE}.{name} is imported by the program and is not below {folder}"
            raise ValueError(message)
        found[name] = path
        parent = name.rpartition(".")[0]
        waiting += [parent] if parent else []
        waiting += sorted(_imports(folder, name, path))
    return found


def _path(folder: Path, name: str) -> Path | None:
    base = folder.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(folder: Path, name: str, path: Path) -> set[str]:
    """Return what a module imports of ours; `from PACKAGE import x` may name modules or what is in one."""
    reached = set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            parts = package.split(".")
            base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
        elif (node.module or "").startswith(PACKAGE + "."):
            base = str(node.module)[len(PACKAGE) + 1 :]
        else:
            continue
        reached.add(base)
        reached |= {f"{base}.{alias.name}" for alias in node.names if _path(folder, f"{base}.{alias.name}")}
    return reached
