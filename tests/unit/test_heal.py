"""One run of the verb `heal`, with a server, a launchd and a webhook on the loopback that answer, lie, hang or are not there."""

from __future__ import annotations

import contextlib
import errno
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible.module_utils.companion import heal, state, webhook
from ansible.module_utils.companion.archive import build
from ansible.module_utils.companion.residents import HOLD_SECONDS, held_back
from ansible.module_utils.fleet import alerts, desired_state
from ansible.module_utils.fleet.heal_report import read, table
from ansible.module_utils.macos.commands import Answer

from .examples import healer_settings

GB = 10**9
QWEN = {"name": "qwen3:8b", "digest": "500a", "size": 5_200_000_000}
OSS = {"name": "gpt-oss:20b", "digest": "17ee", "size": 13_800_000_000}
PRINT = "gui/501/com.user.ollama = {\n\tstate = running\n\tpid = 77\n}\n"


class Handler(http.server.BaseHTTPRequestHandler):
    """What the server beside it says."""

    def log_message(self, *_words):
        pass

    def answer(self, status, body=b"{}", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.ask(self, None)

    def do_POST(self):
        self.server.ask(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))


class Loopback(http.server.ThreadingHTTPServer):
    """An HTTP server; `mode` is how it behaves, `asked` what it was sent."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode, self.asked, self.release = "ok", [], threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def ask(self, handler, body):
        self.asked.append((handler.path, dict(handler.headers), body))
        if self.mode == "hang":
            self.release.wait(60)
            return
        if self.mode == "drip":
            handler.send_response(200)
            handler.end_headers()
            with contextlib.suppress(OSError):
                while not self.release.wait(0.2):
                    handler.wfile.write(b" ")
            return
        if isinstance(self.mode, int):
            handler.answer(self.mode, b"{}", **({"Location": "http://127.0.0.1:9/secret-elsewhere"} if self.mode == 302 else {}))
            return
        self.fine(handler, body)

    def fine(self, handler, _body):
        handler.answer(200)


class Ollama(Loopback):
    """As much of Ollama as the healer asks."""

    def __init__(self, *loaded):
        super().__init__()
        self.loaded = list(loaded)

    def fine(self, handler, body):
        if handler.path == "/api/generate":
            asked = json.loads(body)
            assert asked["keep_alive"] == 0
            self.loaded = [one for one in self.loaded if one["name"] != asked["model"]]
            handler.answer(200, b'{"done_reason":"unload"}')
            return
        models = [QWEN, OSS] if handler.path == "/api/tags" else [{**one, "size_vram": one["size"]} for one in self.loaded]
        handler.answer(200, json.dumps({"models": models}).encode())

    @property
    def names(self):
        return [one["name"] for one in self.loaded]


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()


class Stage:
    """A Mac's healer, run again and again: its figures, its launchd, its clock."""

    def __init__(self, folder, monkeypatch, capfd):
        self.folder, self.place, self.capfd = folder, folder / "state", capfd
        self.place.mkdir()
        self.swap, self.pressure, self.uptime = 0.0, 1, 1000.0
        self.print = Answer(0, PRINT, "")
        self.commands = []
        monkeypatch.setattr(heal, "run_command", self.command)
        monkeypatch.setattr(state, "uptime", lambda: self.uptime)
        self.settings = folder / desired_state.NAME

    def command(self, argv, timeout):
        assert timeout <= 8
        if argv[0] == "/usr/sbin/sysctl":
            return Answer(0, f"{self.pressure}\nused = {self.swap * GB / (1 << 20):.2f}M\n17179869184\n", "")
        self.commands.append(argv)
        if argv[:2] == ["/bin/launchctl", "print"]:
            return self.print
        return Answer(0, "", "")

    def write(self, url="http://127.0.0.1:9", **changes):
        wanted = healer_settings(url=url)
        wanted["healer"] |= {key: value for key, value in changes.items() if key in wanted["healer"]}
        wanted["alerts"] |= {key: value for key, value in changes.items() if key in wanted["alerts"]}
        data = desired_state.data_from_inventory(wanted, changes.get("domain", "gui"), "com.user.ollama", 501)
        self.settings.write_text(desired_state.text_for("", data))

    def hook(self, url, mode=0o600):
        path = self.folder / desired_state.WEBHOOK
        path.write_text(url + "\n")
        path.chmod(mode)

    def run(self, *words, after=60):
        """Run once, this much later; return the log as data."""
        self.uptime += after
        heal.run(self.settings, self.place, words)
        said = self.capfd.readouterr()
        self.out = said.out
        return [json.loads(line) for line in said.err.splitlines()]

    @property
    def state(self):
        return json.loads((self.place / "heal.json").read_text())


