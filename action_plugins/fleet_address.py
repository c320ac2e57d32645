"""Find the address by which a host answers, by opening the connection that the next tasks use."""

from __future__ import annotations

import queue
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet.address import (
        Attempt,
        answer_sentence,
        attempt,
        away_sentence,
        candidates,
        error_sentence,
        is_away,
        magic_packet,
    )
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.address import (
        answer_sentence,
        attempt,
        away_sentence,
        candidates,
        error_sentence,
        is_away,
        magic_packet,
    )
    from ansible.module_utils.fleet.vocabulary import plain

LOGIN_SECONDS = 3
"""What key exchange and login may take after the banner; ssh's own ConnectTimeout ends with the banner."""

HUNG = "the connection hung: timed out"
"""Said of an attempt without a word of ssh: a connection that persists from before and whose other end is gone, or a name that
the resolver broods over. ConnectTimeout covers neither."""


def race(addresses: Sequence[str], ask: Callable[[str], str | None], patience: float, limit: float) -> dict[str, str | None]:
    """Ask one address after the other until one answers; what each said, None for the one that answered.

    The next one is begun when the one before it has failed or been silent for `patience` seconds, while that one may still
    answer. `limit` bounds each attempt.
    """
    said: dict[str, str | None] = {}
    done: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
    ends: dict[str, float] = {}
    waiting = list(addresses)
    while waiting or ends:
        if waiting:
            address = waiting.pop(0)
            threading.Thread(target=lambda name=address: done.put((name, ask(name))), daemon=True).start()
            ends[address] = time.monotonic() + limit
            next_look = time.monotonic() + (patience if waiting else limit)
        else:
            next_look = min(ends.values())
        begun_last = address
        while ends and (left := next_look - time.monotonic()) > 0:
            try:
                name, failure = done.get(timeout=left)
            except queue.Empty:
                break
            if name not in ends:
                continue
            del ends[name]
            said[name] = failure
            if failure is None:
                return said
            if name == begun_last and waiting:
                break
        for name in [name for name, end in ends.items() if end <= time.monotonic()]:
            del ends[name]
            said[name] = HUNG
    return said


class ActionModule(ActionBase):
    """Nothing is copied to the host: one `true` over ssh is all it sees."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Try the addresses, wake the host if asked to, and say what came of it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "addresses": {"type": "list", "elements": "str", "required": True},
                "optional": {"type": "bool", "default": False},
                "absent": {"type": "str", "choices": ["refuse", "tell"], "default": "refuse"},
                "timeout": {"type": "int", "default": 2},
                "wake_mac": {"type": "str"},
                "wake_broadcast": {"type": "str", "default": "255.255.255.255"},
                "wake_port": {"type": "int", "default": 9},
                "wake_seconds": {"type": "int", "default": 40},
            }
        )
        host = str((task_vars or {})["inventory_hostname"])
        addresses = candidates(arguments["addresses"])
        if self._connection.transport != "ssh":
            # Another way to the host, such as `local`, has no address to choose.
            return {**result, "changed": False, "address": addresses[0], "away": "", "expected": False, "tried": [], "said": ""}
        attempts = self._find(addresses, arguments["timeout"], thorough=not arguments["optional"])
        waited = 0.0
        if arguments["wake_mac"] and is_away(attempts) and not self._task.check_mode:
            attempts, waited = self._wake(addresses, arguments)
        address = next((one.address for one in attempts if one.cause == "answered"), "")
        expected = bool(arguments["optional"]) and not address and is_away(attempts)
        result.update(changed=False, address=address, away="", expected=expected, said="", tried=plain(attempts))
        if address:
            result["said"] = answer_sentence(host, address, attempts, woken=waited > 0)
        elif expected:
            result["away"] = away_sentence(host, attempts, waited)
            if arguments["absent"] == "refuse":
                result["recap"] = result["away"]
        else:
            user = str(self._connection.get_option("remote_user") or "")
            sentence = error_sentence(host, user, attempts, waited)
            result.update({"away": sentence} if arguments["absent"] == "tell" else {"failed": True, "msg": sentence})
        return result

    def _find(self, addresses: Sequence[str], timeout: int, *, thorough: bool) -> list[Attempt]:
        """Try every address; again those that deserve it.

        One that hung may have been held up by a dead connection of an earlier run, which is closed first. A host whose silence is
        an error is asked a second time with more patience: a Mac under load answers late.
        """
        said = self._race(addresses, timeout)
        if None not in said.values():
            hung = [address for address in said if said[address] == HUNG]
            late = [address for address in said if attempt(address, said[address]).cause == "silent"] if thorough else hung
            for address in hung:
                self._forget(address)
            if late:
                said.update(self._race(late, 2 * timeout if thorough else timeout))
        return [attempt(address, said[address]) for address in addresses if address in said]

    def _race(self, addresses: Sequence[str], timeout: int) -> dict[str, str | None]:
        return race(addresses, lambda address: self._ask(address, timeout), timeout, timeout + LOGIN_SECONDS)

    def _ask(self, address: str, timeout: int) -> str | None:
        """Run `true` at an address; None when it ran, else the words of ssh."""
        try:
            status, _, words = self._connection_to(address, timeout).exec_command("true", sudoable=False)
        except AnsibleError as problem:
            return str(problem)
        return None if status == 0 else words.decode(errors="replace") or f"`true` ended with {status}"

    def _connection_to(self, address: str, timeout: int) -> Any:
        """Return a connection with every setting of the host's own, to this address."""
        connection = connection_loader.get(self._connection.transport, self._play_context)
        for name, value in self._connection._options.items():
            connection.set_option(name, value)
        connection.set_option("host", address)
        connection.set_option("timeout", timeout)
        connection.set_option("reconnection_retries", 0)
        return connection

    def _forget(self, address: str) -> None:
        """Close a connection that persists from before, bounded in time."""
        closer = threading.Thread(target=self._connection_to(address, 1).reset, daemon=True)
        closer.start()
        closer.join(timeout=2)

    def _wake(self, addresses: Sequence[str], arguments: dict[str, Any]) -> tuple[list[Attempt], float]:
        """Send the wake-up packet again and again until the host answers or the time is over."""
        try:
            packet = magic_packet(arguments["wake_mac"])
        except ValueError as problem:
            message = f"fleet_address_wake_mac: {problem}."
            raise AnsibleError(message) from problem
        began = time.monotonic()
        while True:
            try:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                    sender.sendto(packet, (arguments["wake_broadcast"], arguments["wake_port"]))
            except OSError as problem:
                message = (
                    f"The wake-up packet cannot be sent to {arguments['wake_broadcast']}, port {arguments['wake_port']}:"
                    f" {problem}. Set fleet_address_wake_broadcast to the broadcast address of the Mac's network."
                )
                raise AnsibleError(message) from problem
            round_began = time.monotonic()
            attempts = self._find(addresses, arguments["timeout"], thorough=False)
            waited = time.monotonic() - began
            if not is_away(attempts) or waited > arguments["wake_seconds"]:
                return attempts, waited
            # Failures that come at once, such as a name that does not resolve, must not fill the network with packets.
            time.sleep(max(0.0, 1 - (time.monotonic() - round_began)))
