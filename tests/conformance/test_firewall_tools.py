"""socketfilterfw and pfctl: texts that a playbook reads, and what is filtered."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Mac, Result

TOOL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
PROGRAM = "/opt/homebrew/Cellar/probe/1.0/bin/probe"
ALTQ = "No ALTQ support in kernel\nALTQ related functions disabled\n"


@pytest.mark.parametrize(
    ("option", "old", "new"),
    [
        ("--getglobalstate", r"Firewall is .*\(State = [012]\)", r"Firewall is .*\(State = [012]\)"),
        ("--getblockall", r"Block all (DISABLED|ENABLED)!", r"Firewall has block all state set to (disabled|enabled)\."),
        ("--getstealthmode", r"Stealth mode (disabled|enabled)", r"Firewall stealth mode is (off|on)"),
        ("--listapps", r"ALF: total number of apps = \d+", r"Total number of apps = \d+"),
    ],
)
def test_question(mac: Mac, option: str, old: str, new: str) -> None:
    first = mac.succeed([TOOL, option]).splitlines()[0].rstrip()
    assert re.fullmatch(old if mac.os_major <= 14 else new, first)


def test_listed_programs_come_in_pairs(mac: Mac) -> None:
    lines = [line for line in mac.succeed([TOOL, "--listapps"]).splitlines()[1:] if line.strip()]
    assert all(re.match(r"\d+\s*:\s*/\S", line) for line in lines[::2])
    assert all(re.match(r"\s+\(\s*(Allow|Block) incoming connections\s*\)", line) for line in lines[1::2])


def test_all_questions_fit_into_one_call(mac: Mac) -> None:
    options = ("--getglobalstate", "--getstealthmode", "--getallowsigned", "--getblockall", "--listapps")
    said = mac.succeed([TOOL, *options])
    for word in (r"\(State = [012]\)", r"(?i)stealth mode", r"(?i)signed", r"(?i)block all", r"otal number of apps = \d+"):
        assert re.search(word, said), word


def test_a_profile_shows_in_the_forced_preferences(mac: Mac) -> None:
    script = "$.NSUserDefaults.alloc.initWithSuiteName('com.apple.security.firewall').objectIsForcedForKey('EnableFirewall')"
    assert mac.succeed(["/usr/bin/osascript", "-l", "JavaScript", "-e", script]).strip() in ("true", "false")


def test_a_signature_tells_its_code_identifier(mac: Mac) -> None:
    assert re.search(r"^Identifier=\S+$", mac.run(["/usr/bin/codesign", "-dv", "/usr/bin/python3"]).stderr, re.MULTILINE)


def test_an_unlisted_program_is_called_permitted(mac: Mac) -> None:
    if mac.os_major <= 14:
        pytest.skip("macOS 14 and older say that it is not part of the firewall")
    answer = mac.succeed([TOOL, "--getappblocked", "/nowhere/at/all"])
    assert answer.strip() == "Incoming connection to /nowhere/at/all is permitted."


@pytest.mark.virtual
def test_a_plain_user_is_refused(mac: Mac) -> None:
    refused = mac.run([TOOL, "--setstealthmode", "on"])
    assert (refused.rc, refused.stdout) == (255, "Must be root to change settings.\n")


@pytest.fixture
def program(mac: Mac) -> Iterator[str]:
    """Start a program of Homebrew's kind that listens on port 7001 of a Mac, as a job of launchd."""
    mac.succeed(["/bin/mkdir", "-p", PROGRAM.rsplit("/", 1)[0]], user="root")
    serve = "import socket\ns = socket.create_server(('0.0.0.0', 7001))\nwhile True:\n    s.accept()[0].close()\n"
    text = "#!/opt/virtual-mac/python\n" + serve
    mac.write(PROGRAM, text, owner="root", mode=0o755)
    plist = f"""<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict><key>Label</key><string>lab.probe</string>
    <key>ProgramArguments</key><array><string>{PROGRAM}</string></array><key>RunAtLoad</key><true/></dict></plist>"""
    file = "/Library/LaunchDaemons/lab.probe.plist"
    mac.write(file, plist, owner="root")
    mac.succeed(["/bin/launchctl", "bootstrap", "system", file], user="root")
    yield PROGRAM
    mac.run(["/bin/launchctl", "bootout", "system/lab.probe"], user="root")
    mac.succeed(["/bin/rm", "-rf", file, "/opt/homebrew/Cellar/probe"], user="root")


def filtered(mac: Mac) -> str:
    """Give the verdict of the loaded filter for port 7001: the lab's Macs filter with nftables."""
    table = mac.succeed(["/usr/sbin/nft", "list", "table", "inet", "alf"], user="root")
    for verdict in ("accept", "drop"):
        if re.search(rf"tcp dport (\{{[^}}]*\b)?7001\b.*{verdict}", table):
            return verdict
    return ""