@pytest.fixture
def stage(tmp_path, monkeypatch, capfd):
    return Stage(tmp_path, monkeypatch, capfd)


@pytest.fixture
def ollama():
    with serving(Ollama(QWEN)) as server:
        yield server


@pytest.fixture
def hook():
    with serving(Loopback()) as server:
        yield server


def said(lines):
    return " / ".join(line["said"] for line in lines)


# Looking and acting. ------------------------------------------------------------------------------------------------------


def test_a_mac_on_which_all_is_well_gets_one_request_and_one_line_an_hour(stage, ollama):
    stage.write(ollama.url)
    first = stage.run()
    assert [list(line)[:3] for line in first] == [["time", "level", "said"]]
    assert [stage.run() for _ in range(58)] == [[]] * 58
    assert {path for path, _, _ in ollama.asked} == {"/api/ps"}
    assert len(stage.run(after=120)) == 1
    assert stage.commands == []
    assert stage.state["at"]


def test_swap_over_the_limit_unloads_what_is_no_resident_and_tells_somebody(stage, ollama, hook):
    stage.write(ollama.url)
    stage.hook(hook.url + "/secret-path")
    ollama.loaded.append(OSS)
    stage.run()
    stage.swap, stage.pressure = 9.0, 2
    lines = stage.run()
    assert ollama.names == ["qwen3:8b"]
    (act,) = [line for line in lines if "act" in line]
    assert (act["act"], act["item"], act["level"]) == ("unload", "gpt-oss:20b", "warning")
    assert act["said"].startswith("did unload gpt-oss:20b (13.8 GB), because swap is 9.0 GB")
    ((path, _, body),) = hook.asked
    assert path == "/secret-path"
    assert json.loads(body)["text"].startswith("unload gpt-oss:20b (13.8 GB)")
    (banner,) = stage.commands
    assert banner[0] == "/usr/bin/osascript"
    assert banner[-2].startswith("mac-mini: warning: unload gpt-oss:20b")
    assert not any("gpt-oss" in word for word in banner[:-2])
    assert stage.state["alerts"]["queue"] == []


def test_a_model_that_a_request_holds_is_said_and_the_run_ends(stage, ollama, monkeypatch):
    monkeypatch.setattr(heal, "LEAVE_SECONDS", 0.3)
    stage.write(ollama.url)
    ollama.loaded.append(OSS)
    ollama.fine = lambda handler, body: (
        handler.answer(200) if body else Ollama.fine(ollama, handler, body)
    )  # fmt: skip
    stage.pressure = 4
    assert "still there" in said(stage.run())


def test_an_act_that_fails_is_a_line_and_an_alert(stage, ollama):
    stage.write(ollama.url)
    ollama.loaded.append(OSS)
    ollama.fine = lambda handler, body: handler.answer(500) if body else Ollama.fine(ollama, handler, body)
    stage.pressure = 4
    lines = stage.run()
    assert "could not unload gpt-oss:20b" in said(lines)
    assert any(line.get("cause") == "failed memory" for line in lines)
    # And it counts: the next try waits for the cool-down.
    assert not any("act" in line for line in stage.run())


