"""The command line: what it prints, where, and its exit status, as recorded from a real 0.32.15."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ollama.cli import CLEARED

from tests.lab.ollama_support import Mac, Registry, Server, running_registry, serving

ESCAPES = re.compile(r"\033\[[?\d]*[A-Za-z]")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Server]:
    with serving(Mac(tmp_path_factory.mktemp("mac"))) as found:
        found.install(registry, "tiny")
        yield found


SHOWN = """  Model
    architecture        llama    
    parameters          0.4M     
    context length      2048     
    embedding length    128      
    quantization        F16      

  Capabilities
    completion    

  Parameters
    stop           "</s>"    
    temperature    0.1       

  License
    MIT License    

"""  # noqa: W291 - the blanks are the command's

WITH_SERVER = [
    (["--version"], 0, "ollama version is 0.32.15\n", ""),
    (["ps"], 0, "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL \n", ""),
    (["show", "tiny"], 0, SHOWN, ""),
    (["show", "--parameters", "tiny"], 0, 'stop                           "</s>"\ntemperature                    0.1\n', ""),
    (["show", "nosuch"], 1, "", "Error: model 'nosuch:latest' not found\n"),
    (["cp", "tiny", "tiny-b"], 0, "copied 'tiny' to 'tiny-b'\n", ""),
    (["cp", "nosuch", "x"], 1, "", 'Error: model "nosuch" not found\n'),
    (["rm", "tiny-b"], 0, "deleted 'tiny-b'\n", CLEARED),
    (["rm", "tiny-b"], 1, "", CLEARED + "Error: model 'tiny-b' not found\n"),
    (["rm", "nosuch", "other"], 1, "", CLEARED + "Error: model 'nosuch' not found\n"),
    (["stop", "tiny"], 0, "", CLEARED),
    (["stop", "nosuch"], 1, "", CLEARED + 'Error: couldn\'t find model "nosuch" to stop\n'),
    (["nosuchcommand"], 1, "", 'Error: unknown command "nosuchcommand" for "ollama"\n'),
    (
        ["pull", "bad name"],
        1,
        "",
        "\033[?2026h\033[?25l\033[1G\033[?25h\033[?2026l\nError: 400 Bad Request: invalid model name\n",
    ),
    (["pull"], 1, "", "Error: accepts 1 arg(s), received 0\n"),
    (["list", "--nope"], 1, "", "Error: unknown flag: --nope\n"),
    (["create", "x", "-f", "nofile"], 1, "", "no Modelfile or safetensors files found\n"),
]


def test_commands_against_a_server_go_as_recorded(server: Server) -> None:
    for words, status, out, err in WITH_SERVER:
        done = server.mac.run(*words)
        assert (done.returncode, done.stdout) == (status, out), (words, done)
        assert done.stderr == err or (err and done.stderr.endswith(err)), (words, done.stderr)


def test_list_shows_what_tags_says(server: Server) -> None:
    digest = server.ask("GET", "/api/tags").json["models"][0]["digest"]
    head, row = server.mac.run("ls", "TI").stdout.splitlines()
    assert re.fullmatch(r"NAME           ID              SIZE      MODIFIED +", head)
    assert re.fullmatch(rf"tiny:latest    {digest[:12]}    844 KB    (Less than a second|\d+ seconds?) ago    ", row)
    assert server.mac.run("list", "zzz").stdout == "NAME    ID    SIZE    MODIFIED \n"


def test_pull_leaves_its_progress_on_stderr(server: Server, registry: Registry) -> None:
    done = server.mac.run("pull", "--insecure", registry.name("tiny"))
    lines = ESCAPES.sub("", done.stderr).splitlines()
    assert (done.returncode, done.stdout, lines[0]) == (0, "", "pulling manifest ")
    assert lines[-3:] == ["verifying sha256 digest ", "writing manifest ", "success "]
    assert re.match(r"pulling \w{12}: 100% ▕█+▏ 844 KB ", lines[1])


def test_a_failed_pull_says_why(server: Server, registry: Registry) -> None:
    done = server.mac.run("pull", "--insecure", registry.name("nosuch"))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "Error: pull model manifest: file does not exist")


def test_run_answers_a_prompt_from_words_and_stdin(server: Server) -> None:
    done = server.mac.run("run", "tiny", "what is 2+2", stdin="hello")
    assert (done.returncode, done.stdout) == (0, "This is a virtual Mac; you said: hello what is 2+2\n\n")


def test_run_with_keepalive_pins_and_ps_says_until_when(server: Server) -> None:
    server.mac.run("run", "--keepalive", "1h", "tiny", "")
    row = server.mac.run("ps").stdout.splitlines()[1]
    assert re.search(r"100% GPU     2048       (59 minutes|About an hour) from now    $", row)
    server.mac.run("stop", "tiny")
    assert len(server.mac.run("ps").stdout.splitlines()) == 1


def test_a_load_that_fails_shows_the_code(server: Server) -> None:
    server.mac.fault(ollama_load_fails=True)
    done = server.mac.run("run", "tiny", "hi")
    server.mac.fault()
    assert done.returncode == 1
    assert "Error: 500 Internal Server Error: error starting llama-server: llama-server binary not found" in done.stderr


def test_create_from_a_modelfile(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "Modelfile"
    file.write_text("FROM tiny\nPARAMETER num_ctx 256\n")
    done = server.mac.run("create", "tiny-m", "-f", str(file))
    assert ESCAPES.sub("", done.stderr).splitlines()[0] == "gathering model components "
    assert server.mac.run("show", "--parameters", "tiny-m").stdout.splitlines()[0] == "num_ctx                        256"
    server.mac.run("rm", "tiny-m")


NOT_RUNNING = "Error: could not connect to ollama server, run 'ollama serve' to start it\n"
WITHOUT_SERVER = [
    (["--version"], 0, "Warning: could not connect to a running Ollama instance\nWarning: client version is 0.32.15\n", ""),
    *[(words, 1, "", NOT_RUNNING) for words in (["list"], ["ps"], ["rm", "tiny"], ["pull", "tiny"], ["stop", "tiny"])],
]


@pytest.mark.parametrize(
    ("words", "status", "out", "err"), WITHOUT_SERVER, ids=lambda value: "-".join(value) if isinstance(value, list) else ""
)
def test_commands_without_a_server_go_as_recorded(tmp_path: Path, words: list[str], status: int, out: str, err: str) -> None:
    done = Mac(tmp_path).run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_bad_settings_are_told_before_anything_else(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    done = mac.run("list", env=mac.environment(OLLAMA_NUM_PARALLEL="x"))
    first = done.stderr.splitlines()[0]
    stamp, _, rest = first.partition(" config.go:263: ")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", stamp)
    assert rest == "WARN invalid environment variable, using default key=OLLAMA_NUM_PARALLEL value=x default=1"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_an_unspecified_address_is_connected_to_on_loopback(tmp_path: Path, host: str) -> None:
    mac = Mac(tmp_path)
    with serving(mac, OLLAMA_HOST=f"{host}:{mac.port}"):
        done = mac.run("--version", env=mac.environment(OLLAMA_HOST=f"{host}:{mac.port}"))
    assert done.stdout == "ollama version is 0.32.15\n"
