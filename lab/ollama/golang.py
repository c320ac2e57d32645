"""How Go writes and reads what crosses Ollama's interfaces: durations, times, JSON, quoted strings."""

from __future__ import annotations

import json
import re
import struct
import time
from typing import Any

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
MAX_DURATION = (1 << 63) - 1  # Go's math.MaxInt64 nanoseconds, some 292 years: Ollama's "for ever"

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,
    "μs": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_PART = re.compile(r"(\d*)(?:\.(\d*))?([^\d.]*)")


def quote(text: str) -> str:
    """Write a string as Go's %q does, for the characters that names and durations can hold."""
    out = ['"']
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char in "\n\t\r":
            out.append({"\n": "\\n", "\t": "\\t", "\r": "\\r"}[char])
        elif ord(char) < 32 or ord(char) == 127:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(char)
    return "".join(out) + '"'


def parse_duration(text: str) -> int:
    """Read a duration as time.ParseDuration does; a ValueError carries Go's own words."""
    invalid = "time: invalid duration " + quote(text)
    rest = text
    sign = 1
    if rest[:1] in ("+", "-"):
        sign = -1 if rest[0] == "-" else 1
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(invalid)
    total = 0
    while rest:
        found = _PART.match(rest)
        whole, fraction, unit = found.groups() if found else ("", None, "")
        if not whole and not fraction:
            raise ValueError(invalid)
        if not unit:
            raise ValueError("time: missing unit in duration " + quote(text))
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        total += int(whole or 0) * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        if total > MAX_DURATION:
            raise ValueError(invalid)
        rest = rest[found.end() :] if found else ""
    return sign * total


def format_duration(nanoseconds: int) -> str:
    """Write a duration as Go's Duration.String does: 5m0s, 1.5s, 226.453µs."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    value = abs(nanoseconds)
    if value < SECOND:
        for unit, size in (("ns", NANOSECOND), ("µs", MICROSECOND), ("ms", MILLISECOND)):
            if value < size * 1000:
                return sign + _decimal(value, size) + unit
    hours, rest = divmod(value, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    text = _decimal(rest, SECOND) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    if not rest:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}.{str(rest).rjust(digits, '0').rstrip('0')}"


def rfc3339(nanoseconds: int, *, utc: bool = False) -> str:
    """Write a moment as Go's RFC3339Nano does: trailing zeros cut, the zone as Z or an offset."""
    seconds, rest = divmod(nanoseconds, SECOND)
    when = time.gmtime(seconds) if utc else time.localtime(seconds)
    fraction = ("." + str(rest).rjust(9, "0").rstrip("0")) if rest else ""
    offset = 0 if utc else when.tm_gmtoff
    zone = "Z"
    if offset:
        zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 3600:02d}:{abs(offset) // 60 % 60:02d}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", when) + fraction + zone


_RFC3339 = re.compile(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$")


def parse_rfc3339(text: str) -> int:
    """Read a moment back as nanoseconds since 1970."""
    import calendar

    found = _RFC3339.match(text)
    if not found:
        raise ValueError("not a time: " + text)
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, zone = found.group(7) or "", found.group(8)
    offset = 0
    if zone != "Z":
        offset = (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60) * (-1 if zone[0] == "-" else 1)
    seconds = calendar.timegm((year, month, day, hour, minute, second)) - offset
    return seconds * SECOND + int(fraction[:9].ljust(9, "0"))


def human_bytes(size: int) -> str:
    """Write a size as the CLI does: decimal units, one decimal below ten, the floor from ten on."""
    for unit, step in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= step:
            value = size / step
            if value >= 10 or size % step == 0:
                return f"{size // step} {unit}"
            return f"{value:.1f} {unit}"
    return f"{size} B"


def human_bytes2(size: int) -> str:
    """Write a size as the log does: binary units, one decimal."""
    for unit, step in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} B"


def human_number(count: int) -> str:
    """Write a number of parameters as `ollama show` does: 8.2B, 1.25M, 420K."""
    for unit, step, digits in (("B", 10**9, 1), ("M", 10**6, 2)):
        if count >= step:
            return f"{count // step}{unit}" if count % step == 0 else f"{count / step:.{digits}f}{unit}"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)


def human_duration(nanoseconds: int) -> str:
    """Write a span of time as the CLI does: About a minute, 4 hours."""
    seconds = nanoseconds // SECOND
    minutes = seconds // 60
    hours = int(nanoseconds / HOUR + 0.5)
    for limit, text in (
        (seconds < 1, "Less than a second"),
        (seconds == 1, "1 second"),
        (seconds < 60, f"{seconds} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    ):
        if limit:
            return text
    return f"{nanoseconds // HOUR // 24 // 365} years"


def human_time(moment: int, now: int) -> str:
    """Write a moment relative to now; more than twenty years ahead is Forever."""
    delta = now - moment
    if delta < 0 and -delta // HOUR // 24 // 365 > 20:
        return "Forever"
    return human_duration(-delta) + " from now" if delta < 0 else human_duration(delta) + " ago"


def short_float32(value: float) -> float:
    """Give the shortest decimal that is the same 32-bit float: 1e-06, not 9.999999974752427e-07."""
    wanted = struct.pack("<f", value)
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        if struct.pack("<f", short) == wanted:
            return short
    return value


def dumps(value: Any) -> str:
    """Write JSON as Go's encoding/json does: no blanks, <>& escaped, floats without a needless exponent."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        for char in "<>&\u2028\u2029":
            if char in text:
                text = text.replace(char, f"\\u{ord(char):04x}")
        return text
    if isinstance(value, dict):
        return "{" + ",".join(dumps(str(key)) + ":" + dumps(item) for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, float):
        return go_float(value)
    return json.dumps(value)


def go_float(value: float) -> str:
    """Write a float as Go's JSON does: plain between 1e-6 and 1e21, integral values without a point."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = int(exponent)
    if not -7 < power < 21:
        return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power)}"
    digits = len(mantissa.replace(".", "").lstrip("-")) - 1 - power
    return f"{value:.{digits}f}".rstrip("0")


_KINDS = ((bool, "bool"), (str, "string"), ((int, float), "number"), (list, "array"), (dict, "object"))


def kind(value: Any) -> str:
    """Name the JSON kind of a value as Go's decoder does in its errors."""
    return next(name for types, name in _KINDS if isinstance(value, types))


def loads(text: str) -> Any:
    """Read the first JSON value; a ValueError carries the words of Go's decoder."""
    start = len(text) - len(text.lstrip())
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        at = error.pos
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if at >= len(text) or error.msg.startswith("Unterminated"):
            raise ValueError("unexpected EOF") from None
        where = "looking for beginning of value"
        if "property name" in error.msg:
            where = "looking for beginning of object key string"
        elif "':'" in error.msg:
            where = "after object key"
        elif "','" in error.msg:
            where = "after array element" if _inside_array(text, at) else "after object key:value pair"
        elif "control character" in error.msg:
            where = "in string literal"
        raise ValueError(f"invalid character '{text[at]}' {where}") from None


def _inside_array(text: str, at: int) -> bool:
    """Tell whether the innermost bracket open before a position is square."""
    plain = re.sub(r'"(?:\\.|[^"\\])*"', lambda found: " " * len(found.group()), text[:at])
    depth: list[str] = []
    for char in plain:
        if char in "[{":
            depth.append(char)
        elif char in "]}" and depth:
            depth.pop()
    return bool(depth) and depth[-1] == "["
