"""pf's rule language, the part that hosts use: read it, expand its lists, print it as pfctl does.

What is printed is a fixed point: reading it again prints the same. So rules are kept as printed text.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple


class SyntaxFailure(Exception):
    """A line that cannot be read; `line` counts from 1, `reason` is pfctl's wording."""

    def __init__(self, line: int, reason: str = "syntax error") -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class Host(NamedTuple):
    """One end of a rule: any address, a network, or a table."""

    kind: str = "any"  # any, net, table
    value: str = ""
    negated: bool = False

    @property
    def family(self) -> int:
        """Give 4 or 6 for a network, 0 where the address fits both."""
        return ipaddress.ip_network(self.value).version if self.kind == "net" else 0

    def text(self) -> str:
        """Print the address; a single host has no mask."""
        if self.kind == "any":
            return "any"
        sign = "! " if self.negated else ""
        if self.kind == "table":
            return f"{sign}<{self.value}>"
        network = ipaddress.ip_network(self.value)
        single = network.prefixlen == network.max_prefixlen
        return sign + str(network.network_address if single else network)


class Ports(NamedTuple):
    """A condition on a port."""

    operator: str
    first: int
    second: int = 0

    def text(self) -> str:
        """Print the condition: a plain port gains `=`."""
        if self.operator == ":":
            return f" port {self.first}:{self.second}"
        if self.operator in ("><", "<>"):
            return f" port {self.first} {self.operator} {self.second}"
        return f" port {self.operator} {self.first}"


class Rule(NamedTuple):
    """One filter rule with its lists expanded."""

    action: str  # pass, block drop, block return
    direction: str  # "", in, out
    log: bool
    quick: bool
    interface: str
    family: int  # 0, 4, 6
    protocol: str
    source: Host
    source_ports: Ports | None
    target: Host
    target_ports: Ports | None
    flags: str  # "", any, S/SA
    state: str  # "", keep, modulate, synproxy, no
    label: str

    def text(self) -> str:
        """Print the rule as `pfctl -s rules` does."""
        words = [self.action]
        words += [self.direction] if self.direction else []
        words += [word for word, on in (("log", self.log), ("quick", self.quick)) if on]
        words += ["on " + self.interface] if self.interface else []
        words += {4: ["inet"], 6: ["inet6"]}.get(self.family, [])
        words += ["proto " + self.protocol] if self.protocol else []
        if self.source.kind == self.target.kind == "any" and not (self.source_ports or self.target_ports):
            words.append("all")
        else:
            words.append("from {}{}".format(self.source.text(), self.source_ports.text() if self.source_ports else ""))
            words.append("to {}{}".format(self.target.text(), self.target_ports.text() if self.target_ports else ""))
        words += ["flags " + self.flags] if self.flags else []
        words += [self.state + " state"] if self.state else []
        words += [f'label "{self.label}"'] if self.label else []
        return " ".join(words)


class Anchor(NamedTuple):
    """A place where another ruleset is evaluated; `kind` is anchor, nat-anchor, ..."""

    kind: str
    name: str

    def text(self) -> str:
        """Print the anchor as pfctl does."""
        extra = " fragment reassemble" if self.kind == "scrub-anchor" else ""
        return f'{self.kind} "{self.name}" all{extra}'


class Table(NamedTuple):
    """A named set of addresses."""

    name: str
    flags: tuple[str, ...]
    networks: tuple[str, ...]

    def text(self) -> str:
        """Print the table's definition."""
        words = [f"table <{self.name}>", *self.flags]
        if self.networks:
            words.append("{{ {} }}".format(" ".join(Host("net", item).text() for item in self.networks)))
        return " ".join(words)


class Load(NamedTuple):
    """`load anchor NAME from FILE`."""

    anchor: str
    file: str


