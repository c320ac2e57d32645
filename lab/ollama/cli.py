"""The `ollama` command (cmd/cmd.go): output, errors and exit statuses as observed on 0.32.15."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, TextIO

from ollama import envconfig, golang, logs
from ollama.envconfig import Settings
from ollama.process import set_name

ESC = "\033["
_BEGIN = ESC + "?2026h" + ESC + "?25l" + ESC + "1G"
_END = ESC + "?25h" + ESC + "?2026l"
# The traces of a spinner that was shown and cleared; they go to stderr even when that is no terminal.
CLEARED = ESC + "?25l" + _BEGIN + ESC + "K" + _END + ESC + "2K" + ESC + "1G" + ESC + "?25h"
NOT_RUNNING = "could not connect to ollama server, run 'ollama serve' to start it"

USAGE = """Large language model runner

Usage:
  ollama [flags]
  ollama [command]

Available Commands:
  serve       Start Ollama
  create      Create a model
  show        Show information for a model
  run         Run a model
  stop        Stop a running model
  pull        Pull a model from a registry
  push        Push a model to a registry
  list        List models
  ps          List running models
  cp          Copy a model
  rm          Remove a model
  help        Help about any command

Flags:
  -h, --help         help for ollama
      --nowordwrap   Don't wrap words to the next line automatically
      --verbose      Show timings for response
  -v, --version      Show version information

