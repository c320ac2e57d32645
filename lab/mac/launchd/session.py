"""The login window's side of a virtual Mac: `session.py login|logout|touch USER`, for root.

login and logout are what happens at the screen; touch is what pam_launchd does when an SSH login begins.
"""

from __future__ import annotations

import os
import sys

_LIB = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120  starts light
if _LIB not in sys.path:
    sys.path.insert(0, _LIB)

from mac.launchd import wire  # noqa: E402  found only now

COMMANDS = ("login", "logout", "touch")


def main(argv: list[str]) -> int:
    """Tell launchd of a login or logout."""
    if len(argv) != 2 or argv[0] not in COMMANDS:
        print("usage: session.py login|logout|touch USER", file=sys.stderr)
        return 64
    try:
        reply = wire.ask({"control": argv[0], "user": argv[1]})
    except (OSError, ValueError) as error:
        print(f"Could not connect to launchd: {error}", file=sys.stderr)
        return 1
    sys.stderr.write(reply["err"])
    code: int = reply["code"]
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