class Ruleset(NamedTuple):
    """A file that was read."""

    macros: tuple[tuple[str, str], ...]
    skip: tuple[str, ...]
    options: tuple[str, ...]
    tables: tuple[Table, ...]
    anchors: tuple[Anchor, ...]  # normalization, translation and dummynet
    rules: tuple[str, ...]  # filter rules and filter anchors, printed, in order
    loads: tuple[Load, ...]

    def lines(self) -> list[str]:
        """Print everything as `pfctl -vnf` does."""
        found = ['{} = "{}"'.format(*macro) for macro in self.macros]
        found += ["set " + option for option in self.options]
        found += ["set skip on {{ {} }}".format(" ".join(self.skip))] if self.skip else []
        found += [table.text() for table in self.tables]
        found += [anchor.text() for anchor in self.anchors]
        return found + list(self.rules) + ['load anchor "{}" from "{}"'.format(*load) for load in self.loads]


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"[^"]*")
    | (?P<table><[A-Za-z_][A-Za-z0-9_.-]*>)
    | (?P<operator>><|<>|>=|<=|!=|[{}(),!=<>])
    | (?P<word>[$A-Za-z0-9_./:*%-]+)
    )""",
    re.VERBOSE,
)
_MACRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ORDER = {"set": 0, "scrub": 1, "nat": 3, "rule": 4}
_ORDER_REASON = "Rules must be in order: options, normalization, queueing, translation, filtering"
_ANCHORS = {
    "scrub-anchor": "scrub",
    "nat-anchor": "nat",
    "rdr-anchor": "nat",
    "binat-anchor": "nat",
    "dummynet-anchor": "nat",
    "fwd-anchor": "nat",
}
_PROTOCOLS = ("tcp", "udp", "icmp", "icmp6", "ipv6-icmp", "esp", "ah", "gre", "igmp")
_SERVICES = {"ssh": 22, "domain": 53, "http": 80, "https": 443, "microsoft-ds": 445, "rfb": 5900}


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Give the statements with the number of their last line: a backslash and open braces continue a line."""
    found: list[tuple[int, str]] = []
    pending = ""
    rows = text.split("\n")
    for number, row in enumerate(rows, 1):
        code = re.match(r'(?:[^"#]|"[^"]*")*', row)
        piece = code.group(0) if code else row
        if code and code.end() < len(row) and row[code.end()] == '"':
            raise SyntaxFailure(number)
        if piece.rstrip().endswith("\\"):
            pending += piece.rstrip()[:-1] + " "
            continue
        pending += piece
        bare = re.sub(r'"[^"]*"', "", pending)
        if bare.count("{") > bare.count("}") and number < len(rows):
            pending += " "
            continue
        if pending.strip():
            found.append((number, pending.strip()))
        pending = ""
    if pending.strip():
        raise SyntaxFailure(len(rows))
    return found


def _tokens(statement: str, line: int) -> list[str]:
    found: list[str] = []
    position = 0
    while position < len(statement):
        match = _TOKEN.match(statement, position)
        if match is None:
            if statement[position:].strip():
                raise SyntaxFailure(line)
            break
        found.append(match.group(0).strip())
        position = match.end()
    return found


class _Reader:
    """The tokens of one statement, with macros put in their places."""

    def __init__(self, tokens: list[str], line: int, macros: dict[str, str]) -> None:
        self.line = line
        self.rest: list[str] = []
        for token in tokens:
            if not token.startswith("$"):
                self.rest.append(token)
            elif token[1:] in macros:
                self.rest += _tokens(macros[token[1:]], line)
            else:
                raise SyntaxFailure(line, f"macro '{token[1:]}' not defined")

    def fail(self, reason: str = "syntax error") -> SyntaxFailure:
        return SyntaxFailure(self.line, reason)

    def peek(self) -> str:
        return self.rest[0] if self.rest else ""

    def take(self) -> str:
        if not self.rest:
            raise self.fail()
        return self.rest.pop(0)

    def accept(self, *words: str) -> str:
        return self.rest.pop(0) if self.rest and self.rest[0] in words else ""

    def expect(self, word: str) -> None:
        if self.take() != word:
            raise self.fail()

    def string(self) -> str:
        token = self.take()
        if token in _PUNCTUATION:
            raise self.fail()
        return token.strip('"')

    def listed(self) -> list[list[str]]:
        """Take `X` or `{ X, Y Z }` as groups of tokens; commas are optional, as in pf."""
        if not self.accept("{"):
            return []
        groups: list[list[str]] = []
        current: list[str] = []
        while True:
            token = self.take()
            if token in (",", "}"):
                groups += [current] if current else []
                current = []
                if token == "}":  # noqa: S105  a word of the grammar
                    break
            else:
                current.append(token)
        if not groups:
            raise self.fail()
        return groups