Use "ollama [command] --help" for more information about a command.
"""


class CommandError(Exception):
    """The command failed; the text follows `Error: `."""


class Answered(CommandError):
    """The server answered with an error."""

    def __init__(self, status: int, text: str, shown: str) -> None:
        super().__init__(shown)
        self.status = status
        self.text = text


class Client:
    """Talks to the server that OLLAMA_HOST names."""

    def __init__(self, settings: Settings, version: str) -> None:
        self.address = envconfig.connectable(settings.host)
        self.agent = f"ollama/{version} (arm64 darwin) Go/go1.26"

    def _open(self, method: str, path: str, body: Any, accept: str) -> Any:
        import http.client

        connection = http.client.HTTPConnection(self.address.host, self.address.port)
        headers = {"Content-Type": "application/json", "Accept": accept, "User-Agent": self.agent}
        raw = isinstance(body, (bytes, bytearray)) or hasattr(body, "read")
        data = body if raw else None if body is None else golang.dumps(body).encode("utf-8")
        prefix = "/" + self.address.path.strip("/") if self.address.path.strip("/") else ""
        connection.request(method, prefix + path, data, headers)
        return connection.getresponse()

    def heartbeat(self) -> None:
        """Make sure that a server answers."""
        try:
            self._open("HEAD", "/", None, "application/json").read()
        except ConnectionRefusedError as error:
            raise CommandError(NOT_RUNNING) from error
        except OSError as error:
            raise CommandError(self._dial("Head", "/", error)) from error

    def _dial(self, method: str, path: str, error: OSError) -> str:
        import socket

        where = self.address.hostport
        reason = f"dial tcp {where}: connect: {os.strerror(error.errno or 0).lower()}"
        if isinstance(error, socket.gaierror):
            reason = f"dial tcp: lookup {self.address.host}: no such host"
        return f'{method} "http://{where}{path}": {reason}'

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request with one answer; an error's text comes without its code."""
        try:
            answer = self._open(method, path, body, "application/json")
            data = answer.read()
        except OSError as error:
            raise CommandError(self._dial(method.capitalize(), path, error)) from error
        try:
            content = golang.loads(data.decode("utf-8")) if data.strip() else {}
        except ValueError as error:
            # Something else holds the port; Go's client reports the status and the body (api/client.go, checkError).
            text = data.decode("utf-8", "replace").strip()
            raise Answered(answer.status, text, f"{answer.status}: {text}") from error
        if answer.status >= 400:
            text = str(content.get("error", ""))
            raise Answered(answer.status, text, text)
        return content

    def stream(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """Make a request with a stream of answers; an error's text comes with its code."""
        try:
            answer = self._open("POST", path, body, "application/x-ndjson")
        except OSError as error:
            raise CommandError(self._dial("Post", path, error)) from error
        for line in answer:
            if not line.strip():
                continue
            content = golang.loads(line.decode("utf-8"))
            text = str(content.get("error", ""))
            if answer.status >= 400:
                raise Answered(answer.status, text, f"{answer.status} {answer.reason}: {text}")
            if text:
                raise CommandError(text)
            yield content


class Progress:
    """The progress display: one line per status, redrawn at most ten times a second."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.lines: dict[str, str] = {}
        self.drawn = 0
        self.last = 0.0

    def set(self, key: str, text: str) -> None:
        """Change a line."""
        self.lines[key] = text
        if time.monotonic() - self.last >= 0.1 and self.last:
            self.draw()
        self.last = self.last or time.monotonic()

    def draw(self) -> None:
        """Draw all lines anew."""
        up = (ESC + "A") * max(self.drawn - 1, 0)
        text = "\n".join(line + ESC + "K" for line in self.lines.values())
        begin = ESC + "?2026h" + ESC + "?25l" + up + ESC + "1G"
        self.out.write(begin + text + _END)
        self.out.flush()
        self.drawn = len(self.lines)
        self.last = time.monotonic()

    def stop(self) -> None:
        """Draw the last state and leave it."""
        self.draw()
        self.out.write("\n")
        self.out.flush()


def bar(label: str, total: int, done: int) -> str:
    """Draw a layer's bar for 80 columns."""
    before = f"{label} {done * 100 / total if total else 0:3.0f}%"
    if done >= total:
        after = f"{golang.human_bytes(total):>6}{' ' * 25}"
    else:
        after = f"{golang.human_bytes(done):>6}/{golang.human_bytes(total):>6}{' ' * 18}"
    room = max(80 - len(before) - len(after) - 5, 0)
    full = int(room * done / total) if total else 0
    return before + " ▕" + "█" * full + " " * (room - full) + "▏ " + after


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lay out rows as tablewriter does: four blanks between columns and after each row, one after the header."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]

    def line(cells: list[str], end: str) -> str:
        return "    ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + end

    return line(header, " \n") + "".join(line(row, "    \n") for row in rows)


class Arguments(NamedTuple):
    """What was typed after the command."""

    words: list[str]
    flags: dict[str, str]


def read_arguments(argv: list[str], flags: dict[str, bool]) -> Arguments:
    """Read words and flags; the errors are cobra's. A flag that takes a value is marked true."""
    words: list[str] = []
    found: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return Arguments(words + rest, found)
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        if name not in flags:
            if name.startswith("--"):
                raise CommandError("unknown flag: " + name)
            raise CommandError(f"unknown shorthand flag: '{name[1]}' in {word}")
        if flags[name] and not equals:
            if not rest:
                raise CommandError("flag needs an argument: " + name)
            value = rest.pop(0)
        found[name] = value if equals or flags[name] else "true"
    return Arguments(words, found)


def need(words: list[str], count: int) -> None:
    """Demand an exact number of words."""
    if len(words) != count:
        raise CommandError(f"accepts {count} arg(s), received {len(words)}")


class Cli:
    """One run of the command."""

    def __init__(self, version: str, program: Path, settings: Settings) -> None:
        self.version = version
        self.program = program
        self.settings = settings
        self.client = Client(settings, version)

    def serve(self, given: Arguments) -> int:
        """Start the server."""
        need(given.words, 0)
        from ollama import server

        return server.serve(self.settings, self.version, self.program)

    def list(self, given: Arguments) -> int:
        """List models."""
        now = time.time_ns()
        prefix = given.words[0].lower() if given.words else ""
        rows = [
            [
                model["name"],
                model["digest"][:12],
                golang.human_bytes(model["size"]),
                golang.human_time(golang.parse_rfc3339(model["modified_at"]), now),
            ]
            for model in self.client.call("GET", "/api/tags")["models"]
            if model["name"].lower().startswith(prefix)
        ]
        sys.stdout.write(table(["NAME", "ID", "SIZE", "MODIFIED"], rows))
        return 0

    def ps(self, given: Arguments) -> int:
        """List running models."""
        now = time.time_ns()
        prefix = given.words[0] if given.words else ""
        rows = []
        for model in self.client.call("GET", "/api/ps")["models"]:
            if model["name"].startswith(prefix):
                until = golang.parse_rfc3339(model["expires_at"])
                rows.append(
                    [
                        model["name"],
                        model["digest"][:12],
                        golang.human_bytes(model["size"]),
                        processor(model["size"], model["size_vram"]),
                        str(model.get("context_length", 0)),
                        "Stopping..." if until < now else golang.human_time(until, now),
                    ]
                )
        sys.stdout.write(table(["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"], rows))
        return 0

    def _pull(self, name: str, *, insecure: bool) -> None:
        progress = Progress(sys.stderr)
        try:
            for line in self.client.stream("/api/pull", {"name": name, "insecure": insecure}):
                digest = line.get("digest", "")
                if not digest:
                    progress.set(line["status"], line["status"] + " ")
                elif line.get("completed"):
                    label = f"pulling {digest[7:19]}:"
                    progress.set(digest, bar(label, line["total"], line["completed"]))
        finally:
            progress.stop()

    def pull(self, given: Arguments) -> int:
        """Pull a model."""
        need(given.words, 1)
        self._pull(given.words[0], insecure=given.flags.get("--insecure") == "true")
        return 0

    def push(self, given: Arguments) -> int:
        """Push a model."""
        need(given.words, 1)
        progress = Progress(sys.stderr)
        body = {"name": given.words[0], "insecure": given.flags.get("--insecure") == "true"}
        try:
            for line in self.client.stream("/api/push", body):
                progress.set(line.get("digest") or line["status"], line["status"] + " ")
        finally:
            progress.stop()
        return 0

    def _unload(self, name: str) -> None:
        try:
            self.client.call("POST", "/api/show", {"model": name})
            for _ in self.client.stream("/api/generate", {"model": name, "keep_alive": 0}):
                continue
        finally:
            sys.stderr.write(CLEARED)
            sys.stderr.flush()

    def rm(self, given: Arguments) -> int:
        """Remove models: unload first, as the API does not."""
        if not given.words:
            raise CommandError("requires at least 1 arg(s), only received 0")
        for name in given.words:
            try:
                self._unload(name)
            except CommandError as error:
                if "not found" not in str(error).lower():
                    print(f"Warning: unable to stop model '{name}'", file=sys.stderr)
            self.client.call("DELETE", "/api/delete", {"name": name})
            print(f"deleted '{name}'", flush=True)
        return 0

    def stop(self, given: Arguments) -> int:
        """Stop a running model."""
        need(given.words, 1)
        name = given.words[0]
        try:
            self._unload(name)
        except CommandError as error:
            if "not found" in str(error):
                raise CommandError(f'couldn\'t find model "{name}" to stop') from error
            raise
        return 0

    def cp(self, given: Arguments) -> int:
        """Copy a model."""
        need(given.words, 2)
        source, destination = given.words
        self.client.call("POST", "/api/copy", {"source": source, "destination": destination})
        print(f"copied '{source}' to '{destination}'")
        return 0

    def show(self, given: Arguments) -> int:
        """Show a model."""
        need(given.words, 1)
        parts = ("license", "modelfile", "parameters", "system", "template")
        chosen = [name for name in parts if given.flags.get("--" + name) == "true"]
        if len(chosen) > 1:
            names = "'--license', '--modelfile', '--parameters', '--system', or '--template'"
            raise CommandError(f"only one of {names} can be specified")
        verbose = "true" in (given.flags.get("--verbose"), given.flags.get("-v"))
        shown = self.client.call("POST", "/api/show", {"name": given.words[0], "verbose": verbose})
        if chosen:
            end = "" if chosen[0] in ("system", "template") else "\n"
            print(shown.get(chosen[0], ""), end=end)
        else:
            sys.stdout.write(information(shown))
        return 0

    def run(self, given: Arguments) -> int:
        """Run a model on a prompt from the arguments and from stdin, or line by line on a terminal."""
        if not given.words:
            raise CommandError("requires at least 1 arg(s), only received 0")
        name = given.words[0]
        prompts = given.words[1:]
        interactive = sys.stdin.isatty() and sys.stdout.isatty() and not prompts
        if not sys.stdin.isatty():
            text = sys.stdin.read()
            prompts = ([text] if text else []) + prompts
        body: dict[str, Any] = {"model": name}
        if given.flags.get("--keepalive"):
            try:
                duration = golang.parse_duration(given.flags["--keepalive"])
            except ValueError as error:
                raise CommandError(str(error)) from error
            body["keep_alive"] = golang.format_duration(duration)
        try:
            self.client.call("POST", "/api/show", {"model": name})
        except Answered as error:
            if error.status != 404:
                raise
            self._pull(name, insecure=given.flags.get("--insecure") == "true")
        if interactive:
            self._generate({**body, "prompt": ""})
            for line in iter(lambda: _ask(">>> "), "/bye"):
                self._generate({**body, "prompt": line})
            return 0
        self._generate({**body, "prompt": " ".join(prompts)})
        return 0

    def _generate(self, body: dict[str, Any]) -> None:
        cleared = False
        try:
            for line in self.client.stream("/api/generate", body):
                if not cleared:
                    sys.stderr.write(CLEARED)
                    sys.stderr.flush()
                    cleared = True
                sys.stdout.write(line.get("response", ""))
                sys.stdout.flush()
        finally:
            sys.stderr.write((ESC + "?25l" + ESC + "?25h") if cleared else CLEARED)
            sys.stderr.flush()
        if body["prompt"]:
            print("\n")

    def create(self, given: Arguments) -> int:
        """Create a model from a Modelfile."""
        need(given.words, 1)
        file = Path(given.flags.get("-f") or given.flags.get("--file") or "Modelfile")
        progress = Progress(sys.stderr)
        progress.set("gathering", "gathering model components ")
        try:
            if not file.exists():
                raise CommandError("no Modelfile or safetensors files found")
            body = {"model": given.words[0], **modelfile(file.read_text(encoding="utf-8"))}
            source = file.parent / body.get("from", "")
            if source.is_file():
                from ollama import sparse

                digest = sparse.sha256(source)
                with source.open("rb") as stream:
                    self.client.call("POST", "/api/blobs/" + digest, stream)
                body["files"] = {source.name: digest}
                del body["from"]
            for line in self.client.stream("/api/create", body):
                progress.set(line["status"], line["status"] + " ")
        finally:
            progress.stop()
        return 0

    def print_version(self) -> int:
        """Show the versions; a server older than the program is how a forgotten restart shows."""
        found = ""
        try:
            found = str(self.client.call("GET", "/api/version").get("version", ""))
        except CommandError:
            print("Warning: could not connect to a running Ollama instance")
        if found:
            print("ollama version is " + found)
        if found != self.version:
            print("Warning: client version is " + self.version)
        return 0


def _ask(prompt: str) -> str:
    try:
        return input(prompt)
    except EOFError:
        return "/bye"


def processor(size: int, on_gpu: int) -> str:
    """Say where a model runs."""
    if on_gpu == 0:
        return "100% CPU"
    if on_gpu == size:
        return "100% GPU"
    if on_gpu > size or size == 0:
        return "Unknown"
    cpu = int((size - on_gpu) / size * 100 + 0.5)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


def information(shown: dict[str, Any]) -> str:
    """Write what `ollama show` prints."""
    info = shown.get("model_info", {})
    details = shown.get("details", {})
    arch = info.get("general.architecture", "")
    size = details.get("parameter_size") or golang.human_number(int(info.get("general.parameter_count", 0)))
    rows = [["architecture", arch], ["parameters", size]]
    for key, label in (("context_length", "context length"), ("embedding_length", "embedding length")):
        if f"{arch}.{key}" in info:
            rows.append([label, str(info[f"{arch}.{key}"])])
    rows.append(["quantization", details.get("quantization_level", "")])
    text = _section("Model", rows)
    if shown.get("capabilities"):
        text += _section("Capabilities", [[word] for word in shown["capabilities"]])
    if shown.get("parameters"):
        text += _section("Parameters", [line.split() for line in shown["parameters"].splitlines()])
    for key, label in (("system", "System"), ("license", "License")):
        if shown.get(key):
            lines = [line.strip() for line in shown[key].splitlines() if line.strip()]
            text += _section(label, [[line] for line in lines[:2] + (["..."] if len(lines) > 2 else [])])
    return text


def _section(title: str, rows: list[list[str]]) -> str:
    columns = max(len(row) for row in rows)
    widths = [max(len(row[index]) if index < len(row) else 0 for row in rows) for index in range(columns)]
    text = f"  {title}\n"
    for row in rows:
        text += "    " + "    ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "    \n"
    return text + "\n"


_MULTI = ("template", "system", "license")


def modelfile(text: str) -> dict[str, Any]:
    """Read a Modelfile into a create request."""
    found: dict[str, Any] = {}
    lines = iter(text.splitlines())
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        command, rest = word.lower(), rest.strip()
        if not word or word.startswith("#"):
            continue
        if rest.startswith('"""'):
            rest = rest[3:]
            while not rest.endswith('"""'):
                rest += "\n" + next(lines, '"""')
            rest = rest[:-3]
        elif len(rest) > 1 and rest[0] == rest[-1] == '"':
            rest = rest[1:-1]
        if command == "from":
            found["from"] = rest
        elif command == "parameter":
            key, _, value = rest.partition(" ")
            _parameter(found.setdefault("parameters", {}), key, value.strip().strip('"'))
        elif command in _MULTI:
            found[command] = rest
        elif command == "message":
            role, _, content = rest.partition(" ")
            found.setdefault("messages", []).append({"role": role, "content": content})
        else:
            raise CommandError('(line 1): command must be one of "from", "license", "template", "system"')
    if "from" not in found:
        raise CommandError("no FROM line")
    return found


def _parameter(params: dict[str, Any], key: str, text: str) -> None:
    value: Any = text
    try:
        value = golang.loads(text)
    except ValueError:
        value = text
    if key == "stop":
        params.setdefault("stop", []).append(text)
    else:
        params[key] = value


_LOCAL = {"--help": False, "-h": False}
COMMANDS: dict[str, tuple[Callable[[Cli, Arguments], int], dict[str, bool]]] = {
    "serve": (Cli.serve, {}),
    "start": (Cli.serve, {}),
    "list": (Cli.list, {}),
    "ls": (Cli.list, {}),
    "ps": (Cli.ps, {}),
    "pull": (Cli.pull, {"--insecure": False}),
    "push": (Cli.push, {"--insecure": False}),
    "rm": (Cli.rm, {}),
    "stop": (Cli.stop, {}),
    "cp": (Cli.cp, {}),
    "show": (
        Cli.show,
        {
            **dict.fromkeys(("--license", "--modelfile", "--parameters", "--template", "--system"), False),
            "--verbose": False,
            "-v": False,
        },
    ),
    "run": (
        Cli.run,
        {
            "--keepalive": True,
            "--format": True,
            "--think": False,
            **dict.fromkeys(("--verbose", "--insecure", "--nowordwrap", "--hidethinking"), False),
        },
    ),
    "create": (Cli.create, {"-f": True, "--file": True, "-q": True, "--quantize": True}),
}
_NO_SERVER_NEEDED = ("serve", "start")


def dispatch(version: str, program: Path, argv: list[str]) -> int:
    """Run one command."""
    settings = Settings(os.environ)
    for source, message, fields in settings.warnings:
        logs.early_warn(source, message, **fields)
    cli = Cli(version, program, settings)
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    name = argv[0]
    if name in ("-v", "--version"):
        return cli.print_version()
    if name == "runner":
        from ollama import runner

        return runner.main(argv[1:])
    if name.startswith("-"):
        raise CommandError("unknown flag: " + name)
    if name not in COMMANDS:
        raise CommandError(f'unknown command "{name}" for "ollama"')
    action, flags = COMMANDS[name]
    given = read_arguments(argv[1:], {**flags, **_LOCAL})
    if "--help" in given.flags or "-h" in given.flags:
        sys.stdout.write(USAGE)
        return 0
    if name not in _NO_SERVER_NEEDED:
        cli.client.heartbeat()
    return action(cli, given)


def main(version: str, file: Optional[str], argv: list[str]) -> int:
    """Be `ollama`; the program's resolved place decides where the runner is looked for."""
    set_name("ollama")
    program = Path(file or sys.argv[0]).resolve()
    try:
        return dispatch(version, program, argv)
    except CommandError as error:
        sys.stdout.flush()
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except envconfig.Panic as error:
        print(f"panic: {error}\n\ngoroutine 1 [running]:", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
