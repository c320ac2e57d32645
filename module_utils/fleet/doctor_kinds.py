"""What can be wrong with a Mac, by an id that stays: title, severity, and what each cause makes of the rest.

`explains` names what follows from a cause, so that a person is told the cause and not ten of its consequences. An entry is an id
or a pattern of ids; with a `/` it names the item as well, `drift.pending/healer`. Without one it counts where cause and
consequence have the same item, or one of them has none. A broken invariant that nothing explains stays, as `unexplained.*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .vocabulary import Severity

DOWN = (
    "model.not_loaded",
    "model.not_pinned",
    "unexplained.service",
    "unexplained.listener",
    "unexplained.server",
    "unexplained.model",
    "unexplained.completion",
    "unexplained.headers",
    "unexplained.reach",
    "drift.pending/ollama_models",
)
"""What follows wherever nobody serves: nothing answers, nothing is in memory, nobody else reaches it."""

UNSTARTED = ("service.crash_loop", "service.not_running", "service.not_loaded", *DOWN)

FAILED_LOAD = ("runner.crashed", "model.not_loaded", "model.not_pinned", "unexplained.model", "unexplained.completion")

JOBS = (
    "jobs.silent",
    "drift.pending/companion",
    *(f"drift.pending/{name}" for name in ("ollama_residents", "log_rotation", "healer")),
)


@dataclass(frozen=True)
class Kind:
    """One thing that can be wrong. `concern` is the role that mends it, or `machine` and `host` where none does."""

    title: str
    concern: str
    severity: Severity = "error"
    explains: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    # The Mac as a whole.
    "reach.asleep": Kind("it is asleep or away", "host", "note"),
    "host.unreachable": Kind("it cannot be asked", "host"),
    "host.no_tools": Kind("no module runs there: Apple's Command Line Tools are missing", "host"),
    "host.fault": Kind("looking at it failed on this side", "host"),
    "host.unread": Kind("a part of it could not be read", "host", "warning", ("unexplained.unread",)),
    "host.slow": Kind(
        "commands of macOS take too long there", "host", "error",
        ("host.unread", "server.hangs", "server.starting", "reach.tailnet_down", "jobs.silent", "unexplained.*"),
    ),
    # The service.
    "service.nobody_logged_in": Kind(
        "nobody is logged in at the screen, and the service waits for that", "ollama_service", "error", (*UNSTARTED, *JOBS)
    ),
    "service.disabled": Kind("launchd's switch for the service is off", "ollama_service", "error", ("service.not_loaded", *DOWN)),
    "service.bad_definition": Kind(
        "its property list is none that launchd takes", "ollama_service", "error", ("service.not_loaded", *DOWN)
    ),
    "service.program_missing": Kind(
        "the program of the service is not there", "homebrew", "error",
        (*UNSTARTED, "runner.missing", "drift.pending/ollama_version", "drift.pending/firewall", "drift.pending/ollama_service",
         "service.stale_definition"),
    ),
    "service.wrong_domain": Kind(
        "the service runs in another domain of launchd", "ollama_service", "error",
        ("service.not_loaded", "service.crash_loop", "service.stale_definition", "port.held_by_other", "server.wrong_bind",
         "unexplained.service", "unexplained.listener", "unexplained.server", *DOWN),
    ),
    "service.rival": Kind("a job of an older label is loaded beside the service", "ollama_service", "warning"),
    "service.stale_definition": Kind(
        "launchd runs another definition than the inventory's", "ollama_service", "error",
        ("service.crash_loop", "service.not_running", "server.wrong_bind", "server.setting_ignored", "server.address_missing",
         "server.store_unwritable", "server.no_home", "log.missing", *DOWN),
    ),
    "service.not_loaded": Kind("launchd does not hold the service", "ollama_service", "error", DOWN),
    "service.not_running": Kind("the service has ended and launchd does not start it", "ollama_service", "error", DOWN),
    "service.crash_loop": Kind("the service ends as often as launchd starts it", "ollama_service", "error", DOWN),
    # The port.
    "port.held_by_other": Kind(
        "somebody else holds the port", "ollama_service", "error",
        ("service.crash_loop", "service.not_running", "service.rival", "server.starting", "server.hangs", "server.wrong_bind",
         "server.stale_binary", "server.busy", "model.*", "memory.model_spills", "runner.crashed", *DOWN),
    ),
    "port.held_by_app": Kind(
        "Ollama.app holds the port", "ollama_service", "error",
        ("app.installed", "service.crash_loop", "service.not_running", "server.starting", "server.hangs", "server.wrong_bind",
         "server.stale_binary", "server.busy", "model.*", "memory.model_spills", "runner.crashed", *DOWN),
    ),
    "app.installed": Kind("Ollama.app is there, and takes the port when it starts its own server", "ollama_service", "warning"),
    # The server.
    "server.address_missing": Kind(
        "OLLAMA_HOST names an address that this Mac does not have", "ollama_service", "error", UNSTARTED
    ),
    "server.store_unwritable": Kind("the folder of the models cannot be made or written", "ollama_service", "error", UNSTARTED),
    "server.no_home": Kind("the server has no HOME", "ollama_service", "error", UNSTARTED),
    "server.starting": Kind("it has only just been started and does not answer yet", "ollama_service", "warning", DOWN),
    "server.hangs": Kind("it takes connections and does not answer", "ollama_service", "error", DOWN),
    "server.wrong_bind": Kind(
        "it listens at another address than declared", "ollama_service", "error",
        ("unexplained.listener", "unexplained.service", "unexplained.headers", "unexplained.reach"),
    ),
    "server.foreign_environment": Kind(
        "a variable left by `launchctl setenv` reaches the server", "ollama_service", "warning",
        ("model.not_installed", "model.not_loaded", "server.setting_ignored", "server.store_unwritable", "unexplained.model",
         "unexplained.completion"),
    ),
    "server.setting_ignored": Kind("Ollama did not understand a setting and took its default", "ollama_service", "warning"),
    "server.stale_binary": Kind(
        "it runs another version than the one installed", "ollama_version", "error",
        ("runner.missing", "drift.pending/ollama_service", "drift.pending/firewall", *FAILED_LOAD),
    ),
    "server.busy": Kind("its queue is full", "ollama_service", "warning", ("unexplained.completion",)),
    # The runner.
    "runner.missing": Kind("llama-server is not where Ollama looks for it", "homebrew", "error", FAILED_LOAD),
    "runner.killed": Kind("macOS or somebody else ended a runner", "machine", "warning", FAILED_LOAD),
    "runner.crashed": Kind(
        "a runner ended by itself", "ollama_models", "error",
        ("model.not_loaded", "model.not_pinned", "unexplained.model", "unexplained.completion"),
    ),
    # The models.
    "model.not_installed": Kind(
        "a model is not installed", "ollama_models", "error",
        ("model.not_loaded", "unexplained.model", "unexplained.completion"),
    ),
    "model.corrupt": Kind("files of a model are damaged", "ollama_models", "error", FAILED_LOAD),
    "model.store_closed": Kind(
        "the server may not read or replace what is in its store of models", "ollama_models", "error",
        ("host.unread/models", "host.unread/damage", "model.not_installed", "server.store_unwritable", "runner.crashed",
         "drift.pending/ollama_models", *UNSTARTED, *FAILED_LOAD),
    ),
    "model.not_loaded": Kind("a resident is not in memory", "ollama_models", "error", ("unexplained.model",)),
    "model.not_pinned": Kind("a resident will leave when it is idle", "ollama_models", "warning"),
    "model.does_not_fit": Kind(
        "a model is larger than this Mac can hold", "ollama_models", "error",
        ("memory.swap", "memory.pressure", "memory.model_spills/*", "model.not_loaded/*", "runner.killed", "runner.crashed",
         "unexplained.model/*", "unexplained.completion/*"),
    ),
    # Memory and disk.
    "memory.pressure": Kind(
        "macOS reports memory pressure", "machine", "warning",
        ("memory.swap", "host.slow", "model.not_loaded", "unexplained.model"),
    ),
    "memory.swap": Kind("much swap is in use", "machine", "warning"),
    "memory.model_spills": Kind("a model is not wholly on the GPU", "ollama_models", "warning", ("unexplained.model",)),
    "disk.full": Kind(
        "the disk is full", "machine", "error",
        ("model.not_installed", "model.corrupt", "server.store_unwritable", "log.unwritable", "jobs.silent", *UNSTARTED),
    ),
    # Logs, jobs, registry.
    "log.unwritable": Kind("a log of the service cannot be written", "ollama_service", "error", UNSTARTED),
    "log.missing": Kind(
        "a log was taken away under the running service, and what it says is lost", "ollama_service", "warning"
    ),
    "log.growing": Kind("a log has outgrown its rotation", "log_rotation", "warning"),
    "jobs.silent": Kind("a job of the fleet does not run", "companion", "warning", ("drift.pending",)),
    "registry.unreachable": Kind("a registry of models does not answer", "machine", "note"),
    # Who reaches it.
    "reach.firewall_blocks": Kind("the application firewall keeps others out", "firewall", "error", ("unexplained.reach",)),
    "reach.packet_filter_blocks": Kind(
        "the packet filter keeps others out", "exposure", "error", ("unexplained.reach", "reach.lan_down")
    ),
    "reach.tailnet_down": Kind("it is not on the tailnet", "tailscale_serve", "error", ("unexplained.reach",)),
    "reach.tailnet_address": Kind(
        "its tailnet address is not the inventory's", "tailscale_serve", "error", ("unexplained.reach/tailnet",)
    ),
    "reach.lan_down": Kind("it is not on the LAN", "host", "error", ("unexplained.reach", "registry.unreachable")),
    "reach.one_machine": Kind("one machine does not reach it, others do", "host", "warning"),
    "reach.local_network_privacy": Kind("macOS keeps a job of the fleet out of the local network", "healer", "warning"),
    "reach.not_exposed": Kind("it keeps a machine out, as declared", "exposure", "note"),
    "exposure.not_enforced": Kind("the port is open to more than declared", "exposure", "error"),
    # What is left.
    "drift.pending": Kind("it is not what the inventory says", "host", "note"),
    "unexplained.service": Kind("its job is not as it should be, and nothing here says why", "ollama_service"),
    "unexplained.listener": Kind("its port is not held as it should be, and nothing here says why", "ollama_service"),
    "unexplained.server": Kind(
        "it does not answer as Ollama does, and nothing here says why", "ollama_service", "error",
        ("drift.pending/ollama_models",),
    ),
    "unexplained.headers": Kind("it serves web pages of strangers, and nothing here says why", "ollama_service"),
    "unexplained.model": Kind("a model is not as it should be, and nothing here says why", "ollama_models"),
    "unexplained.completion": Kind(
        "a model completes nothing, and nothing here says why", "ollama_models", "error",
        ("model.not_loaded", "model.not_pinned", "unexplained.model"),
    ),
    "unexplained.reach": Kind("others do not reach it, and nothing here says why", "host"),
    "unexplained.unread": Kind("what it is could not be read, and nothing here says why", "host"),
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One thing that is looked at: which ids belong to it, and the parts of an observation without which it says nothing."""

    name: str
    ids: tuple[str, ...]
    parts: tuple[str, ...] = ()


