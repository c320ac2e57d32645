"""powermetrics: what the GPU draws, sampled for a while.

The frame and the lines of `gpu_power` are as published by people with Apple silicon (macOS 13 to 26, `-i 1000 -n N`). How much a
GPU draws while it generates is a guess: twelve watts while a model is in memory, 30 mW else.
"""

from __future__ import annotations

import os
import sys
import time

from mac.commands.memory import loaded
from mac.machine import fault, machine

BUSY_MILLIWATTS = 12_000
IDLE_MILLIWATTS = 30
_SAMPLERS = ("all", "default", "cpu_power", "gpu_power", "thermal", "tasks")


def sample(milliwatts: int, elapsed: float) -> str:
    """Give one sample of the sampler gpu_power."""
    busy = milliwatts > IDLE_MILLIWATTS
    active = 97.21 if busy else 1.34
    stamp = time.strftime("%a %b %e %H:%M:%S %Y +0000", time.gmtime())
    return (
        f"*** Sampled system activity ({stamp}) ({elapsed:.2f}ms elapsed) ***\n\n\n"
        "**** GPU usage ****\n\n"
        f"GPU HW active frequency: {1380 if busy else 338} MHz\n"
        f"GPU HW active residency: {active:6.2f}% (338 MHz: {100 - active:.0f}% 1380 MHz: {active:.0f}%)\n"
        "GPU SW requested state: (P1 : 100%)\n"
        f"GPU idle residency: {100 - active:6.2f}%\n"
        f"GPU Power: {milliwatts} mW\n\n"
    )


def main(argv: list[str]) -> int:
    """Sample; only root may, and it says so (the sentence is published, the status 1 too)."""
    if os.geteuid() != 0:
        print("powermetrics must be invoked as the superuser", file=sys.stderr)
        return 1
    given = {"--samplers": "default", "-i": "5000", "-n": "-1"}
    words = iter(argv)
    for word in words:
        if word not in given:
            print(f"powermetrics: unrecognized option `{word}'", file=sys.stderr)
            return 64
        given[word] = next(words, "")
    if any(name not in _SAMPLERS for name in given["--samplers"].split(",")):
        print(f"powermetrics: unrecognized sampler: {given['--samplers']}", file=sys.stderr)
        return 64
    interval, left = int(given["-i"]) / 1000, int(given["-n"])
    me = machine()
    print(f"Machine model: {me.model}\nOS version: {me.build}\nBoot arguments: \n\n\n", flush=True)
    while left:
        began = time.monotonic()
        time.sleep(interval)
        told = fault("gpu-milliwatts")
        power = int(told) if told is not None else BUSY_MILLIWATTS if loaded() else IDLE_MILLIWATTS
        print(sample(power, 1000 * (time.monotonic() - began)), flush=True)
        left -= 1
    return 0