_PUNCTUATION = set("{}(),!=<>") | {"><", "<>", ">=", "<=", "!="}


def _host(reader: _Reader) -> Host:
    negated = bool(reader.accept("!"))
    token = reader.take()
    if token == "any" and not negated:  # noqa: S105  a word of the grammar
        return Host()
    if token.startswith("<"):
        if len(token) < 3 or not token.endswith(">"):
            raise reader.fail()
        return Host("table", token[1:-1], negated)
    return Host("net", _network(token, reader), negated)


def _network(token: str, reader: _Reader) -> str:
    if token in _PUNCTUATION:
        raise reader.fail()
    text = token.strip('"')
    # A short form like 10/8 means 10.0.0.0/8.
    address, slash, mask = text.partition("/")
    if slash and re.fullmatch(r"\d+(\.\d+){0,2}", address):
        text = "{}{}/{}".format(address, ".0" * (3 - address.count(".")), mask)
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise reader.fail("could not parse host specification") from None


def _hosts(reader: _Reader, macros: dict[str, str]) -> list[Host]:
    if reader.peek() != "{":
        return [_simplified(_host(reader))]
    hosts: list[Host] = []
    for group in reader.listed():
        inner = _Reader(group, reader.line, macros)
        while inner.rest:
            hosts.append(_simplified(_host(inner)))
    return hosts


def _simplified(host: Host) -> Host:
    """Take the whole of a family for any; pf prints a zero mask so. The family is lost only without `inet`."""
    if host.kind == "net" and not host.negated and ipaddress.ip_network(host.value).prefixlen == 0:
        return Host("any", "inet6" if host.family == 6 else "inet")
    return host


def _number(token: str, reader: _Reader) -> int:
    value = _SERVICES.get(token, -1)
    if token.isascii() and token.isdigit():
        value = int(token)
    if not 0 <= value <= 65535:
        raise reader.fail(f"unknown port {token}" if not token.isdigit() else f"illegal port value {token}")
    return value


def _port(reader: _Reader) -> Ports:
    operator = reader.accept("=", "!=", "<", "<=", ">", ">=")
    if operator:
        return Ports(operator, _number(reader.take(), reader))
    token = reader.take()
    if token in _PUNCTUATION:
        raise reader.fail()
    if ":" in token:
        first, _, last = token.partition(":")
        return Ports(":", _number(first, reader), _number(last, reader))
    between = reader.accept("><", "<>")
    if between:
        return Ports(between, _number(token, reader), _number(reader.take(), reader))
    return Ports("=", _number(token, reader))


def _ports(reader: _Reader, macros: dict[str, str]) -> list[Ports | None]:
    if not reader.accept("port"):
        return [None]
    if reader.peek() != "{":
        return [_port(reader)]
    ports: list[Ports | None] = []
    for group in reader.listed():
        inner = _Reader(group, reader.line, macros)
        while inner.rest:
            ports.append(_port(inner))
    return ports


def _names(reader: _Reader, allowed: tuple[str, ...] = ()) -> list[str]:
    """Take one name or a list of names (interfaces, protocols)."""
    if reader.peek() == "{":
        names = [word for group in reader.listed() for word in group]
    else:
        names = [reader.take()]
        if names == ["!"]:
            names = ["! " + reader.take()]
    for name in names:
        bare = name[2:] if name.startswith("! ") else name
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", bare):
            raise reader.fail()
        if allowed and name not in allowed:
            raise reader.fail(f"unknown protocol {name}")
    return names


