"""Run the fleet's playbooks over a virtual fleet, and read what they did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"

ON_THE_CONTROLLER = frozenset(
    {
        "assert", "debug", "fail", "fleet_address", "fleet_outcome", "import_role", "import_tasks", "include_role",
        "include_tasks", "meta", "set_fact", "validate_argument_spec",
    }
)  # fmt: skip
"""Actions that run on the controller; everything else is a module run on the host."""


@dataclass(frozen=True)
class Run:
    """One run of a playbook: exit status, screen, and for each host what its tasks returned."""

    rc: int
    screen: str
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stats: dict[str, dict[str, int]] = field(default_factory=dict)

    def changed(self, host: str) -> int:
        """Return how many tasks changed something."""
        return self.stats.get(host, {}).get("changed", 0)

    def steps(self, host: str) -> list[tuple[str, str]]:
        """Return what the fleet's modules did or would do, as (action, item), in order."""
        return [
            (step["action"], step["item"])
            for result in self.results.get(host, [])
            for step in result.get("steps") or ()
            if result.get("changed")
        ]

    def module_runs(self, host: str) -> list[str]:
        """Return the actions that ran on the host itself."""
        here = [result for result in self.results.get(host, []) if "_ansible_delegated_vars" not in result]
        names = [str(result.get("action", "")).rpartition(".")[2] for result in here]
        return [name for name in names if name and name not in ON_THE_CONTROLLER]

    def messages(self, host: str) -> str:
        """Return every message of failed tasks."""
        return "\n".join(str(result.get("msg", "")) for result in self.results.get(host, []) if result.get("failed"))


@dataclass(frozen=True)
class Fleet:
    """A virtual fleet by name, and the commands over it."""

    name: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment for everything that is run over this fleet."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))}
        return {
            **kept,
            "LAB_NAME": self.name,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        }

    def lab_command(self, *words: str) -> list[str]:
        """Return the command that runs `lab/lab` with these words."""
        return [sys.executable, str(ROOT / "lab" / "lab"), *words]

    def lab(self, *words: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `lab/lab` with these words."""
        done = subprocess.run(
            self.lab_command(*words),
            capture_output=True, text=True, input=text, env=self.environment, cwd=ROOT, check=False, timeout=300,
        )  # fmt: skip
        if check and done.returncode != 0:
            message = f"lab/lab {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise AssertionError(message)
        return done

    def on(self, host: str, *argv: str, user: str = "felipe", check: bool = True) -> str:
        """Run a command on a host and return what it printed."""
        return self.lab("exec", host, "--user", user, "--", *argv, check=check).stdout

    def screen(self, playbook: str, *words: str, timeout: int = 900) -> Run:
        """Run a playbook as a person does and keep the screen."""
        done = self._play(playbook, words, {}, timeout)
        return Run(done.returncode, done.stdout + done.stderr)

    def play(self, playbook: str, *words: str, timeout: int = 900) -> Run:
        """Run a playbook and keep each task's result."""
        done = self._play(playbook, words, {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}, timeout)
        start = done.stdout.find("{\n")
        if start < 0:
            return Run(done.returncode, done.stdout + done.stderr)
        data, _ = json.JSONDecoder().raw_decode(done.stdout[start:])
        results: dict[str, list[dict[str, Any]]] = {}
        for play in data["plays"]:
            for task in play["tasks"]:
                for host, result in task["hosts"].items():
                    if not result.get("skipped"):
                        results.setdefault(host, []).append({**result, "task": task["task"]["name"]})
        return Run(done.returncode, done.stdout + done.stderr, results, data["stats"])

    def begin(self, playbook: str, *words: str) -> subprocess.Popen[str]:
        """Start a playbook as a person does, and do not wait for its end."""
        return subprocess.Popen(
            self._command(playbook, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment,
            cwd=ROOT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _command(self, playbook: str, words: tuple[str, ...]) -> list[str]:
        # Offline: what a registry says today must not decide a test.
        fixed = ["-i", "inventory", "-i", "lab/inventory", "-e", "preflight_offline=true"]
        return [str(BIN / "ansible-playbook"), *fixed, playbook, *words]

    def _play(
        self, playbook: str, words: tuple[str, ...], extra: dict[str, str], timeout: int
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(playbook, words),
            capture_output=True, text=True, env={**self.environment, **extra}, cwd=ROOT, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
