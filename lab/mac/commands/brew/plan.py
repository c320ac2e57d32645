"""What a call of brew does, decided from the state of the Cellar alone: no files, no processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_ERROR = "Error: "
_WARNING = "Warning: "


class Tree(NamedTuple):
    """What there is of one formula: its kegs and where the three links point (empty: no link)."""

    installed: tuple[str, ...] = ()
    opt: str = ""
    linked: str = ""
    pinned: str = ""

    @property
    def current(self) -> str:
        """Give the version in use: the one behind `opt`, else the linked one, else the newest (`resolve_default_keg`)."""
        for version in (self.opt, self.linked):
            if version in self.installed:
                return version
        return self.installed[-1] if self.installed else ""


class Step(NamedTuple):
    """One thing to do with a keg: pour, link, unlink, remove, pin, unpin."""

    verb: str
    version: str = ""


class Plan(NamedTuple):
    """What to say, what to do, and how to end."""

    steps: tuple[Step, ...] = ()
    out: tuple[str, ...] = ()
    err: tuple[str, ...] = ()
    code: int = 0


class Settings(NamedTuple):
    """The environment variables that change a decision."""

    cleanup: bool = True
    upgrade_on_install: bool = True


def version_key(version: str) -> tuple[tuple[int, ...], int, str, int]:
    """Order versions as numbers: a release candidate before its release, a revision (`_1`) after it."""
    bare, _, revision = version.partition("_")
    numbers, _, candidate = bare.partition("-")
    parts = tuple(int(part) if part.isdigit() else 0 for part in numbers.split("."))
    return parts, 0 if candidate else 1, candidate, int(revision) if revision.isdigit() else 0


def newest_last(versions: Sequence[str]) -> list[str]:
    """Sort versions from the oldest to the newest."""
    return sorted(versions, key=version_key)


def outdated(tree: Tree, stable: str) -> bool:
    """Say whether no keg is both as new as the stable version and in use.

    A keg in use is linked, or behind `opt`; a newer one that is neither counts as outdated, unless the formula is pinned
    (formula.rb `outdated_kegs` at 6.0.18).
    """
    new = [version for version in tree.installed if version_key(version) >= version_key(stable)]
    return bool(tree.installed) and not any(tree.pinned or version in (tree.opt, tree.linked) for version in new)


def _pour(name: str, tree: Tree, stable: str, settings: Settings) -> tuple[Step, ...]:
    steps = [Step("pour", stable), Step("link", stable)]
    if settings.cleanup:
        # The old keg goes, whatever still runs from it.
        after = Tree((*tree.installed, *(() if stable in tree.installed else (stable,))), stable, stable, tree.pinned)
        steps += cleanup(name, after, stable).steps
    return tuple(steps)


def install(name: str, tree: Tree, stable: str, settings: Settings) -> Plan:
    """Decide `brew install`: new, already there, or outdated, which is upgraded."""
    if not tree.installed:
        return Plan(_pour(name, tree, stable, settings))
    if outdated(tree, stable):
        if tree.pinned:
            words = f"{name} {tree.current} is already installed and pinned."
            return Plan(err=(_WARNING + words, "To upgrade, run:", f"  brew unpin {name} && brew upgrade {name}"))
        if not settings.upgrade_on_install:
            words = f"{name} {tree.current} is already installed"
            return Plan(err=(_WARNING + words, f"To upgrade to {stable}, run:", "  brew upgrade " + name))
        return upgrade(name, tree, stable, settings)
    if not tree.linked:
        words = f"{name} {tree.current} is already installed, it's just not linked."
        return Plan(err=(_WARNING + words, "To link this version, run:", "  brew link " + name))
    words = f"{name} {tree.current} is already installed and up-to-date."
    return Plan(err=(_WARNING + words, f"To reinstall {tree.current}, run:", "  brew reinstall " + name))


def upgrade(name: str, tree: Tree, stable: str, settings: Settings, named: bool = True) -> Plan:
    """Decide `brew upgrade`; a pinned formula is an error only when it was named (cmd/upgrade.rb)."""
    if not tree.installed:
        return Plan(err=(_ERROR + f"{name} not installed",), code=1)
    if not outdated(tree, stable):
        words = f"{name} {tree.installed[-1]} already installed"
        return Plan(err=(_WARNING + words,)) if named else Plan()
    change = f"{name} {tree.current} -> {stable}"
    if tree.pinned:
        line = "Not upgrading 1 pinned package:"
        return Plan(err=((_ERROR if named else _WARNING) + line, change), code=int(named))
    return Plan(_pour(name, tree, stable, settings), out=("==> Upgrading 1 outdated package:", change))


def reinstall(name: str, tree: Tree) -> Plan:
    """Decide `brew reinstall`: the version in use is poured anew."""
    if not tree.installed:
        return Plan(err=(_ERROR + f"{name} is not installed",), code=1)
    return Plan((Step("pour", tree.current), Step("link", tree.current)), out=(f"==> Reinstalling {name} ",))


def no_keg(name: str, cellar: str) -> Plan:
    """Answer a verb that needs a keg where there is none."""
    return Plan(err=(_ERROR + f"No such keg: {cellar}/{name}",), code=1)


def uninstall(name: str, tree: Tree, cellar: str, force: bool) -> Plan:
    """Decide `brew uninstall`: the keg in use, or all of them with --force."""
    if not tree.installed:
        return Plan() if force else no_keg(name, cellar)
    gone = tree.installed if force else (tree.current,)
    left = [version for version in tree.installed if version not in gone]
    out: tuple[str, ...] = ()
    if left:
        word = "is" if len(left) == 1 else "are"
        out = (
            "{} {} {} still installed.".format(name, " ".join(left), word),
            "To remove all versions, run:",
            "  brew uninstall --force " + name,
        )
    return Plan(tuple(Step("remove", version) for version in gone), out)


def pin(name: str, tree: Tree) -> Plan:
    """Decide `brew pin`: the newest keg is pinned, whichever is linked (formula_pin.rb)."""
    if not tree.installed:
        return Plan(err=(_ERROR + f"{name} not installed",), code=1)
    if tree.pinned:
        return Plan(err=(_WARNING + f"{name} already pinned",))
    return Plan((Step("pin", tree.installed[-1]),))


def unpin(name: str, tree: Tree) -> Plan:
    """Decide `brew unpin`."""
    if not tree.installed:
        return Plan(err=(_ERROR + f"{name} not installed",), code=1)
    return Plan((Step("unpin"),)) if tree.pinned else Plan(err=(_WARNING + f"{name} not pinned",))


def link(name: str, tree: Tree, cellar: str, overwrite: bool) -> Plan:
    """Decide `brew link`: the newest keg and no other, and not while another one is linked (cmd/link.rb, keg.rb)."""
    if not tree.installed:
        return no_keg(name, cellar)
    newest = tree.installed[-1]
    if tree.linked and tree.linked != newest:
        problem = (_ERROR + f"Cannot link {name}", f"Another version is already linked: {cellar}/{name}/{tree.linked}")
        return Plan(out=(f"Linking {cellar}/{name}/{newest}... ",), err=problem, code=1)
    if tree.linked:
        words = f"Already linked: {cellar}/{name}/{tree.linked}"
        hint = ("To relink, run:", f"  brew unlink {name} && brew link {name}")
        return Plan(err=(_WARNING + words, *hint))
    return Plan((Step("overwrite" if overwrite else "link", newest),))


def cleanup(name: str, tree: Tree, stable: str) -> Plan:
    """Decide `brew cleanup`: what is older than the stable version, once that is there (`eligible_kegs_for_cleanup`)."""
    if stable not in tree.installed:
        words = f"Skipping {name}: most recent version {stable} not installed"
        return Plan(err=(_WARNING + words,)) if tree.installed and not tree.pinned else Plan()
    old = [version for version in tree.installed if version_key(version) < version_key(stable)]
    return Plan(tuple(Step("remove", version) for version in old if version not in (tree.linked, tree.pinned)))
