"""brew: the command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Callable

from mac.commands.brew import VERSION, plan
from mac.commands.brew.cellar import Cellar, LinkConflict
from mac.commands.brew.environment import Context, context, wait
from mac.commands.brew.formulae import FORMULAE, Formula, Tap, find
from mac.commands.brew.plan import Plan, Step
from mac.machine import fault, machine

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Sequence

API_SECONDS = 450  # HOMEBREW_API_AUTO_UPDATE_SECS (env_config.rb)
ROOT_REFUSED = (
    "Error: Running Homebrew as root is extremely dangerous and no longer supported.\n"
    "As Homebrew does not drop privileges on installation you would be giving all\n"
    "build scripts full access to your system."
)
# What brew.sh answers by itself, before it looks who calls.
_BASH = ("--prefix", "--cellar", "--repository", "--caskroom", "shellenv", "formulae", "casks")
_ROOT_MAY = (*_BASH, "services", "as-console-user", "setup-sandbox")
_ALIASES = {
    "ls": "list",
    "rm": "uninstall",
    "remove": "uninstall",
    "up": "update",
    "ln": "link",
    "-v": "--version",
    "dr": "doctor",
    "--config": "config",
    "abv": "info",
}


class BrewError(Exception):
    """What brew ends with; exit 1."""


def _say(lines: Sequence[str], *, error: bool = False) -> None:
    sys.stdout.flush()
    for line in lines:
        print(line, file=sys.stderr if error else sys.stdout)


def formula_named(name: str) -> Formula:
    """Find a formula or end with brew's words for one that does not exist."""
    formula = find(name)
    if formula is None:
        raise BrewError(f'No available formula with the name "{name.lower()}".')
    return formula