def _rule(reader: _Reader, macros: dict[str, str], policy: str) -> list[Rule]:
    """Read one pass or block statement and expand its lists in pfctl's order (parse.y, expand_rule)."""
    action = reader.take()
    if action == "block":
        word = reader.accept("drop", "return", "return-rst", "return-icmp", "return-icmp6")
        action = "block " + (word or policy)
    direction = reader.accept("in", "out")
    log = bool(reader.accept("log"))
    quick = bool(reader.accept("quick"))
    interfaces = _names(reader) if reader.accept("on") else [""]
    family = {"inet": 4, "inet6": 6}.get(reader.accept("inet", "inet6"), 0)
    protocols = _names(reader, _PROTOCOLS) if reader.accept("proto") else [""]
    sources, source_ports = [Host()], _no_ports()
    targets, target_ports = [Host()], _no_ports()
    if not reader.accept("all"):
        given = False
        if reader.accept("from"):
            given = True
            sources = _hosts(reader, macros) if reader.peek() != "port" else sources
            source_ports = _ports(reader, macros)
        if reader.accept("to"):
            given = True
            targets = _hosts(reader, macros) if reader.peek() != "port" else targets
            target_ports = _ports(reader, macros)
        if not given and (reader.rest and reader.peek() not in ("flags", "keep", "no", "modulate", "synproxy", "label")):
            raise reader.fail()
    flags, state, label = _trailer(reader)
    has_ports = source_ports != [None] or target_ports != [None]
    if has_ports and not set(protocols) <= {"tcp", "udp"}:
        raise reader.fail("port only applies to tcp/udp")
    rules: list[Rule] = []
    for interface in interfaces:
        for protocol in protocols:
            for source in sources:
                for source_port in source_ports:
                    for target in targets:
                        for target_port in target_ports:
                            chosen = _family(family, source, target)
                            if chosen is None:
                                continue
                            rules.append(
                                Rule(
                                    action,
                                    direction,
                                    log,
                                    quick,
                                    interface,
                                    chosen,
                                    protocol,
                                    source if source.kind != "any" else Host(),
                                    source_port,
                                    target if target.kind != "any" else Host(),
                                    target_port,
                                    *_state(action, protocol, flags, state),
                                    label,
                                )
                            )
    if not rules:
        raise reader.fail("rule expands to no valid combination")
    return rules


def _no_ports() -> list[Ports | None]:
    return [None]


def _trailer(reader: _Reader) -> tuple[str, str, str]:
    flags = state = label = ""
    while reader.rest:
        word = reader.take()
        if word == "flags":
            flags = reader.take()
            if not re.fullmatch(r"any|[FSRPAUEW]*/[FSRPAUEW]+", flags):
                raise reader.fail("unknown flag")
        elif word in ("keep", "modulate", "synproxy", "no"):
            reader.expect("state")
            state = word
        elif word == "label":
            label = reader.string()
        else:
            raise reader.fail()
    return flags, state, label


def _state(action: str, protocol: str, flags: str, state: str) -> tuple[str, str]:
    """Give flags and state as pfctl completes them: a pass rule keeps state, for TCP from the first packet on."""
    if action != "pass":
        return flags, state
    state = state or "keep"
    if state != "no" and not flags and protocol in ("", "tcp"):
        flags = "S/SA"
    return flags, state


def _family(declared: int, source: Host, target: Host) -> int | None:
    """Find the family of a combination, or nothing where its parts contradict each other."""
    families = {declared, source.family, target.family}
    families |= {{"inet": 4, "inet6": 6}.get(host.value, 0) for host in (source, target) if host.kind == "any"}
    families.discard(0)
    if len(families) > 1:
        return None
    return families.pop() if families else 0


def _table(reader: _Reader) -> Table:
    token = reader.take()
    if not token.startswith("<") or not token.endswith(">") or len(token) < 3:
        raise reader.fail()
    flags: list[str] = []
    networks: list[str] = []
    while reader.rest:
        word = reader.accept("persist", "const", "counters")
        if word:
            flags.append(word)
            continue
        for group in reader.listed() if reader.peek() == "{" else _raise(reader):
            networks += [_network(item, reader) for item in group]
    order = ("persist", "const", "counters")
    return Table(
        token[1:-1],
        tuple(flag for flag in order if flag in flags),
        tuple(sorted(set(networks), key=lambda text: (ipaddress.ip_network(text).version, ipaddress.ip_network(text)))),
    )


