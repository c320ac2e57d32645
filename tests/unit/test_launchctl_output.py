"""What launchctl prints is read for what it says and for nothing more."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.launchctl_output import ADDED_BY_LAUNCHD, is_login_domain, parse_disabled, parse_job
from hypothesis import example, given
from hypothesis import strategies as st

# Two blanks stand for one TAB below, so that the layout can be seen.
RUNNING = """\
gui/501/com.user.ollama = {
  active count = 1
  path = /Users/felipe/Library/LaunchAgents/com.user.ollama.plist
  type = LaunchAgent
  state = running

  program = /opt/homebrew/opt/ollama/bin/ollama
  arguments = {
    /opt/homebrew/opt/ollama/bin/ollama
    serve
  }

  working directory = /opt/homebrew/var

  stdout path = /opt/homebrew/var/log/ollama.out.log
  stderr path = /opt/homebrew/var/log/ollama.err.log
  inherited environment = {
    SSH_AUTH_SOCK => /var/run/com.apple.launchd.XXXXXXXXXX/Listeners
  }

  default environment = {
    PATH => /usr/bin:/bin:/usr/sbin:/sbin
  }

  environment = {
    OSLogRateLimit => 64
    OLLAMA_FLASH_ATTENTION => 1
    OLLAMA_HOST => 0.0.0.0
    OLLAMA_KV_CACHE_TYPE => q8_0
    XPC_SERVICE_NAME => com.user.ollama
  }

  domain = gui/501 [100016]
  asid = 100016
  minimum runtime = 10
  base minimum runtime = 11
  exit timeout = 5
  runs = 3
  successive crashes = 2
  pid = 3438
  immediate reason = speculative
  forks = 6
  execs = 1
  initialized = 1
  trampolined = 1
  started suspended = 0
  proxy started suspended = 0
  checked allocations = 0 (queried = 1)
  last exit code = (never exited)

  semaphores = {
    successful exit => 0
    after crash => 1
  }

  resource coalition = {
    ID = 280936
    type = resource
    state = active
    active count = 1
    name = com.user.ollama
  }

  jetsam coalition = {
    ID = 280937
    type = jetsam
    state = active
    active count = 1
    name = com.user.ollama
  }

  spawn type = interactive (4)
  jetsam priority = 40
  jetsam memory limit (active) = (unlimited)
  jetsamproperties category = daemon
  resource limits = {
    nofile (soft) => 65536
  }
  job state = exited

  properties = keepalive | runatload | inferred program
}
"""

DAEMON = """\
system/com.user.ollama = {
  active count = 0
  path = /Library/LaunchDaemons/com.user.ollama.plist
  type = LaunchDaemon
  state = spawn scheduled

  program = /opt/homebrew/opt/ollama/bin/ollama
  arguments = {
    /opt/homebrew/opt/ollama/bin/ollama
    serve
  }

  default environment = {
    PATH => /usr/bin:/bin:/usr/sbin:/sbin
  }

  environment = {
    XPC_SERVICE_NAME => com.user.ollama
  }

  domain = system
  username = felipe
  group = staff
  minimum runtime = 30
  exit timeout = 20
  runs = 12
  last exit code = 78: EX_CONFIG

  endpoints = {
    "com.user.ollama.port" = {
      port = 0x1234
      pid = 99
      state = not running
    }
  }

  properties = keepalive
}
"""


def printed(text: str) -> str:
    """Turn leading pairs of blanks into TABs, as launchctl prints them."""
    lines = []
    for line in text.split("\n"):
        rest = line.lstrip(" ")
        lines.append("\t" * ((len(line) - len(rest)) // 2) + rest)
    return "\n".join(lines)


def test_a_running_agent():
    job = parse_job(printed(RUNNING))
    assert (job.domain, job.label, job.target) == ("gui/501", "com.user.ollama", "gui/501/com.user.ollama")
    assert job.path == "/Users/felipe/Library/LaunchAgents/com.user.ollama.plist"
    assert (job.state, job.pid, job.runs) == ("running", 3438, 3)
    assert job.program == "/opt/homebrew/opt/ollama/bin/ollama"
    assert job.arguments == ("/opt/homebrew/opt/ollama/bin/ollama", "serve")
    assert (job.stdout_path, job.stderr_path) == ("/opt/homebrew/var/log/ollama.out.log", "/opt/homebrew/var/log/ollama.err.log")
    assert job.working_directory == "/opt/homebrew/var"
    assert (job.minimum_runtime, job.exit_timeout) == (10, 5)
    assert job.last_exit == "last exit code = (never exited)"
    assert job.properties == {"keepalive", "runatload", "inferred program"}
    assert job.username == ""


def test_the_three_environments_are_kept_apart():
    job = parse_job(printed(RUNNING))
    assert {key: value for key, value in job.environment.items() if key not in ADDED_BY_LAUNCHD} == {
        "OLLAMA_FLASH_ATTENTION": "1",
        "OLLAMA_HOST": "0.0.0.0",
        "OLLAMA_KV_CACHE_TYPE": "q8_0",
    }
    assert dict(job.inherited) == {"SSH_AUTH_SOCK": "/var/run/com.apple.launchd.XXXXXXXXXX/Listeners"}


def test_a_daemon_waiting_to_be_started_again():
    job = parse_job(printed(DAEMON))
    assert (job.domain, job.username, job.state, job.pid) == ("system", "felipe", "spawn scheduled", None)
    assert (job.runs, job.minimum_runtime, job.exit_timeout) == (12, 30, 20)
    assert job.last_exit == "last exit code = 78: EX_CONFIG"
    assert job.properties == {"keepalive"}


@pytest.mark.parametrize("where", ["before", "after"])
def test_blocks_deeper_in_are_not_taken_for_the_job(where):
    block = "\tresource coalition = {\n\t\tstate = active\n\t\tpid = 1\n\t\tpath = /elsewhere\n\t\truns = 9\n\t}\n"
    own = "\tpath = /own\n\tstate = not running\n\truns = 0\n"
    body = block + own if where == "before" else own + block
    job = parse_job(f"gui/501/x = {{\n{body}}}\n")
    assert (job.path, job.state, job.pid, job.runs) == ("/own", "not running", None, 0)


def test_an_argument_may_be_a_brace():
    job = parse_job("gui/501/x = {\n\targuments = {\n\t\t/bin/echo\n\t\t}\n\t\t{\n\t\tx = {\n\t}\n\truns = 1\n}")
    assert (job.arguments, job.runs) == (("/bin/echo", "}", "{", "x = {"), 1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("last exit code = 0", "last exit code = 0"),
        ("last exit code = (failed reap)", "last exit code = (failed reap)"),
        ("last terminating signal = Terminated: 15", "last terminating signal = Terminated: 15"),
        ("last exit reason = OS_REASON_CODESIGNING", "last exit reason = OS_REASON_CODESIGNING"),
        ("forks = 1", ""),
    ],
)
def test_how_the_previous_run_ended(line, said):
    assert parse_job(f"gui/501/x = {{\n\t{line}\n}}").last_exit == said


def test_a_list_of_properties_in_the_old_form_is_no_trap():
    # macOS 10.15: a block of `name = 0/1`.
    job = parse_job("gui/501/x = {\n\tstate = waiting\n\tproperties = {\n\t\tkeepalive = 1\n\t\tstate = 0\n\t}\n}")
    assert (job.state, job.properties) == ("waiting", frozenset())


def test_what_a_short_print_leaves_out_is_empty():
    job = parse_job("user/501/x = {\n}")
    assert (job.path, job.state, job.arguments, dict(job.environment), job.pid) == ("", "", (), {}, None)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "Bad request.\n", "com.user.ollama = {\n\tstate = running\n}", "gui/501/x", '{\n\t"Label" = "x";\n};'],
    ids=["empty", "blank", "refusal", "macOS 10.15 without a domain", "header cut", "list LABEL"],
)
def test_what_is_no_print_of_a_service_is_refused(text):
    with pytest.raises(ValueError, match="not the print of a service"):
        parse_job(text)


NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,15}", fullmatch=True)
LINE = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=30)


@given(st.dictionaries(NAME, LINE, max_size=6), st.dictionaries(NAME, LINE, max_size=3))
@example({"A": "}", "B": "{", "C": " => ", "D": "x = {", "E": "\t}"}, {})
@example({"NEXT_LINE": "a\x85b", "SEPARATOR": "a\u2028b", "RETURN": "a\rb", "FORM_FEED": "a\fb"}, {})
def test_environments_survive_being_printed(environment, inherited):
    def block(name, pairs):
        return "".join([f"\t{name} = {{\n", *(f"\t\t{key} => {value}\n" for key, value in pairs.items()), "\t}\n\n"])

    text = (
        "gui/501/x = {\n\tstate = running\n"
        + block("inherited environment", inherited)
        + block("environment", environment)
        + "\truns = 7\n}\n"
    )
    job = parse_job(text)
    assert dict(job.environment) == environment
    assert dict(job.inherited) == inherited
    assert (job.state, job.runs) == ("running", 7)


@given(st.text(max_size=200))
def test_any_text_is_a_job_or_a_value_error(text):
    try:
        job = parse_job(text)
    except ValueError:
        assert not text.startswith("gui/501/x = {\n")
    else:
        assert "/" in job.target


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param(
            '\tdisabled services = {\n\t\t"com.apple.Siri.agent" => disabled\n\t\t"com.user.ollama" => enabled\n\t}\n\n'
            "\tlogin item associations = {\n\t}\n",
            {"com.apple.Siri.agent"},
            id="macOS 13 and later",
        ),
        pytest.param(
            'disabled services = {\n\t"com.user.ollama" => true\n\t"com.ollama.serve" => false\n}\n',
            {"com.user.ollama"},
            id="macOS 12 and older",
        ),
        pytest.param(
            'disabled services = {\n\t"a" => enabled\n}\nlogin item associations = {\n\t"b" => disabled\n}\n',
            set(),
            id="login items are another matter",
        ),
        pytest.param("disabled services = (no disabled services)\n", set(), id="none"),
        pytest.param("", set(), id="empty"),
        pytest.param('\t\t"a b" => disabled\n', {"a b"}, id="blank in a label"),
    ],
)
def test_disabled_labels(text, labels):
    assert parse_disabled(text) == labels


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True), st.booleans(), max_size=6), st.booleans())
def test_disabled_labels_survive_being_printed(labels, old):
    words = ("false", "true") if old else ("enabled", "disabled")
    body = "".join(f'\t\t"{label}" => {words[disabled]}\n' for label, disabled in labels.items())
    text = f"\tdisabled services = {{\n{body}\t}}\n\n\tlogin item associations = {{\n\t}}\n"
    assert parse_disabled(text) == {label for label, disabled in labels.items() if disabled}


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("gui/501 = {\n\ttype = login\n\thandle = 100020\n\tactive count = 563\n}\n", True),
        ("gui/501 = {\n\thandle = 1\n\ttype = login", True),
        ("user/501 = {\n\ttype = user\n\thandle = 501\n}\n", False),
        ("gui/501 = {\n\tsubdomain = {\n\t\ttype = login\n\t}\n}\n", False),
        ("gui/501 = {\n\ttype = loginwindow\n}\n", False),
        ("", False),
    ],
)
def test_only_a_login_domain_has_somebody_at_the_screen(text, login):
    assert is_login_domain(text) is login
