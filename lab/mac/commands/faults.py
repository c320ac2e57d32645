"""The faults of the command stand-ins: what can be made to go wrong, or to look different, by name."""

from __future__ import annotations

import plistlib
import shutil

from mac.machine import machine, path

FAULTS: dict[str, str] = {
    "alf-delay": "seconds until a change of the application firewall shows in --listapps and takes effect",
    "alf-identifier-clash": "socketfilterfw --add drops a program whose code identifier is already listed",
    "brew-broken-bottle": "the bottles of ollama that brew pours have no llama-server: healthy until a model is to be loaded",
    "brew-broken-link": "brew pours a keg but cannot link it: bin/ollama belongs to somebody else",
    "brew-delay": "seconds every Ruby verb of brew takes (default 0.3; the bash verbs take a fifteenth)",
    "brew-offline": "brew cannot download: install, upgrade and reinstall end with curl's error",
    "brew-stable": "the version of ollama the tap offers as stable (default 0.32.15)",
    "filevault": "fdesetup reports FileVault as on",
    "free-memory-mb": "MiB of memory reported free by vm_stat and memory_pressure",
    "gpu-milliwatts": "what the GPU draws, as powermetrics shows it",
    "mdm-managed": "the firewall is managed by a profile: socketfilterfw refuses every change; "
    '"mute": also every question, "unseen": the profile does not force the key that tells of it',
    "memory-follows-models": "MiB that macOS and other programs take (on: 4096): swap and pressure follow what is loaded, and "
    "swap stays long after it",
    "memory-pressure": "kern.memorystatus_vm_pressure_level: 1 normal, 2 warning, 4 critical",
    "ollama-app": "Ollama.app is installed: its program is linked at bin/ollama, where brew cannot link then",
    "pmset-lacks": "power settings that this hardware has not, as a JSON list; on: those that a virtual machine has not",
    "swap-used-mb": "MiB of swap in use, as vm.swapusage shows it",
    "tailscale-down": "tailscaled does not answer",
    "tailscale-stopped": "tailscaled answers but is stopped: it has no addresses",
    "tailscale-userspace": "tailscaled runs without a tunnel device: inbound ends on 127.0.0.1, no route outwards",
    "updates-available": "softwareupdate --list offers a macOS update that needs a restart",
}

_APP_PROGRAM = "/Applications/Ollama.app/Contents/Resources/ollama"


def applied(name: str, on: bool) -> None:
    """Bring about what a fault leaves on the disk: Ollama.app and its command line link; others leave nothing."""
    if name != "ollama-app":
        return
    program = path(_APP_PROGRAM)
    link = path(machine().prefix + "/bin/ollama")
    ours = link.is_symlink() and str(link.readlink()) == _APP_PROGRAM
    if on:
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        program.chmod(0o755)
        information = {"CFBundleIdentifier": "com.electron.ollama", "CFBundleShortVersionString": "0.32.15"}
        (program.parents[1] / "Info.plist").write_bytes(plistlib.dumps(information))
        if not link.is_symlink() and not link.exists() and link.parent.is_dir():
            link.symlink_to(_APP_PROGRAM)
        return
    if ours:
        link.unlink()
    if program.exists():
        shutil.rmtree(program.parents[2])
