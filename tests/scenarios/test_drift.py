"""The drift report over a living fleet: exit codes, what is left on disk, half of it down, all of it down, nobody."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import ansible
import jsonschema

from tests.scenarios.conftest import Story
from tests.support.fleet import ROOT, Run

SCHEMA = json.loads((ROOT / "schemas" / "drift.schema.json").read_text())


def report(fleet: Story, folder: Path, *words: str) -> tuple[Run, dict]:
    """Run the report and return what it left."""
    run = fleet.play("playbooks/drift.yml", "-e", f"drift_reports_path={folder}", *words)
    content = json.loads((folder / "drift.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    return run, content


def statuses(content: dict) -> dict[str, str]:
    return {host["host"]: host["status"] for host in content["hosts"]}


def test_a_fleet_as_the_inventory_says_is_in_sync_and_was_only_looked_at(fleet: Story, tmp_path: Path) -> None:
    before = fleet.mac("mac-mini").state()
    run, content = report(fleet, tmp_path)
    assert (run.rc, content["status"]) == (0, "in_sync"), run.screen
    assert statuses(content) == dict.fromkeys(("mac-mini", "macbook-pro", "windows-msi"), "in_sync")
    assert fleet.mac("mac-mini").state() == before
    assert run.module_runs("mac-mini").count("mac_facts") == 1
    assert not any(run.changed(host) for host in run.stats)


def test_half_down_half_drifted_is_both_and_says_since_when(fleet: Story, tmp_path: Path) -> None:
    book = fleet.mac("macbook-pro")
    book.run("/bin/launchctl", "disable", book.target)
    try:
        with fleet.trouble("mac-mini", "unreachable"):
            run, first = report(fleet, tmp_path)
            assert (run.rc, first["status"], first["complete"]) == (4, "drift", False), run.screen
            assert statuses(first) == {"mac-mini": "not_checked", "macbook-pro": "drift", "windows-msi": "in_sync"}
        ignore = json.dumps({"drift_ignore": [{"concern": "ollama_service", "action": "enable", "reason": "being rebuilt"}]})
        run, second = report(fleet, tmp_path, "-e", ignore)
        assert (run.rc, second["status"], second["counts"]["ignored"]) == (0, "in_sync", 1), run.screen
        run, third = report(fleet, tmp_path, "--limit", "macbook-pro")
        assert (run.rc, third["status"]) == (2, "drift"), run.screen
        assert [one["since"] for one in third["hosts"][0]["drifts"]] == [first["made_at"]]
    finally:
        book.run("/bin/launchctl", "enable", book.target)


def test_an_error_is_neither_drift_nor_silence(fleet: Story, tmp_path: Path) -> None:
    run, content = report(fleet, tmp_path, "-e", 'drift_ignore=[{"concern":"firewall"}]')
    assert (run.rc, content["status"]) == (1, "error")
    assert "it has no reason" in run.screen
    run, content = report(fleet, tmp_path, "-e", "ollama_service_environment=nonsense")
    assert (run.rc, content["status"]) == (1, "error")


def test_a_fleet_of_which_nobody_answers_and_a_fleet_of_nobody_are_not_in_sync(fleet: Story, tmp_path: Path) -> None:
    with (
        fleet.trouble("mac-mini", "unreachable"),
        fleet.trouble("macbook-pro", "unreachable"),
        fleet.trouble("windows-msi", "unreachable"),
    ):
        run, content = report(fleet, tmp_path, "-e", "drift_accept_away=true")
    assert (run.rc, content["status"]) == (4, "not_checked")
    assert statuses(content) == {"mac-mini": "not_checked", "macbook-pro": "away", "windows-msi": "away"}
    (tmp_path / "hosts.yml").write_text("all: {children: {ollama_servers: {}, ollama_clients: {}}}\n")
    words = ["-i", str(tmp_path / "hosts.yml"), "playbooks/drift.yml", "-e", f"drift_reports_path={tmp_path}"]
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), *words],
        capture_output=True, text=True, env=fleet.environment, cwd=ROOT, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    assert json.loads((tmp_path / "drift.json").read_text())["status"] == "not_checked"


def test_the_scheduler_of_the_documentation_knows_them_apart(fleet: Story) -> None:
    def check(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / "docs/examples/drift-check.sh"), "-i", "inventory", "-i", "lab/inventory", *words],
            capture_output=True, text=True, env=fleet.environment, cwd=ROOT, check=False, timeout=300,
        )  # fmt: skip

    mini = fleet.mac("mac-mini")
    fine = check()
    assert (fine.returncode, fine.stdout) == (0, ""), (ROOT / "reports" / "drift.log").read_text()
    mini.run("/bin/launchctl", "disable", mini.target)
    try:
        assert "drift (exit code 2)" in check().stdout
    finally:
        mini.run("/bin/launchctl", "enable", mini.target)
    assert "error (exit code" in check("-i", "no-such-inventory", "-e", "@no-such-file").stdout


ON_THE_MAC = (
    "ansible", "jinja2", "markupsafe", "yaml", "_yaml", "packaging", "resolvelib", "cryptography", "cffi", "pycparser", "json5",
)  # fmt: skip
PULL = """\
#!/opt/virtual-mac/python
import sys
sys.path.insert(0, "/Users/felipe/venv/site")
from ansible.cli.{module} import main
sys.exit(main())
"""


def test_a_mac_that_checks_itself_needs_no_controller(fleet: Story, tmp_path: Path) -> None:
    """What `make setup` brings is copied in the place of a download; the fleet's repository is one on the Mac's own disk."""
    site = Path(ansible.__file__).parents[1]
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(tmp_path / "fleet.git")], check=True)  # noqa: S607
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.add(tmp_path / "fleet.git", "fleet.git")
        notes = [path.name for path in site.glob("*.dist-info") if path.name.lower().startswith(("ansible_core-", "jinja2-"))]
        for name in (*ON_THE_MAC, *notes, *(path.name for path in site.glob("_cffi_backend*"))):
            archive.add(site / name, f"venv/site/{name}")
        archive.add(site / "ansible_collections/ansible/posix", "venv/site/ansible_collections/ansible/posix")
        for name, module in (("ansible", "adhoc"), ("ansible-playbook", "playbook"), ("ansible-pull", "pull")):
            entry = tarfile.TarInfo(f"venv/bin/{name}")
            text = PULL.format(module=module).encode()
            entry.size, entry.mode = len(text), 0o755
            archive.addfile(entry, io.BytesIO(text))
    with (tmp_path / "all.tar").open("rb") as archive:
        words = fleet.lab_command("exec", "mac-mini", "--user", "felipe", "--", "tar", "-C", "/Users/felipe", "-xf", "-")
        subprocess.run(words, stdin=archive, env=fleet.environment, check=True)

    mini = fleet.mac("mac-mini")

    def pull() -> str:
        line = "cd ~ && LC_ALL=C.UTF-8 venv/bin/ansible-pull -U ~/fleet.git -d ~/fleet"
        which = "-i ~/fleet/inventory -i localhost, -l mac-mini playbooks/drift.yml -e preflight_offline=true"
        return mini.run("sh", "-c", f"{line} {which} > pull.log 2>&1; echo $?").strip()

    try:
        assert pull() == "0", mini.run("cat", "/Users/felipe/pull.log")
        mini.run("/bin/launchctl", "disable", mini.target)
        assert pull() == "2", mini.run("cat", "/Users/felipe/pull.log")
        content = json.loads(mini.run("cat", "/Users/felipe/fleet/reports/drift.json"))
    finally:
        mini.run("/bin/launchctl", "enable", mini.target)
        # Other stories look through this home.
        mini.run("sh", "-c", "cd ~ && rm -rf fleet fleet.git venv pull.log .ansible")
    assert [(one["action"], one["item"]) for one in content["hosts"][0]["drifts"]] == [("enable", mini.target)]
    assert content["hosts"][0]["drifts"][0]["in_sync_before"]