def settles(mac: Mac, wanted: str) -> bool:
    """Wait until the filter's verdict is the wanted one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if filtered(mac) == wanted:
            return True
    return False


@pytest.mark.virtual
def test_a_rule_opens_the_port_of_its_program_and_no_other_does(mac: Mac, program: str) -> None:
    assert settles(mac, "drop")
    mac.succeed([TOOL, "--add", program], user="root")
    assert settles(mac, "accept")
    mac.succeed([TOOL, "--blockapp", program], user="root")
    assert settles(mac, "drop")
    mac.succeed([TOOL, "--add", program], user="root")
    assert f"{program} \n             (Block" in mac.succeed([TOOL, "--listapps"])
    mac.succeed([TOOL, "--remove", program], user="root")


@pytest.mark.virtual
def test_a_managed_mac_says_so_and_changes_nothing(mac: Mac) -> None:
    with mac.fault("mdm-managed"):
        said = mac.succeed([TOOL, "--setstealthmode", "on"], user="root")
        assert said == "Firewall settings cannot be modified from command line on managed Mac computers.\n"
        assert mac.succeed([TOOL, "--getstealthmode"]).strip() == "Firewall stealth mode is off"


def pfctl(mac: Mac, *argv: str, text: str | None = None) -> Result:
    """Run pfctl as root."""
    return mac.run(["/sbin/pfctl", *argv], user="root", input=text)


def test_pf_needs_root(mac: Mac) -> None:
    refused = mac.run(["/sbin/pfctl", "-s", "info"])
    assert refused.rc == 1
    assert "/dev/pf: Permission denied" in refused.stderr


def test_altq_is_told_on_every_call(mac: Mac) -> None:
    answer = pfctl(mac, "-s", "info")
    assert answer.rc == 0
    assert answer.stdout.startswith("Status: ")
    assert ALTQ in answer.stderr


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (
            "block in quick inet proto tcp to port 11434\n",
            "block drop in quick inet proto tcp from any to any port = 11434",
        ),
        (
            "pass in quick proto tcp from 100.64.0.0/10 to any port 11434\n",
            "pass in quick inet proto tcp from 100.64.0.0/10 to any port = 11434 flags S/SA keep state",
        ),
        ("pass quick on lo0\n", "pass quick on lo0 all flags S/SA keep state"),
        (
            "table <fleet> const {\n  10.0.0.0/8\n  fe80::/10\n}\n"
            'block return in quick on ! lo0 proto tcp from ! <fleet> to any port 11434 label "a b"\n',
            'block return in quick on ! lo0 proto tcp from ! <fleet> to any port = 11434 label "a b"',
        ),
    ],
    ids=["block", "pass", "loopback", "everybody but a table"],
)
def test_rules_are_shown_in_their_normal_form(mac: Mac, text: str, normal: str) -> None:
    answer = pfctl(mac, "-vnf", "-", text=text)
    assert answer.rc == 0
    assert normal in answer.stdout.splitlines()


def test_a_mistake_is_told_with_its_line(mac: Mac) -> None:
    answer = pfctl(mac, "-nf", "-", text="pass in\nblok\n")
    assert answer.rc == 1
    assert "stdin:2: syntax error" in answer.stderr
    assert "pfctl: Syntax error in config file: pf rules not loaded" in answer.stderr


def test_apples_anchor_is_in_the_main_rules(mac: Mac) -> None:
    assert 'anchor "com.apple/*" all' in pfctl(mac, "-sr").stdout.splitlines()


@pytest.mark.virtual
def test_pf_is_off_after_boot_and_a_token_ends_what_it_began(mac: Mac) -> None:
    mac.reboot(login=True)
    assert pfctl(mac, "-s", "info").stdout.startswith("Status: Disabled")
    token = re.search(r"Token : (\d+)", pfctl(mac, "-E").stderr)
    assert token
    assert pfctl(mac, "-e").rc == 1
    pfctl(mac, "-d")
    assert pfctl(mac, "-d").rc == 1
    assert pfctl(mac, "-X", token.group(1)).rc == 1


def test_an_anchor_below_apples_holds_a_table_and_a_label_of_its_own(mac: Mac) -> None:
    anchor = "com.apple/100.probe"
    rules = (
        'table <probe> const { 10.0.0.0/8, fe80::/10 }\nblock return in proto tcp from ! <probe> to any port 7003 label "a b"\n'
    )
    main = pfctl(mac, "-sr").stdout
    try:
        for _ in range(2):
            assert pfctl(mac, "-a", anchor, "-f", "-", text=rules).rc == 0
        shown = pfctl(mac, "-a", anchor, "-sr").stdout
        assert shown.count('label "a b"') == 1
        assert pfctl(mac, "-a", anchor, "-t", "probe", "-T", "show").stdout.split() == ["10.0.0.0/8", "fe80::/10"]
        assert pfctl(mac, "-a", anchor, "-t", "probe", "-T", "add", "10.0.0.1").rc != 0
    finally:
        pfctl(mac, "-a", anchor, "-F", "all")
    assert (pfctl(mac, "-a", anchor, "-sr").stdout, pfctl(mac, "-sr").stdout) == ("", main)


@pytest.mark.virtual
def test_enabling_without_a_token_takes_one_reference_however_often(mac: Mac) -> None:
    """xnu, bsd/net/pf_ioctl.c, DIOCSTART: another -e is EEXIST, and the last token given back does not end pf then."""
    mac.reboot(login=True)
    assert [pfctl(mac, "-e").rc for _ in range(3)] == [0, 1, 1]
    token = re.search(r"Token : (\d+)", pfctl(mac, "-E").stderr)
    assert token
    assert "1 more pf enable reference(s) remaining" in pfctl(mac, "-X", token.group(1)).stderr
    assert pfctl(mac, "-s", "info").stdout.startswith("Status: Enabled")
    pfctl(mac, "-d")


@pytest.mark.virtual
def test_rules_and_anchors_end_with_the_boot(mac: Mac) -> None:
    pfctl(mac, "-a", "com.apple/lab", "-f", "-", text="block in proto tcp to port 7002\n")
    assert pfctl(mac, "-a", "com.apple/lab", "-sr").stdout
    mac.reboot(login=True)
    assert pfctl(mac, "-a", "com.apple/lab", "-sr").stdout == ""