def test_residents_that_are_gone_are_loaded_by_their_own_job(stage, ollama):
    stage.write(ollama.url)
    ollama.loaded.clear()
    for _ in range(7):
        stage.run()
    assert ["/bin/launchctl", "kickstart", "gui/501/com.user.ollama.residents"] in stage.commands


def test_a_dry_run_only_says_it(stage, ollama):
    stage.write(ollama.url, dry_run=True)
    ollama.loaded.append(OSS)
    stage.pressure = 4
    assert "dry run: would unload gpt-oss:20b" in said(stage.run())
    assert "dry run" not in said(stage.run())
    stage.run("look", after=600)
    assert json.loads(stage.out)["acts"] == ["unload gpt-oss:20b (13.8 GB), because macOS reports critical memory pressure"]
    stage.run("now", after=0)
    shown = json.loads(stage.out)
    assert (shown["acts"], len(shown["dry"])) == ([], 1)
    assert "dry run: would unload" in " ".join(table({"mac-mini": stage.out}, look=False))
    assert len(ollama.loaded) == 2


def test_a_look_by_hand_changes_nothing_at_all(stage, ollama, hook):
    stage.write(ollama.url)
    stage.hook(hook.url)
    ollama.loaded.append(OSS)
    stage.pressure = 4
    assert stage.run("look") == []
    shown = json.loads(stage.out)
    assert shown["acts"] == ["unload gpt-oss:20b (13.8 GB), because macOS reports critical memory pressure"]
    assert (shown["host"], len(ollama.loaded), hook.asked, stage.commands) == ("mac-mini", 2, [], [])
    assert list(stage.place.iterdir()) == []
    stage.run("now")
    done = json.loads(stage.out)
    assert done["acts"] == shown["acts"]
    assert ollama.names == ["qwen3:8b"]


# The server. --------------------------------------------------------------------------------------------------------------


def kicks(stage):
    return [words for words in stage.commands if words[1] == "kickstart"]


def test_a_server_that_is_not_there_is_started_anew_after_three_looks(stage):
    stage.write(start_grace=60)
    for _ in range(2):
        stage.run()
    assert kicks(stage) == []
    lines = stage.run()
    assert kicks(stage) == [["/bin/launchctl", "kickstart", "-k", "gui/501/com.user.ollama"]]
    assert "start the server anew, because it did not answer 3 times in a row" in said(lines)
    for _ in range(10):
        stage.run()
    assert len(kicks(stage)) == 1


@pytest.mark.parametrize("mode", [400, 404, 500, 503])
def test_no_status_is_silence(stage, ollama, mode):
    stage.write(ollama.url, start_grace=0)
    ollama.mode = mode
    for _ in range(6):
        stage.run()
    assert kicks(stage) == []


def test_a_server_that_hangs_or_drips_is_silent_and_ends_no_later(stage, ollama, monkeypatch):
    monkeypatch.setattr(heal, "ANSWER_SECONDS", 0.5)
    stage.write(ollama.url, start_grace=0)
    for mode in ("hang", "drip", "hang"):
        ollama.mode = mode
        began = time.monotonic()
        stage.run()
        assert time.monotonic() - began < 3
    assert len(kicks(stage)) == 1


def test_what_somebody_took_down_is_left_down(stage):
    stage.write(start_grace=0)
    stage.print = Answer(113, "", 'Could not find service "com.user.ollama" in domain for user gui: 501')
    lines = [line for _ in range(20) for line in stage.run()]
    assert kicks(stage) == []
    assert sum("not loaded in launchd" in line["said"] for line in lines) == 1


