"""Keeping jobs as their definitions say: start, respawn, throttle, drain, forget.

The Supervisor owns the domains and their services and decides when which process is started, signalled or
given up. It touches no process, clock or file itself: that is the Host's part, so the life of a job can be
tested second by second without one.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable, Protocol

from mac.launchd import printing
from mac.launchd.decisions import State
from mac.launchd.domains import SYSTEM, Domain
from mac.launchd.job import Definition, is_crash, next_calendar_start

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterator

# At logout and shutdown a job with ExitTimeOut 0 ("infinite") must not hold everything up: chosen.
PATIENCE_AT_THE_END = 20.0

Then = Callable[[], None]


class Host(Protocol):
    """What the supervisor needs from the world."""

    def now(self) -> float:
        """Give monotonic seconds."""

    def today(self) -> datetime.datetime:
        """Give local wall-clock time."""

    def spawn(self, service: Service) -> int:
        """Start the job's process and give its number."""

    def signal(self, pid: int, number: int) -> None:
        """Signal a process; one that is gone is no error."""

    def signal_group(self, pid: int, number: int) -> None:
        """Signal what is left of a job's process group."""

    def log(self, about: str, message: str) -> None:
        """Write a line to launchd's log."""


@dataclass
class Service:
    """A label registered in a domain, and how its job is doing."""

    definition: Definition
    domain: Domain
    path: str
    pid: int | None = None
    alive: bool = False
    runs: int = 0
    last_status: int | None = None
    successive_crashes: int = 0
    last_spawn: float | None = None
    spawn_at: float | None = None
    timer_at: float | None = None
    kill_at: float | None = None
    signalled: str = ""
    removing: bool = False
    drain_until: float = 0.0
    restarting: bool = False
    reason: str = ""
    when_gone: list[Then] = field(default_factory=list)
    when_settled: list[Then] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Give the label."""
        return self.definition.label

    @property
    def target(self) -> str:
        """Give the full name, as in `gui/501/com.user.ollama`."""
        return f"{self.domain}/{self.label}"

    @property
    def state(self) -> State:
        """Give the state the decision table speaks of."""
        if self.removing:
            return State.DRAINING
        if self.alive:
            return State.RUNNING
        return State.IDLE if self.spawn_at is None else State.THROTTLED

    @property
    def state_words(self) -> str:
        """Give the state as `print` words it."""
        if self.removing and not self.signalled:
            return "SIGTERMed"
        if self.signalled:
            return self.signalled
        if self.alive:
            return "running"
        return "not running" if self.spawn_at is None else "spawn scheduled"


@dataclass
class Place:
    """A domain that exists: its services, its session, and what `setenv` put there."""

    domain: Domain
    session_id: int
    services: dict[str, Service] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    tearing_down: bool = False
    when_gone: list[Then] = field(default_factory=list)


class Supervisor:
    """All domains and all their jobs."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.places: dict[Domain, Place] = {SYSTEM: Place(SYSTEM, 0)}
        self.by_pid: dict[int, Service] = {}
        self._next_session = 100003

    # Domains

    def open(self, domain: Domain) -> Place:
        """Give a domain, made now if it is not there."""
        if domain not in self.places:
            self._next_session += 1
            self.places[domain] = Place(domain, self._next_session)
            self.host.log(str(domain), "domain created")
        return self.places[domain]

    def close(self, domain: Domain, then: Then) -> None:
        """End every job of a domain, and then the domain itself."""
        place = self.places.get(domain)
        if place is None:
            then()
            return
        place.when_gone.append(then)
        if not place.tearing_down:
            place.tearing_down = True
            self.host.log(str(domain), "tearing down domain")
            for service in list(place.services.values()):
                self.remove(service, at_the_end=True)
        self._close_if_empty(place)

    def _close_if_empty(self, place: Place) -> None:
        if not place.tearing_down or place.services:
            return
        self.places.pop(place.domain, None)
        self.host.log(str(place.domain), "domain removed")
        for then in place.when_gone:
            then()

    # Looking

    def find(self, domain: Domain, label: str) -> Service | None:
        """Find a service, also one that is draining."""
        place = self.places.get(domain)
        return place.services.get(label) if place else None

    def all(self) -> Iterator[Service]:
        """Give every service of every domain."""
        for place in list(self.places.values()):
            yield from list(place.services.values())

    def snapshot(self, service: Service) -> printing.Snapshot:
        """Give a service as `print` shows it."""
        place = self.places[service.domain]
        return printing.Snapshot(
            service.domain,
            service.path,
            service.definition,
            service.state_words,
            service.pid,
            service.runs,
            service.last_status,
            service.successive_crashes,
            service.reason,
            place.session_id,
            dict(place.environment),
        )

    # What verbs ask for

    def register(self, domain: Domain, definition: Definition, path: str, idle: bool = False) -> Service:
        """Take a definition in, and plan its first start: exit 0 of bootstrap does not mean "running"."""
        service = Service(definition, domain, path)
        self.places[domain].services[definition.label] = service
        self.host.log(service.target, f"internal event: BOOTSTRAPPED, from {path}")
        if not idle:
            self._arm_timer(service)
            if definition.starts_at_load:
                service.reason = "speculative"
                service.spawn_at = self.host.now()
        return service

    def start(self, service: Service, reason: str) -> None:
        """Start a job that has no process, at once or as soon as the throttle lets it."""
        if service.alive or service.removing:
            return
        service.reason = reason
        service.spawn_at = self._earliest(service)
        if service.spawn_at <= self.host.now():
            self._spawn(service)

    def restart(self, service: Service, then: Then) -> None:
        """End a job's process and start it again, with the definition it was bootstrapped with."""
        service.restarting = True
        service.when_settled.append(then)
        self.stop(service)

    def stop(self, service: Service) -> None:
        """Ask a job's process to end; SIGKILL follows after ExitTimeOut, unless that is 0."""
        if not service.alive or service.pid is None or service.signalled:
            return
        service.signalled = "SIGTERMed"
        self.host.log(service.target, "signaled service: Terminated: 15")
        timeout = service.definition.exit_timeout
        if timeout:
            service.kill_at = self.host.now() + timeout
            message = f"scheduling cleanup in {timeout} sec after sending Terminated: 15"
            self.host.log(service.target, message)
        self.host.signal(service.pid, signal.SIGTERM)

    def send(self, service: Service, number: int) -> None:
        """Send a job's process a signal of the caller's choice."""
        if service.alive and service.pid is not None:
            self.host.signal(service.pid, number)

    def remove(self, service: Service, minimum: float = 0.0, at_the_end: bool = False, then: Then | None = None) -> None:
        """Forget a service once its process is dead; until then the label is taken."""
        if then is not None:
            service.when_gone.append(then)
        now = self.host.now()
        if not service.removing:
            self.host.log(service.target, "bootout initiated")
            service.removing = True
            service.restarting = False
            service.spawn_at = service.timer_at = None
            service.drain_until = now + minimum
            self._settled(service)
        if at_the_end:
            service.drain_until = now
        self.stop(service)
        if at_the_end and service.alive and service.kill_at is None:
            service.kill_at = now + PATIENCE_AT_THE_END
        self._forget_if_drained(service)

    # What happens

    def exited(self, pid: int, status: int) -> None:
        """Take note of a process that ended; one nobody knows was an orphan, and is reaped that is all."""
        service = self.by_pid.pop(pid, None)
        if service is None:
            return
        if not service.definition.abandon_process_group:
            # As launchd's job_reap does: what is left of the group gets SIGTERM, too, not SIGKILL (core.c).
            self.host.signal_group(pid, signal.SIGTERM)
        now = self.host.now()
        lived = now - (service.last_spawn if service.last_spawn is not None else now)
        clean = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        asked = bool(service.signalled)
        service.alive, service.kill_at = False, None
        service.last_status = status
        # What counts as a crash here is nowhere told: any end in failure that nobody asked for.
        if is_crash(status) or not (clean or asked):
            service.successive_crashes += 1
        else:
            service.successive_crashes = 0
        words = printing.last_exit(status)
        self.host.log(service.target, f"exited after {lived:.1f} seconds; {words}")
        if service.removing:
            self._forget_if_drained(service)
            return
        service.pid, service.signalled = None, ""
        if service.restarting or service.definition.keep_alive.wants(status):
            service.reason = "non-ipc demand" if service.restarting else "semaphore"
            self._respawn(service, lived)
        self._settled(service)

    def tick(self) -> None:
        """Do whatever has come due."""
        now = self.host.now()
        for service in list(self.all()):
            if service.kill_at is not None and service.kill_at <= now and service.pid is not None:
                service.kill_at = None
                service.signalled = "SIGKILLed"
                self.host.log(service.target, "exit timeout elapsed, killing")
                self.host.signal(service.pid, signal.SIGKILL)
            if service.spawn_at is not None and service.spawn_at <= now:
                self._spawn(service)
            if service.timer_at is not None and service.timer_at <= now:
                self._arm_timer(service)
                # A start that comes due while the job still runs is coalesced away (launchd.plist(5)).
                self.start(service, "interval" if service.definition.start_interval else "calendar interval")
            if service.removing:
                self._forget_if_drained(service)

    def next_deadline(self) -> float | None:
        """Say when `tick` is needed next."""
        moments = [
            moment
            for service in self.all()
            for moment in (
                service.kill_at,
                service.spawn_at,
                service.timer_at,
                service.drain_until if service.removing and not service.alive else None,
            )
            if moment is not None
        ]
        return min(moments, default=None)

    # Inner workings

    def _earliest(self, service: Service) -> float:
        """Give the moment the throttle allows the next spawn; it counts from spawn to spawn."""
        now = self.host.now()
        if service.last_spawn is None:
            return now
        return max(now, service.last_spawn + service.definition.throttle_interval)

    def _respawn(self, service: Service, lived: float) -> None:
        service.spawn_at = self._earliest(service)
        wait = service.spawn_at - self.host.now()
        if wait > 0:
            message = "Service only ran for %d seconds. Pushing respawn out by %d seconds."
            service.reason = "inefficient"
            self.host.log(service.target, message % (lived, round(wait)))
        else:
            self._spawn(service)

    def _spawn(self, service: Service) -> None:
        service.spawn_at = None
        service.restarting = False
        service.last_spawn = self.host.now()
        try:
            service.pid = self.host.spawn(service)
        except OSError as error:  # no memory, or too many processes: the job waits, launchd lives on
            self.host.log(service.target, f"could not spawn: {error}")
            service.spawn_at = service.last_spawn + service.definition.throttle_interval
            return
        service.runs += 1
        service.alive = True
        self.by_pid[service.pid] = service
        self.host.log(service.target, f"Successfully spawned {service.definition.program}[{service.pid}]")

    def _settled(self, service: Service) -> None:
        """Let a waiting kickstart -k have its answer: respawned, throttled, or booted out meanwhile."""
        waiting, service.when_settled = service.when_settled, []
        for then in waiting:
            then()

    def _arm_timer(self, service: Service) -> None:
        definition = service.definition
        service.timer_at = None
        if definition.start_interval:
            service.timer_at = self.host.now() + definition.start_interval
        elif definition.start_calendar:
            today = self.host.today()
            moment = next_calendar_start(definition.start_calendar, today)
            if moment is not None:
                service.timer_at = self.host.now() + max(0.0, (moment - today).total_seconds())

    def _forget_if_drained(self, service: Service) -> None:
        if service.alive or service.drain_until > self.host.now():
            return
        place = self.places[service.domain]
        if place.services.get(service.label) is not service:
            return
        del place.services[service.label]
        self.host.log(service.target, "removing service")
        for then in service.when_gone:
            then()
        self._close_if_empty(place)