class Brew:
    """One call."""

    def __init__(self, surroundings: Context) -> None:
        self.context = surroundings
        self.cellar = Cellar(surroundings.prefix)
        self.tap = Tap(surroundings.prefix)

    @property
    def cellar_shown(self) -> str:
        """Give the Cellar's path as it is printed."""
        return self.context.shown + "/Cellar"

    # Questions

    def prefix(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Print the prefix, or where `opt` has a formula: also for one that is not installed."""
        if "--installed" in options:
            for name in names:
                if not self.cellar.versions(name):
                    return 1
        for name in names or [""]:
            if name:
                formula_named(name)
            print(self.context.shown + ("/opt/" + name if name else ""))
        return 0

    def show_cellar(self, _: builtins.list[str], names: builtins.list[str]) -> int:
        """Print the Cellar, or a formula's folder in it."""
        for name in names or [""]:
            print(self.cellar_shown + ("/" + name if name else ""))
        return 0

    def repository(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Print where Homebrew itself is; with the prefix /usr/local that is a folder below it."""
        print(self.context.shown + ("/Homebrew" if self.context.shown == "/usr/local" else ""))
        return 0

    def caskroom(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Print where casks go."""
        print(self.context.shown + "/Caskroom")
        return 0

    def shellenv(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Print what a shell's start file evaluates; nothing when PATH has it already."""
        shown = self.context.shown
        first = self.context.variables.get("PATH", "").split(":")[:2]
        if first == [shown + "/bin", shown + "/sbin"]:
            return 0
        print(f'export HOMEBREW_PREFIX="{shown}";')
        print(f'export HOMEBREW_CELLAR="{self.cellar_shown}";')
        print(f'export HOMEBREW_REPOSITORY="{shown}";')
        print(f'export PATH="{shown}/bin:{shown}/sbin${{PATH+:$PATH}}";')
        print('[ -z "${MANPATH-}" ] || export MANPATH=":${MANPATH#:}";')
        print(f'export INFOPATH="{shown}/share/info:${{INFOPATH:-}}";')
        return 0

    def formulae(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Name every formula of the tap."""
        print("\n".join(sorted(FORMULAE)))
        return 0

    def casks(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Name every cask of the tap."""
        print("ollama-app")
        return 0

    def version(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Print Homebrew's own version."""
        print("Homebrew " + VERSION)
        return 0

    def list(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """List what is installed; a name that is not makes the exit code 1."""
        if "--cask" in options or "--casks" in options:
            return 1 if names else 0
        if "--pinned" in options:
            chosen = [name for name in self.cellar.names() if self.cellar.tree(name).pinned]
            for name in chosen:
                print(name + (" " + self.cellar.tree(name).pinned if "--versions" in options else ""))
            return 0
        if "--versions" in options:
            missing = 0
            for name in names or self.cellar.names():
                versions = self.cellar.versions(name)
                missing += not versions
                if versions:
                    print("{} {}".format(name, " ".join(versions)))
            return 1 if missing else 0
        if not names:
            for name in self.cellar.names():
                print(name)
            return 0
        for name in names:
            tree = self.cellar.tree(name)
            if not tree.installed:
                raise BrewError(f"No such keg: {self.cellar_shown}/{name}")
            keg = self.cellar.keg(name, tree.current)
            for file in sorted(file for file in keg.rglob("*") if not file.is_dir()):
                print(f"{self.cellar_shown}/{name}/{tree.current}/{file.relative_to(keg)}")
        return 0

    def leaves(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Name the formulae that nothing depends on: here, all."""
        for name in self.cellar.names():
            print(name)
        return 0

    def described(self, formula: Formula) -> dict[str, Any]:
        """Describe a formula as `info --json=v2` does (formula.rb, to_hash)."""
        tree, stable = self.cellar.tree(formula.name), self.tap.stable(formula)
        service: Any = None
        if formula.has_service:
            service = {
                "run": [self.context.shown + f"/opt/{formula.name}/bin/{formula.name}", "serve"],
                "run_type": "immediate",
                "keep_alive": {"always": True},
                "environment_variables": {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"},
                "working_dir": "$HOMEBREW_PREFIX/var",
                "log_path": f"$HOMEBREW_PREFIX/var/log/{formula.name}.log",
                "error_log_path": f"$HOMEBREW_PREFIX/var/log/{formula.name}.log",
            }
        return {
            "name": formula.name,
            "full_name": formula.name,
            "tap": "homebrew/core",
            "oldnames": [],
            "aliases": [],
            "versioned_formulae": [],
            "desc": formula.description,
            "license": formula.license,
            "homepage": formula.homepage,
            "versions": {"stable": stable, "head": "HEAD", "bottle": True},
            "revision": 0,
            "keg_only": False,
            "keg_only_reason": None,
            "options": [],
            "build_dependencies": [],
            "dependencies": [],
            "requirements": [],
            "conflicts_with": [],
            "conflicts_with_reasons": [],
            "link_overwrite": [],
            "caveats": None,
            "installed": [self._installed(formula.name, version) for version in tree.installed],
            "linked_keg": tree.linked or None,
            "pinned": bool(tree.pinned),
            "outdated": plan.outdated(tree, stable),
            "deprecated": False,
            "disabled": False,
            "post_install_defined": False,
            "service": service,
        }

    def _installed(self, name: str, version: str) -> dict[str, Any]:
        receipt = self.cellar.receipt(name, version)
        return {
            "version": version,
            "used_options": receipt.get("used_options", []),
            "built_as_bottle": receipt.get("built_as_bottle", False),
            "poured_from_bottle": receipt.get("poured_from_bottle", False),
            "time": receipt.get("time"),
            "runtime_dependencies": receipt.get("runtime_dependencies", []),
            "installed_on_request": receipt.get("installed_on_request", True),
        }

    def info(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Describe formulae, for programs or for people."""
        if "--installed" in options:
            names = names + self.cellar.names()
        chosen = [formula_named(name) for name in names if find(name) or "--installed" not in options]
        if any(option.startswith("--json") for option in options):
            form = next(option for option in options if option.startswith("--json"))
            if form not in ("--json=v2", "--json=v1", "--json"):
                raise BrewError(f"invalid JSON version: {form[7:]}")
            described = [self.described(formula) for formula in chosen]
            whole: Any = {"formulae": described, "casks": []} if form == "--json=v2" else described
            print(json.dumps(whole, indent=2))
            return 0
        for formula in chosen:
            self._describe(formula)
        if not names:
            kegs = [(name, version) for name in self.cellar.names() for version in self.cellar.versions(name)]
            print(f"{len(kegs)} kegs, {sum(self.cellar.size(*keg).files for keg in kegs)} files")
        return 0

    def _describe(self, formula: Formula) -> None:
        tree = self.cellar.tree(formula.name)
        pinned = f" [pinned at {tree.pinned}]" if tree.pinned else ""
        print(f"==> {formula.name}: stable {self.tap.stable(formula)} (bottled), HEAD{pinned}")
        print(formula.description + "\n" + formula.homepage)
        print("Installed" if tree.installed else "Not installed")
        for version in tree.installed:
            star = " *" if version == tree.linked else ""
            size = self.cellar.size(formula.name, version).text()
            print(f"{self.cellar_shown}/{formula.name}/{version} ({size}){star}")
        print("License: " + formula.license)

    def outdated(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """List outdated formulae; exit 1 only when one that was named is outdated (cmd/outdated.rb)."""
        form = next((option for option in options if option.startswith("--json")), "")
        if form == "--json=v1":
            raise BrewError("`brew outdated --json=v1` is no longer supported. Use brew outdated --json=v2 instead.")
        self._refresh()
        rows = []
        for name in [formula_named(name).name for name in names] or self.cellar.names():
            formula, tree = find(name), self.cellar.tree(name)
            if formula is None or not plan.outdated(tree, self.tap.stable(formula)):
                continue
            rows.append(
                {
                    "name": name,
                    "installed_versions": list(tree.installed),
                    "current_version": self.tap.stable(formula),
                    "pinned": bool(tree.pinned),
                    "pinned_version": tree.pinned or None,
                }
            )
        if form:
            print(json.dumps({"formulae": rows, "casks": []}, indent=2))
        else:
            for row in rows:
                verbose = "--verbose" in options or "-v" in options
                versions = ", ".join(str(version) for version in self.cellar.versions(str(row["name"])))
                print("{} ({}) < {}".format(row["name"], versions, row["current_version"]) if verbose else row["name"])
        return 1 if names and rows else 0

    def config(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Print what brew runs on."""
        me = machine()
        print(f"HOMEBREW_VERSION: {VERSION}\nORIGIN: https://github.com/Homebrew/brew")
        print(f"Core tap JSON: N/A\nHOMEBREW_PREFIX: {self.context.shown}")
        print(f"CPU: {me.cpus}-core 64-bit arm\nmacOS: {me.os_version}-arm64\nRosetta 2: false")
        return 0

    def doctor(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Look for kegs that are not linked, the one thing that can be wrong here."""
        loose = [name for name in self.cellar.names() if not self.cellar.tree(name).linked]
        if not loose:
            print("Your system is ready to brew.")
            return 0
        _say(["Warning: You have unlinked kegs in your Cellar.", *("  " + name for name in loose)], error=True)
        return 1

    # Changes

    def update(self, _: builtins.list[str], __: builtins.list[str]) -> int:
        """Fetch the tap."""
        if fault("brew-offline"):
            _say(["curl: (6) Could not resolve host: formulae.brew.sh"], error=True)
            raise BrewError("Failure while executing; `/usr/bin/curl ... formula.jws.json` exited with 6.")
        changed = self.tap.update()
        if not changed:
            print("Already up-to-date.")
            return 0
        print(f"Updated Homebrew from {VERSION} to {VERSION}.")
        print(f"==> Updated Formulae\nUpdated {len(changed)} formulae.")
        stale = [name for name in changed if plan.outdated(self.cellar.tree(name), self.tap.stable(FORMULAE[name]))]
        if stale:
            print("==> Outdated Formulae\n" + "\n".join(stale))
            if self.context.hints:
                print(f"\nYou have {len(stale)} outdated formulae installed.\nYou can upgrade them with brew upgrade")
        return 0

    def _refresh(self) -> None:
        """Fetch the list of versions when it is older than wanted (api.rb `fetch_api_files!` at 6.0.18).

        HOMEBREW_NO_AUTO_UPDATE stops that as well, unless HOMEBREW_FORCE_API_AUTO_UPDATE is set. Without a way out the list of
        before serves, with a warning.
        """
        if self.context.on("HOMEBREW_NO_AUTO_UPDATE") and not self.context.on("HOMEBREW_FORCE_API_AUTO_UPDATE"):
            return
        seconds = int(self.context.variables.get("HOMEBREW_API_AUTO_UPDATE_SECS") or API_SECONDS)
        if self.tap.age() < seconds:
            return
        if fault("brew-offline"):
            _say(["Warning: packages.arm64_tahoe.jws.json: update failed, falling back to cached version."], error=True)
            return
        self.tap.update()

    def _auto_update(self) -> None:
        if not self.context.on("HOMEBREW_NO_AUTO_UPDATE") and not fault("brew-offline") and self.tap.update():
            _say(["==> Auto-updating Homebrew...", "==> Updated Homebrew."], error=True)

    def install(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Install formulae; an outdated one is upgraded."""
        if "--cask" in options:
            raise BrewError("Cask '{}' is unavailable: No Cask with this name exists.".format("".join(names[:1])))
        if not names:
            raise BrewError("Invalid usage: This command requires at least 1 formula or cask argument.")
        self._auto_update()
        code = 0
        for formula in [formula_named(name) for name in names]:
            tree, stable = self.cellar.tree(formula.name), self.tap.stable(formula)
            code |= self.carry_out(formula.name, plan.install(formula.name, tree, stable, self.context.settings))
        return code

    def upgrade(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Upgrade the named formulae, or all."""
        self._auto_update()
        code = 0
        for formula in [formula_named(name) for name in names or self.cellar.names()]:
            tree, stable = self.cellar.tree(formula.name), self.tap.stable(formula)
            decided = plan.upgrade(formula.name, tree, stable, self.context.settings, named=bool(names))
            if ("--dry-run" in options or "-n" in options) and decided.steps:
                decided = Plan(out=("Would upgrade 1 outdated package:", *decided.out[1:]))
            code |= self.carry_out(formula.name, decided)
        return code

    def reinstall(self, _: builtins.list[str], names: builtins.list[str]) -> int:
        """Pour the version in use anew."""
        code = 0
        for formula in [formula_named(name) for name in names]:
            code |= self.carry_out(formula.name, plan.reinstall(formula.name, self.cellar.tree(formula.name)))
        return code

    def uninstall(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Delete kegs."""
        force = "--force" in options or "-f" in options
        code = 0
        for name in names:
            code |= self.carry_out(name, plan.uninstall(name, self.cellar.tree(name), self.cellar_shown, force), "Uninstalling")
        return code

    def pin(self, _: builtins.list[str], names: builtins.list[str]) -> int:
        """Keep formulae at their version."""
        return self._each(names, plan.pin)

    def unpin(self, _: builtins.list[str], names: builtins.list[str]) -> int:
        """Let formulae be upgraded again."""
        return self._each(names, plan.unpin)

    def _each(self, names: builtins.list[str], decide: Callable[[str, plan.Tree], Plan]) -> int:
        code = 0
        for name in [formula_named(name).name for name in names]:
            code |= self.carry_out(name, decide(name, self.cellar.tree(name)))
        return code

    def link(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Link kegs into the prefix."""
        code = 0
        for name in names:
            overwrite = "--overwrite" in options
            decided = plan.link(name, self.cellar.tree(name), self.cellar_shown, overwrite)
            code |= self.carry_out(name, decided, "Linking")
        return code

    def unlink(self, _: builtins.list[str], names: builtins.list[str]) -> int:
        """Take kegs' links out of the prefix."""
        for name in names:
            tree = self.cellar.tree(name)
            if not tree.installed:
                return self.carry_out(name, plan.no_keg(name, self.cellar_shown))
            count = self.cellar.unlink(name)
            print(f"Unlinking {self.cellar_shown}/{name}/{tree.current}... {count} symlinks removed.")
        return 0

    def cleanup(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Delete old kegs."""
        for name in names or self.cellar.names():
            formula = find(name)
            stable = self.tap.stable(formula) if formula else ""
            decided = plan.cleanup(name, self.cellar.tree(name), stable)
            if "--dry-run" in options or "-n" in options:
                for step in decided.steps:
                    print(f"Would remove: {self._sized(name, step.version)}")
            else:
                self.carry_out(name, decided)
        return 0

    def _sized(self, name: str, version: str) -> str:
        return f"{self.cellar_shown}/{name}/{version} ({self.cellar.size(name, version).text()})"

    def carry_out(self, name: str, decided: Plan, word: str = "Removing") -> int:
        """Say what was decided and do it, step by step."""
        _say(decided.out)
        _say(decided.err, error=True)
        if not decided.steps:
            return decided.code
        code = decided.code
        with self._lock(name):
            for number, step in enumerate(decided.steps):
                if step.verb == "remove" and word == "Removing" and number and decided.steps[number - 1].verb == "link":
                    print(f"==> Running `brew cleanup {name}`...")
                    if self.context.hints:
                        print("Disable this behaviour by setting `HOMEBREW_NO_INSTALL_CLEANUP=1`.")
                        print("Hide these hints with `HOMEBREW_NO_ENV_HINTS=1` (see `man brew`).")
                code |= self._step(name, step, word)
        return code

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Hold the formula's lock; a second brew gives up at once."""
        import fcntl

        file = self.context.prefix / "var/homebrew/locks" / (name + ".formula.lock")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except PermissionError as error:
            folder = f"The following directories are not writable by your user:\n{self.context.shown}"
            raise BrewError(folder) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise BrewError(
                f"A `brew` process has already locked {file}.\nPlease wait for it to finish or terminate it to continue."
            ) from error
        finally:
            os.close(descriptor)

    def _step(self, name: str, step: Step, word: str) -> int:
        if step.verb == "pour":
            self._pour(FORMULAE[name], step.version)
        elif step.verb in ("link", "overwrite"):
            return self._link(name, step, quiet=word != "Linking")
        elif step.verb == "remove":
            head = word + ":" if word == "Removing" else word
            print("{} {}... ({})".format(head, *self._named(name, step.version)))
            self.cellar.remove(name, step.version)
        elif step.verb == "pin":
            self.cellar.pin(name, step.version)
        else:
            self.cellar.unpin(name)
        return 0

    def _named(self, name: str, version: str) -> tuple[str, str]:
        keg = f"{self.cellar_shown}/{name}/{version}"
        return keg, self.cellar.size(name, version).text()

    def _pour(self, formula: Formula, version: str) -> None:
        name = formula.name
        print(f"==> Fetching downloads for: {name}")
        if fault("brew-offline"):
            _say(["curl: (6) Could not resolve host: ghcr.io"], error=True)
            url = f"https://ghcr.io/v2/homebrew/core/{name}/manifests/{version}"
            reason = f'Failed to download resource "{name}_bottle_manifest ({version})"\nDownload failed: {url}'
            raise BrewError(f"{name}: {reason}")
        codename = {14: "sonoma", 15: "sequoia", 26: "tahoe"}.get(machine().os_major, "tahoe")
        print(f"==> Fetching {name}\n==> Pouring {name}--{version}.arm64_{codename}.bottle.tar.gz")
        self.cellar.pour(formula, version, whole=not fault("brew-broken-bottle"))

    def _link(self, name: str, step: Step, *, quiet: bool) -> int:
        keg = f"{self.cellar_shown}/{name}/{step.version}"
        if fault("brew-broken-link") and step.verb == "link":
            self._stranger(name)
        try:
            count = self.cellar.link(name, step.version, overwrite=step.verb == "overwrite")
        except LinkConflict as conflict:
            self._tell_conflict(name, conflict, quiet=quiet)
            if quiet:
                self._summary(name, step.version)
            return 1
        if not quiet:
            print(f"Linking {keg}... {count} symlinks created.")
            return 0
        self._caveats(name)
        self._summary(name, step.version)
        return 0

    def _stranger(self, name: str) -> None:
        """Put a file that is not Homebrew's where the link should go."""
        self.cellar.unlink(name)
        place = self.context.prefix / "bin" / name
        if not place.is_symlink() and not place.exists():
            place.write_text("#!/bin/sh\necho 'installed by hand'\n", encoding="utf-8")
            place.chmod(0o755)

    def _tell_conflict(self, name: str, conflict: LinkConflict, *, quiet: bool) -> None:
        target = f"{self.context.shown}/bin/{conflict.target.name}"
        lines = ["Error: The `brew link` step did not complete successfully"] if quiet else []
        lines += [f"The formula built, but is not symlinked into {self.context.shown}"] if quiet else []
        first = "" if quiet else "Error: "
        lines += [
            f"{first}Could not symlink bin/{conflict.target.name}",
            f"Target {target}",
            "already exists. You may want to remove it:",
            f"  rm '{target}'",
            "",
            "To force the link and overwrite all conflicting files:",
            f"  brew link --overwrite {name}",
            "",
            "To list all files that would be deleted:",
            f"  brew link --overwrite {name} --dry-run",
        ]
        _say(lines, error=True)

    def _caveats(self, name: str) -> None:
        if not FORMULAE[name].has_service:
            return
        variables = 'OLLAMA_FLASH_ATTENTION="1" OLLAMA_KV_CACHE_TYPE="q8_0"'
        print(f"==> Caveats\nTo start {name} now and restart at login:\n  brew services start {name}")
        print("Or, if you don't want/need a background service you can just run:")
        print(f"  {variables} {self.context.shown}/opt/{name}/bin/{name} serve")
        print("==> Summary")

    def _summary(self, name: str, version: str) -> None:
        keg, size = self._named(name, version)
        print(f"🍺  {keg}: {size}")

    def services(self, options: builtins.list[str], names: builtins.list[str]) -> int:
        """Hand over to `brew services`."""
        from mac.commands.brew.services import Services

        return Services(self.context, self.cellar).run(options, names)


def _verbs(brew: Brew) -> dict[str, Callable[[list[str], list[str]], int]]:
    return {
        "--prefix": brew.prefix,
        "--cellar": brew.show_cellar,
        "--repository": brew.repository,
        "--repo": brew.repository,
        "--caskroom": brew.caskroom,
        "--version": brew.version,
        "shellenv": brew.shellenv,
        "formulae": brew.formulae,
        "casks": brew.casks,
        "list": brew.list,
        "leaves": brew.leaves,
        "info": brew.info,
        "outdated": brew.outdated,
        "config": brew.config,
        "doctor": brew.doctor,
        "update": brew.update,
        "install": brew.install,
        "upgrade": brew.upgrade,
        "reinstall": brew.reinstall,
        "uninstall": brew.uninstall,
        "pin": brew.pin,
        "unpin": brew.unpin,
        "link": brew.link,
        "unlink": brew.unlink,
        "cleanup": brew.cleanup,
        "services": brew.services,
    }


def is_bash(verb: str, rest: list[str]) -> bool:
    """Say whether brew.sh answers without starting Ruby; `list` only as long as no name is given."""
    return verb in (*_BASH, "--version", "--repo") or (verb == "list" and not [w for w in rest if not w.startswith("-")])


def main(argv: list[str]) -> int:
    """Run brew."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The beer must not fail in the C locale that launchd and Ansible give.
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    verb = _ALIASES.get(argv[0], argv[0]) if argv else ""
    rest = argv[1:]
    brew = Brew(context())
    verbs = _verbs(brew)
    if not verb or verb in ("help", "--help", "-h"):
        print("Example usage:\n  brew search TEXT|/REGEX/\n  brew info [FORMULA|CASK...]\n  brew install FORMULA|CASK...")
        return 0 if verb else 1
    if brew.context.uid == 0 and verb not in _ROOT_MAY:
        print(ROOT_REFUSED, file=sys.stderr)
        return 1
    wait(ruby=not is_bash(verb, rest))
    if verb not in verbs:
        print(f"Error: Unknown command: brew {verb}", file=sys.stderr)
        return 1
    options = [word for word in rest if word.startswith("-")]
    names = [word for word in rest if not word.startswith("-")]
    try:
        return verbs[verb](options, names)
    except BrewError as reason:
        sys.stdout.flush()
        print(f"Error: {reason}", file=sys.stderr)
        return 1