def test_in_the_system_domain_its_process_is_ended_and_launchd_starts_it_again(stage):
    process = subprocess.Popen(["/bin/sleep", "60"])
    threading.Thread(target=process.wait, daemon=True).start()
    stage.write(start_grace=0, domain="system")
    stage.print = Answer(0, f"system/com.user.ollama = {{\n\tstate = running\n\tpid = {process.pid}\n}}\n", "")
    if os.getuid() == 0:
        # Root may have launchd do it; a healer of the system domain is the user's.
        for _ in range(3):
            stage.run()
        assert kicks(stage) == [["/bin/launchctl", "kickstart", "-k", "system/com.user.ollama"]]
        process.kill()
        return
    for _ in range(3):
        stage.run()
    assert process.wait(10) != 0


def test_the_process_is_ended_where_launchd_may_not_be_told(stage, monkeypatch):
    process = subprocess.Popen(["/bin/sleep", "60"])
    threading.Thread(target=process.wait, daemon=True).start()
    monkeypatch.setattr(heal.os, "getuid", lambda: 501)
    stage.write(start_grace=0, domain="system")
    stage.print = Answer(0, f"system/com.user.ollama = {{\n\tstate = running\n\tpid = {process.pid}\n}}\n", "")
    for _ in range(3):
        stage.run()
    assert process.wait(10) == -15
    assert kicks(stage) == []


# Settings and state. ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"schema": 1}', None])
def test_broken_settings_leave_the_last_good_ones_in_force_and_are_told(stage, ollama, broken):
    stage.write(ollama.url)
    stage.run()
    good = stage.settings.read_text()
    if broken is None:
        stage.settings.unlink()
    else:
        stage.settings.write_text(broken)
    ollama.loaded.append(OSS)
    stage.pressure = 4
    lines = stage.run()
    assert ollama.names == ["qwen3:8b"]
    assert any(line.get("cause") == "settings" and "last good copy" in line["said"] for line in lines)
    stage.settings.write_text(good)
    assert any(line.get("state") == "recovered" for line in stage.run())


def test_broken_settings_without_a_good_copy_are_refused_with_the_line(stage):
    stage.settings.write_text('{\n "schema": 1,\n}')
    with pytest.raises(ValueError, match="line 3"):
        stage.run()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 9}', "\xff"])
def test_a_state_that_is_not_sound_is_set_aside_and_said(stage, ollama, text):
    stage.write(ollama.url)
    (stage.place / "heal.json").write_bytes(text.encode("latin-1"))
    assert "set aside as heal.json.corrupt" in said(stage.run())
    assert (stage.place / "heal.json.corrupt").read_bytes() == text.encode("latin-1")
    assert stage.state["history"]


def test_a_second_run_at_the_same_time_ends_quietly(stage, ollama):
    stage.write(ollama.url)
    with state.alone(stage.place, "heal") as mine:
        assert mine
        assert stage.run() == []
    assert ollama.asked == []


def full(*_words, **_more):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_nobody_from_unloading_and_is_said(stage, ollama, monkeypatch):
    stage.write(ollama.url)
    ollama.loaded.append(OSS)
    stage.pressure = 4
    monkeypatch.setattr(state, "replace", full)
    monkeypatch.setattr(state, "alone", full)
    lines = stage.run()
    assert ollama.names == ["qwen3:8b"]
    assert "the lock could not be made (No space left on device)" in said(lines)
    assert "the state could not be written" in said(lines)


def test_nothing_is_started_anew_that_could_not_be_written_down(stage, monkeypatch):
    stage.write(start_grace=0)
    stage.run()
    stage.run()
    monkeypatch.setattr(state, "replace", full)
    assert "nothing can be written down" in said(stage.run())
    assert kicks(stage) == []


def test_a_log_that_cannot_be_written_keeps_nobody_from_acting(stage, ollama, monkeypatch):
    stage.write(ollama.url)
    ollama.loaded.append(OSS)
    stage.pressure = 4
    monkeypatch.setattr(heal.os, "write", full)
    stage.run()
    assert ollama.names == ["qwen3:8b"]