def _raise(reader: _Reader) -> list[list[str]]:
    raise reader.fail()


class _Builder:
    """Collects the statements of one file and holds them to pf's order."""

    def __init__(self) -> None:
        self.macros: dict[str, str] = {}
        self.skip: list[str] = []
        self.options: list[str] = []
        self.tables: dict[str, Table] = {}
        self.anchors: list[Anchor] = []
        self.rules: list[str] = []
        self.loads: list[Load] = []
        self.policy = "drop"
        self._stage = 0

    def stage(self, name: str, line: int) -> None:
        if _ORDER[name] < self._stage:
            raise SyntaxFailure(line, _ORDER_REASON)
        self._stage = _ORDER[name]

    def add(self, line: int, statement: str) -> None:
        tokens = _tokens(statement, line)
        if len(tokens) >= 2 and tokens[1] == "=" and _MACRO_NAME.fullmatch(tokens[0]):
            self._macro(tokens, line)
            return
        reader = _Reader(tokens, line, self.macros)
        word = reader.peek()
        if word in ("pass", "block"):
            self.stage("rule", line)
            self.rules += [rule.text() for rule in _rule(reader, self.macros, self.policy)]
            return
        reader.take()
        if word == "set":
            self.stage("set", line)
            self._option(reader)
        elif word == "table":
            table = _table(reader)
            self.tables[table.name] = table
        elif word in _ANCHORS:
            self.stage(_ANCHORS[word], line)
            self.anchors.append(self._anchor(word, reader))
        elif word == "anchor":
            self.stage("rule", line)
            self.rules.append(self._anchor(word, reader).text())
        elif word == "load":
            reader.expect("anchor")
            name = reader.string()
            reader.expect("from")
            self.loads.append(Load(name, reader.string()))
        else:
            raise reader.fail()
        if reader.rest:
            raise reader.fail()

    def _macro(self, tokens: list[str], line: int) -> None:
        value: list[str] = []
        for token in tokens[2:]:
            if token.startswith("$"):
                if token[1:] not in self.macros:
                    raise SyntaxFailure(line, f"macro '{token[1:]}' not defined")
                value.append(self.macros[token[1:]])
            else:
                value.append(token.strip('"'))
        if not value:
            raise SyntaxFailure(line)
        self.macros[tokens[0]] = " ".join(value)

    def _option(self, reader: _Reader) -> None:
        name = reader.take()
        if name == "skip":
            reader.expect("on")
            self.skip += [interface for interface in _names(reader) if interface not in self.skip]
        elif name == "block-policy":
            self.policy = reader.accept("drop", "return")
            if not self.policy:
                raise reader.fail()
            self.options.append("block-policy " + self.policy)
        elif name in ("debug", "optimization", "state-policy", "ruleset-optimization", "fingerprints", "loginterface"):
            self.options.append(f"{name} {reader.string()}")
        else:
            raise reader.fail()

    def _anchor(self, kind: str, reader: _Reader) -> Anchor:
        name = reader.string()
        reader.accept("all")
        if kind == "scrub-anchor" and reader.accept("fragment"):
            reader.expect("reassemble")
        return Anchor(kind, name)


def parse(text: str) -> Ruleset:
    """Read a file of rules. It has to end with a newline: pf's last line counts only when it is complete."""
    if text and not text.endswith("\n"):
        raise SyntaxFailure(text.count("\n") + 1)
    builder = _Builder()
    for line, statement in _logical_lines(text):
        builder.add(line, statement)
    return Ruleset(
        tuple(builder.macros.items()),
        tuple(builder.skip),
        tuple(builder.options),
        tuple(builder.tables.values()),
        tuple(builder.anchors),
        tuple(builder.rules),
        tuple(builder.loads),
    )


def parse_rule(text: str) -> Rule:
    """Read one printed rule back."""
    reader = _Reader(_tokens(text, 1), 1, {})
    return _rule(reader, {}, "drop")[0]
