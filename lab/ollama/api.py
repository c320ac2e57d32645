"""The routes under `/api`, with the codes, bodies and error texts of Ollama's own handlers (server/routes.go)."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from mac import machine

from ollama import completion, gguf, golang, names, store
from ollama.envconfig import Settings
from ollama.names import Name
from ollama.pull import Puller, PullError, Registry, blob_url, manifest_url
from ollama.scheduler import Loaded, LoadError, Scheduler, gpu_of
from ollama.store import Layer, Manifest, Model, Store
from ollama.transport import Client, Failure
from ollama.versions import Release
from ollama.wire import JSON, NDJSON, PLAIN_JSON, Gone, Reply, Request

INVALID_NAME = "invalid model name"
PULL_FIRST = "model {quoted} not found, try pulling it first"


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, text: str, content_type: str = JSON) -> None:
        super().__init__(text)
        self.status = status
        self.content_type = content_type


class Field(NamedTuple):
    """The type of a request's field: Python's for the check, Go's for the error."""

    types: tuple[type, ...]
    go: str


TEXT = Field((str,), "string")
FLAG = Field((bool,), "bool")
MAP = Field((dict,), "map[string]interface {}")
LIST = Field((list,), "[]interface {}")
ANY = Field((object,), "interface {}")

_NAMED = {"model": TEXT, "name": TEXT}
_STREAMED = {**_NAMED, "stream": FLAG, "insecure": FLAG}
_RUN = {"model": TEXT, "stream": FLAG, "options": MAP, "keep_alive": ANY, "think": ANY, "format": ANY}