def test_residents_that_were_unloaded_stay_away_as_long_as_the_healer_says_so(stage, ollama):
    stage.write(ollama.url, unload_residents=True)
    stage.run()
    stage.swap, stage.pressure = 13.0, 4
    stage.run()
    assert ollama.names == []
    assert held_back(stage.state, stage.uptime)
    assert held_back(stage.state, stage.uptime + HOLD_SECONDS - 1)
    # The healer is dead, or the Mac was started anew: nobody waits for its word.
    assert not held_back(stage.state, stage.uptime + HOLD_SECONDS)
    assert not held_back(stage.state, 5)
    stage.swap, stage.pressure = 1.0, 1
    stage.run()
    assert not held_back(stage.state, stage.uptime)


@pytest.mark.parametrize("data", [{}, {"hold": None}, {"hold": 1}, {"hold": {"uptime": True}}, {"hold": {"uptime": "1"}}])
def test_a_hold_that_is_not_one_holds_nobody(data):
    assert not held_back(data, 1.0)


# The webhook. -------------------------------------------------------------------------------------------------------------

MESSAGE = alerts.Message("swap-critical", "critical", "raised", "swap is over 12.0 GB")


def post(url, seconds=2.0):
    webhook.post(url, alerts.request("json", MESSAGE, "mac-mini"), seconds)


@pytest.mark.parametrize(("mode", "words"), [(302, "answered 302"), (404, "answered 404"), (500, "answered 500"),
                                             ("hang", "no answer within|timed out")])  # fmt: skip
def test_what_does_not_arrive_is_said_without_the_address(hook, mode, words):
    hook.mode = mode
    with pytest.raises(webhook.Undelivered, match=words) as refused:
        post(hook.url + "/T0KEN/secret", 0.5)
    assert "T0KEN" not in str(refused.value)
    assert len(hook.asked) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/T0KEN", "http://127.0.0.1:99999/T0KEN", "https://127.0.0.1:9/T0KEN",
                                 "http://no-such-name.invalid/T0KEN", "http://[::1/T0KEN"])  # fmt: skip
def test_an_address_that_leads_nowhere_is_a_sentence_without_it(url):
    with pytest.raises(webhook.Undelivered) as refused:
        post(url)
    assert "T0KEN" not in str(refused.value)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_any_answer_of_2xx_is_an_arrival(hook, status):
    hook.mode = status
    post(hook.url)
    ((_, headers, body),) = hook.asked
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body)["host"] == "mac-mini"


