"""The service starts anew, one Mac after the other, with the same definition and its residents back."""

from __future__ import annotations

PLAY = "playbooks/restart.yml"
MACS = ("mac-mini", "macbook-pro")


def loaded(mac):
    return [model["name"] for model in mac.api("GET", "/api/ps")["models"]]


def test_each_mac_is_restarted_and_has_its_residents_again(fleet):
    macs = [fleet.mac(name) for name in MACS]
    before = {mac.name: (mac.pid(), mac.run("cat", mac.plist)) for mac in macs}
    look = fleet.play(PLAY, "--check", "-e", "restart_reason=a look")
    assert look.rc == 0, look.screen
    assert {mac.name: mac.pid() for mac in macs} == {name: pid for name, (pid, _) in before.items()}
    run = fleet.play(PLAY, "-e", "restart_reason=stuck")
    assert run.rc == 0, run.screen
    for mac in macs:
        assert run.steps(mac.name) == look.steps(mac.name) == [("reload", mac.target), ("load", "qwen3:8b")]
        assert mac.pid() not in (None, before[mac.name][0])
        assert mac.run("cat", mac.plist) == before[mac.name][1]
        assert loaded(mac) == ["qwen3:8b"]
        (result,) = [result for result in run.results[mac.name] if result.get("gap_seconds") is not None]
        assert result["steps"][0]["why"] == "stuck"
    assert fleet.play("playbooks/servers.yml", "--check").stats["mac-mini"]["changed"] == 0


def test_a_mac_that_is_away_is_a_line_and_a_changed_definition_is_refused(fleet, mini):
    pid = mini.pid()
    with fleet.trouble("macbook-pro", "unreachable"):
        run = fleet.screen(PLAY, "--check")
        assert run.rc == 0, run.screen
        assert "macbook-pro does not answer at felipes-macbook-pro-2.local" in run.screen
        assert "playbooks/restart.yml asked for it" in run.screen
        other = fleet.play(PLAY, "-e", '{"ollama_service_environment": {"OLLAMA_HOST": "127.0.0.1"}}')
    assert other.rc == 2
    assert "a restart would also write. Run site.yml" in other.messages("mac-mini")
    assert mini.pid() == pid


def test_nobody_is_restarted_while_a_mac_that_is_always_on_is_silent(fleet):
    pro = fleet.mac("macbook-pro")
    pid = pro.pid()
    with fleet.trouble("mac-mini", "unreachable"):
        run = fleet.play(PLAY)
    assert run.rc == 2
    assert "mac-mini does not answer" in run.messages("mac-mini")
    assert "mac-mini must always answer and is in doubt" in run.messages("macbook-pro")
    assert pro.pid() == pid
