"""Run the module that changes a service inside a virtual Mac, one effect at a time where that is wanted."""

from __future__ import annotations

import base64
import io
import json
import plistlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import Any

from tests.support.drifts import Mac
from tests.support.fleet import ROOT

PROGRAM = "/opt/homebrew/opt/ollama/bin/ollama"
ARCHIVE = "/opt/one-effect-at-a-time.pyz"
HOME = "/Users/felipe"
UID = 501


def archive() -> bytes:
    """Return the module with all it imports, and without Ansible, as a program."""
    kept = io.BytesIO()
    inside = ROOT / "tests" / "support" / "inside"
    with zipfile.ZipFile(kept, "w") as package:
        for name in ("ansible/__init__.py", "ansible/module_utils/__init__.py"):
            package.writestr(name, "")
        for folder in ("fleet", "macos"):
            for path in sorted((ROOT / "module_utils" / folder).glob("*.py")):
                package.write(path, f"ansible/module_utils/{folder}/{path.name}")
        package.write(inside / "basic.py", "ansible/module_utils/basic.py")
        package.write(ROOT / "library" / "launchd_service.py", "launchd_service.py")
        package.write(inside / "__main__.py", "__main__.py")
    return kept.getvalue()


@dataclass(frozen=True)
class Service:
    """One way in which the service may be set up: where, under which label, and how it is told to serve."""

    domain: str = "gui"
    label: str = "com.user.ollama"
    environment: tuple[tuple[str, str], ...] = (("OLLAMA_HOST", "0.0.0.0"),)
    program: str = PROGRAM
    keys: tuple[tuple[str, Any], ...] = ()

    @property
    def target(self) -> str:
        """Return the service target."""
        return f"system/{self.label}" if self.domain == "system" else f"{self.domain}/{UID}/{self.label}"

    @property
    def path(self) -> str:
        """Return the path of the property list."""
        folder = "/Library/LaunchDaemons" if self.domain == "system" else f"{HOME}/Library/LaunchAgents"
        return f"{folder}/{self.label}.plist"

    def definition(self) -> dict[str, Any]:
        """Return the property list."""
        made: dict[str, Any] = {
            "Label": self.label,
            "ProgramArguments": [self.program, "serve"],
            "EnvironmentVariables": dict(self.environment),
            "RunAtLoad": True,
            "KeepAlive": True,
            "StandardOutPath": f"{HOME}/Library/Logs/Ollama/out.log",
            "StandardErrorPath": f"{HOME}/Library/Logs/Ollama/err.log",
            **dict(self.keys),
        }
        if self.domain == "system":
            made["EnvironmentVariables"]["HOME"] = HOME
            made |= {"UserName": "felipe", "GroupName": "staff"}
        if self.domain == "user":
            made["LimitLoadToSessionType"] = "Background"
        return made

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """Return the module's arguments for it."""
        labels = ["com.user.ollama", "com.ollama.serve", "homebrew.mxcl.ollama"]
        return {
            "label": self.label,
            "domain": self.domain,
            "plist": plistlib.dumps(self.definition()).decode(),
            "retired_labels": [label for label in labels if label != self.label],
            "user": "felipe",
            "residents": ["qwen3:8b"],
            "timeout": 20,
            **changes,
        }


@dataclass(frozen=True)
class Changer:
    """The module inside one Mac."""

    mac: Mac

    def install(self) -> None:
        """Bring the program there; the disk of a Mac outlives its reboots."""
        text = base64.b64encode(archive()).decode()
        self.mac.fleet.lab("exec", self.mac.name, "--user", "root", "--", "sh", "-c", f"base64 -d > {ARCHIVE}", text=text)

    def start(self, service: Service, *, cut: int | None = None, check: bool = False, **changes: Any) -> subprocess.Popen[str]:
        """Begin the change; as root where the system domain has a part in it, as the role does."""
        request = {"arguments": service.arguments(**changes), "cut": cut, "check": check}
        root = changes.pop("root", None)
        user = "root" if (service.domain == "system" if root is None else root) else "felipe"
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "lab" / "lab"), "exec", self.mac.name, "--user", user, "--",
             "/usr/bin/python3", ARCHIVE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.mac.fleet.environment, cwd=ROOT,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        process.stdin = None
        return process

    def end(self, process: subprocess.Popen[str], *, cut: bool = False) -> dict[str, Any]:
        """Wait for a change and return its result; an empty one where the power failed."""
        out, err = process.communicate(timeout=240)
        if cut and process.returncode != 0 and not out.strip():
            return {}
        assert process.returncode == 0, f"{process.returncode}\n{out}\n{err}"
        return dict(json.loads(out.splitlines()[-1]))

    def change(self, service: Service, *, cut: int | None = None, **changes: Any) -> dict[str, Any]:
        """Make a change, or begin one that a power cut ends."""
        return self.end(self.start(service, cut=cut, **changes), cut=cut is not None)

    # What is there afterwards.

    def plists(self) -> list[str]:
        """Return the property lists in launchd's folders that anybody of us could have put there."""
        text = self.mac.run_all("sh", "-c", f"ls {HOME}/Library/LaunchAgents/*.plist /Library/LaunchDaemons/*.plist 2>/dev/null")
        return sorted(line for line in text.splitlines() if "ollama" in line)

    def jobs(self) -> list[str]:
        """Return the targets of every label of ours that launchd holds, in every domain."""
        labels = ("com.user.ollama", "com.ollama.serve", "homebrew.mxcl.ollama", "com.example.ollama")
        targets = [f"{domain}/{label}" for domain in (f"gui/{UID}", f"user/{UID}", "system") for label in labels]
        script = 'for t in "$@"; do /bin/launchctl print "$t" >/dev/null 2>&1 && echo "$t"; done; true'
        return self.mac.run("sh", "-c", script, "sh", *targets).split()

    def running(self, service: Service) -> dict[str, str]:
        """Return the environment of the process that launchd runs for a service; empty when there is none."""
        text = self.mac.run_all("/bin/launchctl", "print", service.target)
        pids = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("\tpid = ")]
        if not pids:
            return {}
        raw = self.mac.run("cat", f"/proc/{pids[0]}/environ", user="root", check=False)
        return dict(pair.partition("=")[::2] for pair in raw.split("\0") if pair)

    def records(self) -> list[str]:
        """Return what changes left behind to remember what was there before."""
        places = (f"{HOME}/Library/Application Support/ollama-fleet", "/Library/Application Support/ollama-fleet")
        return self.mac.run("find", *places, "-type", "f", user="root", check=False).splitlines()

    def is_exactly(self, service: Service, environment: dict[str, str] | None = None) -> None:
        """Assert that this service runs, with this environment, and that nothing else of ours is there."""
        wanted = service.definition()["EnvironmentVariables"] if environment is None else environment
        assert self.plists() == [service.path]
        assert self.jobs() == [service.target]
        self.mac.wait(lambda: self.mac.answers() and wanted.items() <= self.running(service).items())
        assert self.records() == []


def read_plist(mac: Mac, path: str) -> dict[str, Any]:
    """Read a property list of a Mac."""
    return dict(plistlib.loads(mac.run("cat", path, user="root").encode()))
