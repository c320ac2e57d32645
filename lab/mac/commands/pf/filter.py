"""pf's rules as an nftables table that filters the Mac's real packets.

Last match wins unless a rule is quick. That order is the same as: the quick rules in their order, then the
others from the last to the first, and the first match decides.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from mac.commands.alf import TAILSCALE_MARK
from mac.commands.pf.grammar import Host, Ports, Rule, parse_rule

if TYPE_CHECKING:
    from mac.commands.pf.store import Pf

# The bit of a connection's mark that says: pf holds a state for it, the rules are asked no more.
STATE_MARK = 0x70F00
_LOOPBACK = {"lo0": "lo"}


def flatten(pf: Pf, anchor: str = "") -> list[dict[str, str]]:
    """Give the rules in the order of evaluation, each with the anchor whose tables it means.

    `com.apple/*` evaluates every ruleset directly under com.apple, in the order of their names; a ruleset that
    no anchor rule leads to is never asked.
    """
    found: list[dict[str, str]] = []
    for text in pf.rules(anchor):
        if not text.startswith("anchor "):
            found.append({"anchor": anchor, "rule": text})
            continue
        name = text.split('"')[1]
        full = f"{anchor}/{name}" if anchor and not name.startswith("/") else name.lstrip("/")
        for child in pf.children(full[:-2]) if full.endswith("/*") else [full]:
            found += flatten(pf, child)
    return found


def _interface(name: str, direction: str) -> list[str]:
    """Match one interface by its exact name: pf on macOS knows no groups, `utun` never means utun4."""
    if not name:
        return []
    word = "iifname" if direction == "in" else "oifname"
    negated, bare = name.startswith("! "), name[2:] if name.startswith("! ") else name
    return ['{} {}"{}"'.format(word, "!= " if negated else "", _LOOPBACK.get(bare, bare))]


def _members(pf: Pf, anchor: str, host: Host, family: int) -> list[str]:
    if host.kind == "net":
        return [host.value] if host.family == family else []
    networks = pf.table(anchor, host.value) or []
    return [item for item in networks if ipaddress.ip_network(item).version == family]


def _host(pf: Pf, anchor: str, host: Host, family: int, side: str) -> list[str] | None:
    """Match one end of a rule; nothing where the end can never match."""
    if host.kind == "any":
        return []
    members = _members(pf, anchor, host, family)
    if not members:
        return [] if host.negated else None
    collapsed = ipaddress.collapse_addresses(ipaddress.ip_network(item) for item in members)  # type: ignore[type-var]
    word = "ip" if family == 4 else "ip6"
    sign = "!= " if host.negated else ""
    return ["{} {} {}{{ {} }}".format(word, side, sign, ", ".join(str(item) for item in collapsed))]


def _port(ports: Ports | None, protocol: str, side: str) -> list[str]:
    if ports is None:
        return []
    head = f"{protocol} {side}"
    low, high = ports.first, ports.second
    if ports.operator == ":":
        return [f"{head} {low}-{high}"] if low <= high else [f"{head} != 0-65535"]
    if ports.operator == "><":
        return [f"{head} > {low}", f"{head} < {high}"]
    if ports.operator == "<>":
        return [f"{head} != {low}-{high}"] if low <= high else []
    sign = {"=": "", "!=": "!= "}.get(ports.operator, ports.operator + " ")
    return [f"{head} {sign}{low}"]


def _flags(rule: Rule) -> list[list[str]]:
    """Match the TCP flags; a rule without protocol asks for them of TCP packets alone."""
    if rule.flags in ("", "any"):
        return [["meta l4proto " + _protocol(rule.protocol)] if rule.protocol else []]
    names = {"F": "fin", "S": "syn", "R": "rst", "P": "psh", "A": "ack", "U": "urg", "E": "ecn", "W": "cwr"}
    wanted, _, mask = rule.flags.partition("/")
    value = " | ".join(names[letter] for letter in wanted) or "0x0"
    test = "tcp flags & ({}) == {}".format(" | ".join(names[letter] for letter in mask), value)
    if rule.protocol:
        return [["meta l4proto tcp", test]]
    return [["meta l4proto tcp", test], ["meta l4proto != tcp"]]


def _protocol(name: str) -> str:
    return {"icmp6": "ipv6-icmp"}.get(name, name)


def _verdict(rule: Rule) -> str:
    if rule.action == "pass":
        keep = "" if rule.state == "no" else f"ct mark set ct mark or 0x{STATE_MARK:x} "
        return keep + "accept"
    if rule.action == "block drop":
        return "drop"
    return "reject with tcp reset" if rule.protocol == "tcp" else "reject"


def translate(pf: Pf, anchor: str, rule: Rule, direction: str) -> list[str]:
    """Give the nft rules that match what one pf rule matches, in one direction."""
    specific = rule.source.kind != "any" or rule.target.kind != "any"
    families = [rule.family] if rule.family else [4, 6] if specific else [0]
    lines: list[str] = []
    for family in families:
        source = _host(pf, anchor, rule.source, family, "saddr")
        target = _host(pf, anchor, rule.target, family, "daddr")
        if source is None or target is None:
            continue
        head = _interface(rule.interface, direction)
        head += [f"meta nfproto ipv{family}"] if family else []
        for flags in _flags(rule):
            ports = _port(rule.source_ports, rule.protocol, "sport") + _port(rule.target_ports, rule.protocol, "dport")
            lines.append(" ".join([*head, *source, *target, *flags, *ports, _verdict(rule)]))
    return lines


def ruleset(pf: Pf) -> str:
    """Write the whole filter: one nft script that replaces the table in a single step."""
    clear = "table inet pf\ndelete table inet pf\n"
    if not pf.enabled:
        return clear
    chains: list[str] = []
    entries = flatten(pf)
    parsed = [(entry["anchor"], parse_rule(entry["rule"])) for entry in entries]
    ordered = [item for item in parsed if item[1].quick] + [item for item in reversed(parsed) if not item[1].quick]
    for chain, direction, word in (("input", "in", "iifname"), ("output", "out", "oifname")):
        lines = [f"type filter hook {chain} priority -10; policy accept;"]
        lines += [f'{word} "{_LOOPBACK.get(name, name)}" accept' for name in pf.skip]
        # tailscaled takes its packets off the tunnel before pf could see them (netstack, serve).
        lines.append(f"meta mark & 0x{TAILSCALE_MARK:x} != 0 accept")
        lines.append(f"ct state established,related ct mark & 0x{STATE_MARK:x} != 0 accept")
        for anchor, rule in ordered:
            if rule.direction in ("", direction):
                lines += translate(pf, anchor, rule, direction)
        chains.append(" chain {} {{\n  {}\n }}\n".format(chain, "\n  ".join(lines)))
    return clear + "table inet pf {{\n{}}}\n".format("".join(chains))