def test_the_file_with_the_address_is_read_only_where_nobody_else_can(tmp_path):
    path = tmp_path / "heal.webhook"
    assert webhook.read_address(path) is None
    path.write_text("https://ntfy.example/topic?a=b\n")
    path.chmod(0o600)
    assert webhook.read_address(path) == "https://ntfy.example/topic?a=b"
    for mode in (0o640, 0o604, 0o644, 0o620):
        path.chmod(mode)
        with pytest.raises(webhook.Undelivered, match="may be read by others"):
            webhook.read_address(path)
    path.chmod(0o600)
    for text in ("", "file:///etc/passwd", "https://a b", "ftp://x/y", "https://x\nHost: y"):
        path.write_text(text)
        with pytest.raises(webhook.Undelivered, match="holds no address"):
            webhook.read_address(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(webhook.Undelivered, match="cannot be opened"):
        webhook.read_address(link)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(webhook.Undelivered, match="no regular file"):
        webhook.read_address(tmp_path / "pipe")


def test_a_delivery_that_fails_is_tried_again_and_the_address_is_in_no_log_and_no_state(stage, ollama, hook):
    stage.write(ollama.url)
    stage.hook(hook.url + "/T0KEN")
    hook.mode = 500
    stage.swap, stage.pressure = 13.0, 4
    lines = stage.run()
    assert "not delivered, tried again later: the webhook answered 500" in said(lines)
    assert len(stage.state["alerts"]["queue"]) == 2
    hook.mode = "ok"
    stage.run(after=120)
    stage.run()
    assert stage.state["alerts"]["queue"] == []
    assert {json.loads(body)["cause"] for _, _, body in hook.asked[1:]} == {"swap-critical", "memory"}
    assert "T0KEN" not in said(lines) + json.dumps(stage.state)


def test_an_address_that_others_may_read_is_not_used(stage, ollama, hook):
    stage.write(ollama.url)
    stage.hook(hook.url, 0o644)
    stage.swap = 13.0
    assert "nothing can be delivered" in said(stage.run())
    assert hook.asked == []


def test_without_a_webhook_nothing_waits(stage, ollama):
    stage.write(ollama.url, notify=False)
    stage.swap = 13.0
    stage.run()
    assert stage.state["alerts"]["queue"] == []
    assert stage.commands == []


# The whole program. -------------------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "ollama-fleet"
    path.write_bytes(build(Path(heal.__file__).parents[1]).content)
    path.chmod(0o755)
    return path


def test_with_a_hung_server_and_a_hung_webhook_a_run_ends_in_time(program, hook, ollama):
    ollama.mode = hook.mode = "hang"
    data = desired_state.data_from_inventory(healer_settings(url=ollama.url), "gui", "com.user.ollama", 501)
    program.with_name(desired_state.NAME).write_text(desired_state.text_for("", data))
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-I", str(program), "heal", "look"], capture_output=True, text=True, timeout=40,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
    assert "does not answer" in done.stdout


def test_the_parts_of_a_run_have_room_within_its_whole():
    heal_run = heal.Run(Path("x"), Path("y"))
    heal_run.end = time.monotonic() + 3
    assert heal_run.left(5) == pytest.approx(0.2)
    assert heal_run.left(5, kept=1) == pytest.approx(2, abs=0.2)
    assert heal.SECONDS + 2 < 30


def test_a_run_costs_less_than_a_hundredth_of_a_minute_and_thirty_megabytes(program, ollama, capsys):
    data = desired_state.data_from_inventory(healer_settings(url=ollama.url), "gui", "com.user.ollama", 501)
    program.with_name(desired_state.NAME).write_text(desired_state.text_for("", data))
    # Read inside: on Linux a process that was forked off this one would count this one's memory as its own.
    script = (
        "import runpy, sys, time\n"
        "sys.argv = sys.argv[1:]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "peak = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0]\n"
        "print(time.process_time(), int(peak) / 1024, file=sys.stderr)"
    )
    words = [sys.executable, "-I", "-c", script, str(program), "heal", "look"]
    costs = [
        tuple(map(float, subprocess.run(words, capture_output=True, text=True, check=True).stderr.split()[-2:])) for _ in range(3)
    ]
    seconds, megabytes = min(costs)
    share = 100 * seconds / 60
    with capsys.disabled():
        print(f"\none look of the healer: {seconds:.2f} s of processor time, {share:.2f} % of a minute, {megabytes:.0f} MB")
    assert share < 1
    assert megabytes < 30


# By hand. -----------------------------------------------------------------------------------------------------------------


def test_one_table_shows_every_mac():
    answers = {
        "mac-mini": json.dumps({"figures": "swap 9.0 GB", "acts": ["unload x"], "alerts": ["swap is over"], "dry": []}),
        "m": json.dumps({"figures": "swap 0.0 GB", "acts": [], "alerts": [], "dry": []}),
        "odd": "Traceback",
        "gone": "",
    }
    assert table(answers, look=True) == [
        "mac-mini  swap 9.0 GB", "          would unload x", "          alert: swap is over",
        "m         swap 0.0 GB", "          nothing to do", "odd       it answered 'Traceback'", "gone      it answered nothing",
    ]  # fmt: skip
    assert "          did unload x" in table(answers, look=False)
    assert table({}, look=True) == []


@pytest.mark.parametrize("text", ["[]", "1", '{"acts": [], "alerts": []}', '{"acts": 1, "alerts": [], "dry": [], "figures": ""}'])
def test_an_answer_of_another_shape_is_none(text):
    with pytest.raises(ValueError, match="it answered"):
        read(text)