def decode(request: Request, kind: str, fields: dict[str, Field]) -> dict[str, Any]:
    """Read a JSON body into fields; the errors are those of gin and encoding/json."""
    body = request.body().decode("utf-8", "replace")
    if not body.strip():
        raise Refusal(400, "missing request body")
    try:
        content = golang.loads(body)
    except ValueError as error:
        raise Refusal(400, str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        text = f"json: cannot unmarshal {golang.kind(content)} into Go value of type api.{kind}"
        raise Refusal(400, text)
    found = {}
    for key, value in content.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        wrong = not isinstance(value, field.types) or (isinstance(value, bool) and bool not in field.types)
        if wrong and field is not ANY:
            text = "json: cannot unmarshal %s into Go struct field %s.%s of type %s"
            raise Refusal(400, text % (golang.kind(value), kind, key, field.go))
        found[key] = value
    return found


def keep_alive(value: Any) -> Optional[int]:
    """Read `keep_alive`: seconds or a Go duration, negative is for ever; None when absent."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Refusal(400, f"Unsupported type: '{golang.dumps(value)}'")
    if isinstance(value, str):
        try:
            duration = golang.parse_duration(value)
        except ValueError as error:
            raise Refusal(400, str(error)) from error
    else:
        duration = int(value * golang.SECOND)
    return golang.MAX_DURATION if duration < 0 or duration > golang.MAX_DURATION else duration


def now() -> str:
    """Give the time as `created_at` has it."""
    return golang.rfc3339(time.time_ns(), utc=True)


def disk_full() -> Optional[int]:
    """Give the bytes that still fit on the disk, when the fault says it is full."""
    value = machine.fault("ollama-disk-full")
    return None if value is None else 0 if value is True else int(value)


class Api:
    """One server's models and the requests on them."""

    def __init__(self, settings: Settings, release: Release, program: Path) -> None:
        self.settings = settings
        self.release = release
        self.store = Store(Path(settings.models))
        self.scheduler = Scheduler(settings, release, program, gpu_of(machine.machine()))
        agent = f"ollama/{release.version} (arm64 darwin) Go/go1.26"
        self.client = Client(settings.environ, agent)
        self.key = Path(settings.home) / ".ollama/id_ed25519"
        self.puller = Puller(self.store, self.client, self.key, prune=not settings.no_prune, disk_full=disk_full)

    # Names

    def resolve(self, text: str) -> Optional[Name]:
        """Give the installed spelling of a name; None when it is not a name."""
        name = names.parse(text)
        return self.store.resolve(name) if name.valid else None

    def load_model(self, sent: str, missing: str = "model '{name}' not found") -> Model:
        """Read an installed model; the 404 names it as it was sent."""
        name = self.resolve(sent)
        try:
            if name is None:
                raise FileNotFoundError(sent)
            return self.store.model(self.store.read_manifest(name))
        except FileNotFoundError as error:
            raise Refusal(404, missing.format(name=sent, quoted=golang.quote(sent))) from error
        except ValueError as error:
            raise Refusal(500, str(error)) from error

    # What there is

    def version(self, reply: Reply) -> None:
        """GET /api/version."""
        reply.json(200, {"version": self.release.version})

    def status(self, reply: Reply) -> None:
        """GET /api/status."""
        off = self.settings.no_cloud
        reply.json(200, {"cloud": {"disabled": off, "source": "env" if off else "none"}})

    def tags(self, reply: Reply) -> None:
        """GET /api/tags."""
        reply.json(200, {"models": [self._tag(model) for model in self.store.models()]})

    def _tag(self, model: Model) -> dict[str, Any]:
        recent = self.release.tags_capabilities
        shown: dict[str, Any] = {
            "name": model.short,
            "model": model.short,
            "modified_at": golang.rfc3339(model.manifest.modified),
            "size": model.manifest.size,
            "digest": model.manifest.digest,
            "details": model.details(extended=recent),
        }
        if recent and model.capabilities():
            shown["capabilities"] = model.capabilities()
        return shown

    def ps(self, reply: Reply) -> None:
        """GET /api/ps."""
        reply.json(200, {"models": [self._running(loaded) for loaded in self.scheduler.running()]})

    def _running(self, loaded: Loaded) -> dict[str, Any]:
        model = loaded.model
        shown = {
            "name": model.short,
            "model": model.short,
            "size": loaded.plan.needs.total,
            "digest": model.manifest.digest,
            "details": model.details(),
            "expires_at": golang.rfc3339(loaded.expires),
            "size_vram": loaded.plan.gpu_bytes,
        }
        if self.release.ps_context:
            shown["context_length"] = loaded.plan.context
        return shown

    def show(self, reply: Reply) -> None:
        """POST /api/show."""
        fields = {**_NAMED, "verbose": FLAG, "system": TEXT, "options": MAP, "template": TEXT}
        asked = decode(reply.request, "ShowRequest", fields)
        sent = asked.get("model") or asked.get("name")
        if not sent:
            raise Refusal(400, "model is required")
        name = self.resolve(sent)
        if name is None:
            raise Refusal(400, INVALID_NAME)
        try:
            model = self.store.model(self.store.read_manifest(name))
            if model.header is None:
                raise FileNotFoundError(name.short)
        except FileNotFoundError as error:
            raise Refusal(404, f"model '{name.short}' not found") from error
        except ValueError as error:
            raise Refusal(500, str(error)) from error
        reply.json(200, self._shown(model, model.header, bool(asked.get("verbose"))))

    def _shown(self, model: Model, header: gguf.Header, verbose: bool) -> dict[str, Any]:
        info: dict[str, Any] = {}
        for key, value in {**header.metadata, "general.parameter_count": header.parameters}.items():
            if key in ("general.name", "tokenizer.chat_template"):
                continue
            # Without `verbose` arrays are not even read; tokenizer lists come as null (observed on 0.32.15).
            info[key] = None if isinstance(value, list) and len(value) > 5 and not verbose else value
        shown: dict[str, Any] = {
            "license": "\n".join(model.licenses),
            "modelfile": self._modelfile(model),
            "parameters": parameters_text(model.params),
            "template": model.template,
            "system": model.system,
        }
        shown = {key: value for key, value in shown.items() if value}
        shown["details"] = model.details()
        if model.messages:
            shown["messages"] = model.messages
        shown["model_info"] = dict(sorted(info.items()))
        shown["tensors"] = [{"name": tensor.name, "type": tensor.type, "shape": list(tensor.shape)} for tensor in header.tensors]
        shown["capabilities"] = model.capabilities()
        shown["modified_at"] = golang.rfc3339(model.manifest.modified)
        return shown

    def _modelfile(self, model: Model) -> str:
        lines = ['# Modelfile generated by "ollama show"']
        lines += ["# To build a new Modelfile based on this, replace FROM with:", "# FROM " + model.short, ""]
        lines.append(f"FROM {model.model_path}")
        if model.template:
            lines.append("TEMPLATE " + modelfile_quote(model.template))
        if model.system:
            lines.append("SYSTEM " + modelfile_quote(model.system))
        for key, value in model.params.items():
            for item in value if isinstance(value, list) else [value]:
                text = item if isinstance(item, str) else golang.dumps(item)
                lines.append(f"PARAMETER {key} {modelfile_quote(text)}")
        lines += ["LICENSE " + modelfile_quote(text) for text in model.licenses]
        lines += [
            "MESSAGE {} {}".format(message.get("role"), modelfile_quote(message.get("content", ""))) for message in model.messages
        ]
        return "\n".join(lines) + "\n"

    # Changes to the store

    def _stream(self, reply: Reply, asked: dict[str, Any], work: Callable[[Callable[[Any], None]], None]) -> None:
        """Run work that reports lines: as a stream, or only its end when `stream` is false."""
        streaming = asked.get("stream", True)
        started = False

        def emit(line: dict[str, Any]) -> None:
            nonlocal started
            if not streaming:
                return
            if not started:
                reply.start(NDJSON)
                started = True
            reply.line(line)

        try:
            work(emit)
        except PullError as error:
            if streaming:
                emit({"error": str(error)})
                reply.end()
            else:
                reply.json(500, {"error": str(error)}, PLAIN_JSON)
            return
        if streaming:
            reply.end()
        else:
            reply.json(200, {"status": "success"}, PLAIN_JSON)

    def pull(self, reply: Reply) -> None:
        """POST /api/pull."""
        asked = decode(reply.request, "PullRequest", {**_STREAMED, "username": TEXT, "password": TEXT})
        name = names.parse(asked.get("model") or asked.get("name") or "")
        if not name.valid:
            raise Refusal(400, INVALID_NAME)
        # The handler passes the short name on, which loses an `http://`.
        name = names.parse(self.store.resolve(name).short)

        def work(emit: Callable[[Any], None]) -> None:
            self.puller.pull(name, insecure=bool(asked.get("insecure")), progress=emit, cancelled=reply.gone)

        self._stream(reply, asked, work)

    def push(self, reply: Reply) -> None:
        """POST /api/push: as far as the lab's registry goes, which takes nothing."""
        asked = decode(reply.request, "PushRequest", {**_STREAMED, "username": TEXT, "password": TEXT})
        sent = asked.get("model") or asked.get("name")
        if not sent:
            raise Refusal(400, "model is required")

        def work(emit: Callable[[Any], None]) -> None:
            name = self.store.resolve(names.parse(sent))
            emit({"status": "retrieving manifest"})
            try:
                manifest = self.store.read_manifest(name)
            except FileNotFoundError as error:
                emit({"status": "couldn't retrieve manifest"})
                place = self.store.manifest_path(name)
                raise PullError(f"open {place}: no such file or directory") from error
            registry = Registry(self.client, self.key)
            insecure = bool(asked.get("insecure"))
            try:
                for layer in manifest.everything:
                    registry.request("HEAD", blob_url(name, insecure, layer.digest)).close()
                    short = {"status": "pushing " + layer.digest[7:19], "digest": layer.digest}
                    emit({**short, "total": layer.size, "completed": layer.size})
                emit({"status": "pushing manifest"})
                registry.request("PUT", manifest_url(name, insecure)).close()
            except Failure as error:
                raise PullError(str(error)) from error
            emit({"status": "success"})

        self._stream(reply, asked, work)

    def delete(self, reply: Reply) -> None:
        """DELETE /api/delete; a loaded model stays loaded."""
        asked = decode(reply.request, "DeleteRequest", _NAMED)
        sent = asked.get("model") or asked.get("name") or ""
        name = self.resolve(sent)
        if name is None:
            raise Refusal(400, f"name {golang.quote(sent)} is invalid")
        try:
            self.store.remove(self.store.read_manifest(name))
        except FileNotFoundError as error:
            raise Refusal(404, f"model '{sent}' not found") from error
        except ValueError as error:
            raise Refusal(500, str(error)) from error
        reply.empty(200)

    def copy(self, reply: Reply) -> None:
        """POST /api/copy: a second manifest, no second blob."""
        asked = decode(reply.request, "CopyRequest", {"source": TEXT, "destination": TEXT})
        source, destination = asked.get("source", ""), asked.get("destination", "")
        found, target = self.resolve(source), self.resolve(destination)
        for label, sent, name in (("source", source, found), ("destination", destination, target)):
            if name is None:
                raise Refusal(400, f"{label} {golang.quote(sent)} is invalid")
        if found is not None and target is not None:
            try:
                data = self.store.manifest_path(found).read_bytes()
            except FileNotFoundError as error:
                raise Refusal(404, f"model {golang.quote(source)} not found") from error
            if found != target:
                self.store.write_manifest(target, data)
        reply.empty(200)

    def blob_head(self, reply: Reply, digest: str) -> None:
        """HEAD /api/blobs/:digest."""
        try:
            present = self.store.blob(digest).exists()
        except store.BadDigest as error:
            raise Refusal(400, str(error)) from error
        if not present:
            raise Refusal(404, f"blob {golang.quote(digest)} not found")
        reply.empty(200, length=False)

    def blob_post(self, reply: Reply, digest: str) -> None:
        """POST /api/blobs/:digest; content that does not match is kept under its true digest (observed)."""
        try:
            place = self.store.blob(digest)
        except store.BadDigest as error:
            raise Refusal(400, str(error)) from error
        if place.exists():
            reply.empty(200)
            return
        total = hashlib.sha256()
        draft = self.store.blobs / (f"sha256-{time.time_ns()}-{id(reply)}")
        with draft.open("wb") as out:
            while True:
                data = reply.request.read(1 << 20)
                if not data:
                    break
                total.update(data)
                out.write(data)
        found = "sha256:" + total.hexdigest()
        draft.rename(self.store.blob(found))
        if found != digest:
            text = "digest mismatch, expected %s, got %s"
            raise Refusal(400, text % (golang.quote(digest), golang.quote(found)))
        reply.empty(201)

    def create(self, reply: Reply) -> None:
        """POST /api/create: from an installed model or from an uploaded GGUF; no quantising."""
        fields = {
            **_NAMED,
            "stream": FLAG,
            "from": TEXT,
            "files": MAP,
            "template": TEXT,
            "system": TEXT,
            "parameters": MAP,
            "messages": LIST,
            "license": ANY,
        }
        asked = decode(reply.request, "CreateRequest", fields)
        name = names.parse(asked.get("model") or asked.get("name") or "")
        if not name.valid:
            raise Refusal(400, INVALID_NAME)
        name = self.store.resolve(name)
        if not asked.get("from") and not asked.get("files"):
            self._early_error(reply, "neither 'from' or 'files' was specified")
            return
        template = asked.get("template", "")
        if template.count("{{") != template.count("}}"):
            self._early_error(reply, "template error: template: :1: unclosed action")
            return
        if asked.get("files"):
            problem = self._not_gguf(asked["files"])
            if problem:
                reply.json(problem[0], {"error": problem[1]}, PLAIN_JSON)
                return
        self._stream(reply, asked, lambda emit: self._create(name, asked, emit, reply.gone))

    @staticmethod
    def _early_error(reply: Reply, text: str) -> None:
        """Send an error found before the stream began: it is chunked all the same (observed)."""
        if reply.request.left:
            reply.request.body()
        reply.start(PLAIN_JSON, 400)
        reply.chunk(golang.dumps({"error": text}))
        reply.end()

    def _not_gguf(self, files: dict[str, Any]) -> Optional[tuple[int, str]]:
        for digest in files.values():
            place = self.store.blob(str(digest))
            try:
                gguf.read(place)
            except FileNotFoundError:
                return 500, f"open {place}: no such file or directory"
            except gguf.BadFile:
                return 400, "supplied file was not in GGUF format"
        return None

    def _create(self, name: Name, asked: dict[str, Any], emit: Callable[[Any], None], gone: Callable[[], bool]) -> None:
        config: dict[str, Any]
        layers: dict[str, Layer] = {}
        params: dict[str, Any] = {}
        if asked.get("from"):
            parent = names.parse(asked["from"])
            if not parent.valid:
                raise PullError(INVALID_NAME)
            parent = self.store.resolve(parent)
            if not self.store.manifest_path(parent).exists():
                self.puller.pull(parent, insecure=False, progress=emit, cancelled=gone)
            base = self.store.model(self.store.read_manifest(parent))
            config = {**base.config, "parent_model": parent.short}
            params = dict(base.params)
            layers = {layer.kind: layer for layer in base.manifest.layers}
            header = base.header
        else:
            emit({"status": "parsing GGUF"})
            digest = str(next(iter(asked["files"].values())))
            header = gguf.read(self.store.blob(digest))
            arch = header.architecture
            config = {"model_format": "gguf", "model_family": arch, "model_families": [arch]}
            config["file_type"] = {0: "F32", 1: "F16", 7: "Q8_0", 15: "Q4_K_M"}.get(
                header.metadata.get("general.file_type", 1), "unknown"
            )
            layers["model"] = Layer(store.MEDIA + "model", digest, header.file_size)
            emit({"status": "verifying conversion"})
        if header:
            config["model_type"] = golang.human_number(header.parameters)
        params.update(asked.get("parameters", {}))
        texts = {"template": asked.get("template"), "system": asked.get("system")}
        licenses = asked.get("license")
        texts["license"] = "\n".join(licenses) if isinstance(licenses, list) else licenses
        texts["params"] = golang.dumps(dict(sorted(params.items()))) + "\n" if asked.get("parameters") else None
        texts["messages"] = golang.dumps(asked["messages"]) if asked.get("messages") else None
        kept = {layer.digest for layer in layers.values()} if asked.get("from") else set()
        for kind, text in texts.items():
            if text:
                digest, _ = self.store.write_blob(text.encode("utf-8"))
                layers[kind] = Layer(store.MEDIA + kind, digest, len(text.encode("utf-8")))
        order = [layers[kind] for kind in layers]
        previous: set[str] = set()
        old: Optional[Manifest] = None
        try:
            old = self.store.read_manifest(name)
            previous = {layer.digest for layer in old.everything}
        except (FileNotFoundError, ValueError):
            old = None
        for layer in order:
            word = "using existing" if layer.digest in kept | previous else "creating new"
            emit({"status": f"{word} layer {layer.digest}"})
        config.update(os="linux", architecture="amd64")
        config["rootfs"] = {"type": "layers", "diff_ids": [layer.digest for layer in order]}
        data = golang.dumps(config).encode("utf-8")
        digest, _ = self.store.write_blob(data)
        emit({"status": "writing manifest"})
        content = manifest_bytes(Layer(store.CONFIG_TYPE, digest, len(data)), order)
        self.store.write_manifest(name, content)
        if old is not None and not self.settings.no_prune:
            self.store.delete_unused(previous)
        emit({"status": "success"})

    # Use of models

    def generate(self, reply: Reply) -> None:
        """POST /api/generate: load, unload, or complete."""
        fields = {**_RUN, "prompt": TEXT, "suffix": TEXT, "system": TEXT, "template": TEXT, "raw": FLAG}
        asked = decode(reply.request, "GenerateRequest", fields)
        duration = keep_alive(asked.get("keep_alive"))
        sent = asked.get("model", "")
        model = self.load_model(sent)
        prompt = asked.get("prompt", "")
        base = {"model": sent, "created_at": "", "response": ""}
        if not prompt and duration == 0:
            self.scheduler.expire(model)
            reply.json(200, {**base, "created_at": now(), "done": True, "done_reason": "unload"})
            return
        self._require(model, sent, "completion", "generate")
        self._run(reply, asked, model, duration, base, "response", prompt, ())

    def chat(self, reply: Reply) -> None:
        """POST /api/chat."""
        asked = decode(reply.request, "ChatRequest", {**_RUN, "messages": LIST, "tools": LIST})
        duration = keep_alive(asked.get("keep_alive"))
        sent = asked.get("model", "")
        if not sent:
            raise Refusal(400, "model is required")
        model = self.load_model(sent)
        messages = asked.get("messages", [])
        base = {"model": sent, "created_at": "", "message": {"role": "assistant", "content": ""}}
        if not messages and duration == 0:
            self.scheduler.expire(model)
            reply.json(200, {**base, "created_at": now(), "done": True, "done_reason": "unload"})
            return
        self._require(model, sent, "completion", "chat")
        if asked.get("tools") and "tools" not in model.capabilities():
            raise Refusal(400, f"{self._full(sent)} does not support tools")
        prompt = "\n".join(str(message.get("content", "")) for message in messages if isinstance(message, dict))
        calls = completion.call_tool(messages, asked.get("tools", []))
        self._run(reply, asked, model, duration, base, "message", prompt, calls)

    @staticmethod
    def _full(sent: str) -> str:
        name = names.parse(sent)
        return "{}/{}/{}:{}".format(*name[:4])

    @staticmethod
    def _require(model: Model, sent: str, capability: str, verb: str) -> None:
        if capability not in model.capabilities():
            raise Refusal(400, f"{golang.quote(sent)} does not support {verb}")

    def _run(
        self,
        reply: Reply,
        asked: dict[str, Any],
        model: Model,
        duration: Optional[int],
        base: dict[str, Any],
        key: str,
        prompt: str,
        calls: tuple[dict[str, Any], ...],
    ) -> None:
        if asked.get("think") and "thinking" not in model.capabilities():
            raise Refusal(400, "{} does not support thinking".format(golang.quote(asked.get("model", ""))))
        begun = time.monotonic_ns()
        with self.holding(reply, model, asked.get("options", {}), duration) as loaded:
            ready = time.monotonic_ns()
            if not prompt:
                reply.json(200, {**base, "created_at": now(), "done": True, "done_reason": "load"})
                return
            options = {**model.params, **asked.get("options", {})}
            said = completion.answer(prompt, options, think=bool(asked.get("think")))
            if calls and machine.fault("ollama-tools-as-text") in (True, model.short):
                said = said._replace(tokens=(completion.as_text(calls),), reason="stop")
            elif calls:
                said = said._replace(tokens=(), tool_calls=calls, reason="stop")
            self.scheduler.note_tokens(loaded, said.prompt_tokens + len(said.tokens))
            token = completion.token_nanoseconds(machine.fault("ollama-token-milliseconds"))
            figures = {
                "total_duration": time.monotonic_ns() - begun,
                "load_duration": ready - begun,
                "prompt_eval_count": said.prompt_tokens,
                "prompt_eval_duration": said.prompt_tokens * token // 10,
                "eval_count": max(1, len(said.tokens)),
                "eval_duration": max(1, len(said.tokens)) * token,
            }
            context = {"context": list(range(said.prompt_tokens + len(said.tokens)))} if key == "response" else {}
            last = {"done": True, "done_reason": said.reason, **context, **figures}
            if asked.get("stream", True):
                reply.start(NDJSON)
                for part in pieces(said, key):
                    reply.line({**base, "created_at": now(), **part, "done": False})
                reply.line({**base, "created_at": now(), **last})
                reply.end()
            else:
                reply.json(200, {**base, "created_at": now(), **whole(said, key), **last})

    def holding(self, reply: Reply, model: Model, options: dict[str, Any], duration: Optional[int]) -> Any:
        """Hold a model loaded; a failed load is an answer, a client that left is not."""
        return _Holding(self.scheduler, reply, model, options, duration)

    def embed(self, reply: Reply) -> None:
        """POST /api/embed."""
        fields = {"model": TEXT, "input": ANY, "keep_alive": ANY, "options": MAP, "truncate": FLAG}
        asked = decode(reply.request, "EmbedRequest", fields)
        model = self.load_model(asked.get("model", ""), PULL_FIRST)
        begun = time.monotonic_ns()
        sent = asked.get("input", [])
        texts = [sent] if isinstance(sent, str) else sent
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Refusal(400, "invalid input type")
        duration = keep_alive(asked.get("keep_alive"))
        with self.holding(reply, model, asked.get("options", {}), duration):
            ready = time.monotonic_ns()
            length = model.header.number("embedding_length") if model.header else completion.EMBEDDING
            vectors = [completion.embedding(text, length) for text in texts]
            reply.json(
                200,
                {
                    "model": asked["model"],
                    "embeddings": vectors,
                    "total_duration": time.monotonic_ns() - begun,
                    "load_duration": ready - begun,
                    "prompt_eval_count": sum(map(completion.count_tokens, texts)),
                },
            )

    def embeddings(self, reply: Reply) -> None:
        """POST /api/embeddings, the older form."""
        fields = {"model": TEXT, "prompt": TEXT, "keep_alive": ANY, "options": MAP}
        asked = decode(reply.request, "EmbeddingRequest", fields)
        sent = asked.get("model", "")
        if not names.parse(sent).valid:
            raise Refusal(400, "model is required")
        model = self.load_model(sent, PULL_FIRST)
        with self.holding(reply, model, asked.get("options", {}), keep_alive(asked.get("keep_alive"))):
            length = model.header.number("embedding_length") if model.header else completion.EMBEDDING
            prompt = asked.get("prompt", "")
            reply.json(200, {"embedding": completion.embedding(prompt, length) if prompt else []})


class _Holding:
    """Holds a model for one request and turns a failed load into its answer."""

    def __init__(
        self, scheduler: Scheduler, reply: Reply, model: Model, options: dict[str, Any], duration: Optional[int]
    ) -> None:
        self._use = scheduler.use(model, options, duration, reply.gone)

    def __enter__(self) -> Loaded:
        try:
            return self._use.__enter__()
        except LoadError as error:
            if error.status == 499:
                raise Gone(str(error)) from error
            raise Refusal(error.status, str(error)) from error

    def __exit__(self, *reason: Any) -> None:
        self._use.__exit__(*reason)


def pieces(said: completion.Completion, key: str) -> Iterator[dict[str, Any]]:
    """Give the lines of a streamed answer, without what all lines have."""
    if said.thinking:
        yield (
            {"response": "", "thinking": said.thinking}
            if key == "response"
            else {"message": {"role": "assistant", "content": "", "thinking": said.thinking}}
        )
    if said.tool_calls:
        yield {"message": {"role": "assistant", "content": "", "tool_calls": list(said.tool_calls)}}
    for token in said.tokens:
        yield {"response": token} if key == "response" else {"message": {"role": "assistant", "content": token}}


def whole(said: completion.Completion, key: str) -> dict[str, Any]:
    """Give an answer in one piece."""
    thinking = {"thinking": said.thinking} if said.thinking else {}
    if key == "response":
        return {"response": said.text, **thinking}
    calls = {"tool_calls": list(said.tool_calls)} if said.tool_calls else {}
    return {"message": {"role": "assistant", "content": said.text, **thinking, **calls}}


def parameters_text(params: dict[str, Any]) -> str:
    """Write `parameters` of /api/show: the name padded to 31 columns, strings quoted as Go's %#v does."""
    lines = []
    for key, value in params.items():
        for item in value if isinstance(value, list) else [value]:
            shown = golang.quote(item) if isinstance(item, str) else golang.dumps(item)
            lines.append(f"{key:<30} {shown}")
    return "\n".join(lines)


def modelfile_quote(text: str) -> str:
    """Quote a Modelfile's value where it needs it (parser/parser.go `quote`)."""
    if "\n" not in text and not text.startswith(" ") and not text.endswith(" "):
        return text
    mark = '"""' if '"' in text else '"'
    return mark + text + mark


def manifest_bytes(config: Layer, layers: list[Layer]) -> bytes:
    """Write a manifest as Ollama does."""

    def entry(layer: Layer) -> dict[str, Any]:
        return {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}

    content = {
        "schemaVersion": 2,
        "mediaType": store.MANIFEST_TYPE,
        "config": entry(config),
        "layers": [entry(layer) for layer in layers],
    }
    return json.dumps(content, separators=(",", ":")).encode("utf-8")