CHECKS = (
    Check("the Mac answers", ("reach.asleep", "host.*", "unexplained.unread")),
    Check("service", ("service.*", "unexplained.service"), ("launchd", "homebrew")),
    Check("port", ("port.*", "app.*", "unexplained.listener"), ("launchd", "listener", "surroundings", "processes")),
    Check("server", ("server.*", "unexplained.server", "unexplained.headers"), ("launchd", "listener", "processes")),
    Check("runner", ("runner.*",), ("homebrew",)),
    Check("models", ("model.*", "unexplained.model"), ("models", "damage", "closed")),
    Check("completion", ("unexplained.completion",)),
    Check("memory", ("memory.*",), ("machine", "models")),
    Check("disk", ("disk.*",), ("machine",)),
    Check("logs", ("log.*",), ("logs",)),
    Check("jobs of the fleet", ("jobs.*", "reach.local_network_privacy"), ("heartbeats", "job_logs")),
    Check("registry", ("registry.*",), ("models",)),
    Check("application firewall", ("reach.firewall_blocks",), ("firewall",)),
    Check("packet filter", ("reach.packet_filter_blocks", "exposure.*"), ("packet_filter",)),
    Check("tailnet", ("reach.tailnet_*",), ("tailscale",)),
    Check("reached by others", ("unexplained.reach", "reach.one_machine", "reach.lan_down", "reach.not_exposed")),
    Check("inventory", ("drift.*",)),
)
"""Every id belongs to exactly one of them, so that a report that names them all says what was not looked at."""
