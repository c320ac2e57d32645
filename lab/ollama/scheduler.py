"""Which models are loaded: loads, expiry, eviction, reloads (server/sched.go, llm/llama_server.go)."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from mac import machine

from ollama import gguf, golang, logs, memory
from ollama.envconfig import Settings
from ollama.store import Model
from ollama.versions import Release

MODELS_PER_GPU = 3  # OLLAMA_MAX_LOADED_MODELS when it is 0
PROMPT_CACHE_MIB = 8192  # llama-server's --cache-ram default; Ollama passes none
_ERROR_PREFIXES = ("error:", "Error:", "error loading model", "llama_init_from_model:", "GGML_ASSERT", "panic:")
# Families that Ollama runs with one request at a time whatever OLLAMA_NUM_PARALLEL says.
_SERIAL_FAMILIES = ("mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next", "lfm2", "nemotron_h")


class LoadError(Exception):
    """A load failed; status and text go to the client."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.status = status


class Plan(NamedTuple):
    """How a model is to be run."""

    context: int
    parallel: int
    batch: int
    prediction: int
    needs: memory.Needs
    gpu_bytes: int
    mmap: bool
    num_gpu: int


class Loaded:
    """A model in memory and its process."""

    def __init__(self, model: Model, path: Path, plan: Plan, process: subprocess.Popen[bytes], port: int) -> None:
        self.model = model
        self.path = path
        self.plan = plan
        self.process = process
        self.port = port
        self.session = 0
        self.expires = 0
        self.references = 0
        self.stopping = False
        self.cache = 0

    @property
    def ram(self) -> int:
        """What the process takes of the Mac's memory, prompt cache included."""
        return self.plan.needs.ram + self.cache


class Gpu(NamedTuple):
    """The Mac's GPU as Ollama sees it."""

    name: str
    total: int


def gpu_of(mac: machine.Machine) -> Gpu:
    """Give the GPU of this Mac; nothing but memory size and macOS release decides its limit."""
    return Gpu(mac.chip, memory.working_set(mac.memory_bytes, mac.os_major))


def fit_target(settings: Settings) -> int:
    """Give the margin llama-server keeps free on the GPU."""
    text = settings.text("LLAMA_ARG_FIT_TARGET")
    return int(text) * memory.MIB if text.isdigit() else 1024 * memory.MIB


def candidates(program: Path) -> list[Path]:
    """List where Ollama on a Mac looks for its runner (llm/llama_binary.go), from the resolved program."""
    base = program.parent
    found = [base, base / "lib/ollama", base.parent / "lib/ollama"]
    for start in (base, Path.cwd()):
        found += [start / "build/lib/ollama", start / "dist/darwin-arm64/lib/ollama"]
        found += [start / "dist/darwin_arm64/lib/ollama", start / "dist/darwin"]
    return list(dict.fromkeys(place / "llama-server" for place in found))


class Scheduler:
    """Loads and unloads the models of one server."""

    def __init__(self, settings: Settings, release: Release, program: Path, gpu: Gpu) -> None:
        self.settings = settings
        self.release = release
        self.program = program
        self.gpu = gpu
        tiers = memory.default_context(gpu.total) if release.vram_tiers else release.default_context
        self.default_context = tiers
        self._loaded: dict[Path, Loaded] = {}
        self._changed = threading.Condition(threading.RLock())
        self._pending = threading.Lock()
        self._waiting = 0
        self._ended = False

    def start(self) -> None:
        """Start watching for models whose time is over."""
        threading.Thread(target=self._watch, name="expiry", daemon=True).start()

    # What is asked for

    def plan(self, model: Model, options: dict[str, Any], taken: int) -> Plan:
        """Decide context, batch and placement for a model while others take `taken` bytes of the GPU."""
        header = model.header
        if header is None:
            raise LoadError(f"{golang.quote(model.short)} does not support generate", 400)
        settings = self.settings
        wanted = options.get("num_ctx") or model.params.get("num_ctx") or settings.context_length
        context = max(int(wanted or self.default_context), 4)
        if "vision" in model.capabilities():
            context = max(context, 2048)
        limit = header.number("context_length")
        context = min(context, limit) if limit else context
        family = header.architecture
        parallel = 1 if family in _SERIAL_FAMILIES else max(settings.num_parallel, 1)
        available = max(self.gpu.total - taken, 0)
        prediction = memory.predicted(header, context * parallel)
        batch = int(options.get("num_batch") or memory.generation_batch(context * parallel, prediction, available))
        kind = self.kv_type()
        need = memory.needs(
            header,
            context,
            parallel=parallel,
            batch=batch,
            kind=kind if kind in memory.KV_TYPES else "f16",
            flash=settings.flash_attention is not False,
        )
        num_gpu = int(options.get("num_gpu", -1))
        usable = max(self.gpu.total - fit_target(settings), 0)
        if settings.text("LLAMA_ARG_FIT") == "off":
            usable = need.total
        gpu_bytes = 0 if num_gpu == 0 else min(need.total, usable)
        # On Metal a prediction above what is free turns mmap off: weights become memory that must be swapped.
        mmap = prediction + memory.surcharge(batch) <= available
        return Plan(context, parallel, batch, prediction, need, gpu_bytes, mmap, num_gpu)

    def kv_type(self) -> str:
        """Give the cache type in force; before 0.30 an unknown one was f16, and so was one without FA."""
        kind = self.settings.kv_cache_type.lower()
        if not self.release.kv_type_checked:
            return kind or "f16"
        if kind and kind not in ("f16", "q8_0", "q4_0"):
            logs.warn("server.go:214", "unsupported OLLAMA_KV_CACHE_TYPE", type=kind)
            return "f16"
        if kind in ("q8_0", "q4_0") and not self.settings.flash_attention:
            logs.warn("server.go:219", "quantized kv cache requested but flash attention disabled", type=kind)
            return "f16"
        return kind or "f16"

    @contextlib.contextmanager
    def use(self, model: Model, options: dict[str, Any], keep_alive: Optional[int], gone: Callable[[], bool]) -> Iterator[Loaded]:
        """Hold a model loaded for one request; loads it first if need be."""
        loaded = self._acquire(model, options, keep_alive, gone)
        try:
            yield loaded
        finally:
            self._release(loaded)

    def expire(self, model: Model) -> None:
        """Unload the runner of a model's weights, whatever name loaded it; fine when there is none."""
        with self._changed:
            loaded = self._loaded.get(model.model_path) if model.model_path else None
            if loaded is None:
                return
            loaded.session = 0
            loaded.expires = time.time_ns()
            if loaded.references:
                return
            self._begin_stop(loaded)
        self._finish_stop(loaded)

    def running(self) -> list[Loaded]:
        """Give what /api/ps lists: latest expiry first; a model being unloaded is still there."""
        with self._changed:
            return sorted(self._loaded.values(), key=lambda loaded: -loaded.expires)

    def note_tokens(self, loaded: Loaded, count: int) -> None:
        """Let the prompt cache grow by a finished request, up to llama-server's --cache-ram."""
        if loaded.model.header is None:
            return
        limit = self.settings.text("LLAMA_ARG_CACHE_RAM")
        most = (int(limit) if limit.isdigit() else PROMPT_CACHE_MIB) * memory.MIB
        per_token = memory.kv_bytes(loaded.model.header, 256) // 256
        loaded.cache = min(most, loaded.cache + per_token * count)
        self._note_usage(loaded)

    def stop(self) -> None:
        """End all runners, at SIGTERM."""
        with self._changed:
            self._ended = True
            everything = list(self._loaded.values())
            self._changed.notify_all()
        for loaded in everything:
            self._end_process(loaded)

    # How it is done

    def _usable(self, model: Model, options: dict[str, Any]) -> Optional[Loaded]:
        loaded = self._loaded.get(model.model_path) if model.model_path else None
        if loaded is None or loaded.stopping or loaded.process.poll() is not None:
            return None
        # The batch follows from the memory that was free at the load and is no reason to load again.
        plan = self.plan(model, options, 0)
        same = plan.context == loaded.plan.context and plan.num_gpu == loaded.plan.num_gpu
        if "num_batch" in options:
            same = same and plan.batch == loaded.plan.batch
        return loaded if same else None

    def _hold(self, loaded: Loaded, keep_alive: Optional[int]) -> Loaded:
        """Use a loaded model.

        A request without keep_alive restarts the time the model was loaded with, not the server's default (observed
        on 0.32.15; `useLoadedRunner` in server/sched.go).
        """
        loaded.references += 1
        if keep_alive is not None:
            loaded.session = keep_alive
        if loaded.session > 0:
            loaded.expires = _later(loaded.session)
        return loaded

    def _acquire(self, model: Model, options: dict[str, Any], keep_alive: Optional[int], gone: Callable[[], bool]) -> Loaded:
        with self._changed:
            usable = self._usable(model, options)
            if usable:
                return self._hold(usable, keep_alive)
            if self._waiting >= self.settings.max_queue:
                text = "server busy, please try again.  maximum pending requests exceeded"
                raise LoadError(text, 503)
            self._waiting += 1
        try:
            with self._pending:  # one load at a time, as processPending does
                return self._place(model, options, keep_alive, gone)
        finally:
            with self._changed:
                self._waiting -= 1

    def _place(self, model: Model, options: dict[str, Any], keep_alive: Optional[int], gone: Callable[[], bool]) -> Loaded:
        while True:
            with self._changed:
                usable = self._usable(model, options)
                if usable:
                    return self._hold(usable, keep_alive)
                taken = sum(loaded.plan.gpu_bytes for loaded in self._loaded.values())
                plan = self.plan(model, options, taken)
                victim = self._victim(model, plan, taken)
                if victim is not None:
                    victim.session = 0
                    while victim.references and not self._ended:
                        self._changed.wait(1)
                    self._begin_stop(victim)
            if victim is None:
                session = self.settings.keep_alive if keep_alive is None else keep_alive
                return self._load(model, plan, session, gone)
            self._finish_stop(victim, wait=True)

    def _victim(self, model: Model, plan: Plan, taken: int) -> Optional[Loaded]:
        """Choose the runner that must go before this load: its own old one, one too many, or one in the way."""
        own = self._loaded.get(model.model_path) if model.model_path else None
        if own is not None:
            return own
        if not self._loaded:
            return None
        most = self.settings.max_loaded_models or MODELS_PER_GPU
        available = max(self.gpu.total - taken, 0)
        predicted = plan.prediction + memory.surcharge(plan.batch)
        fields = {
            "predicted": golang.human_bytes2(predicted),
            "predicted_num_ctx": plan.context * plan.parallel,
            "num_batch": plan.batch,
            "available": golang.human_bytes2(available),
            "gpu_free": golang.human_bytes2(available),
        }
        if len(self._loaded) < most:
            if predicted <= available * 80 // 100:
                logs.info("sched.go:571", "llama-server model fits alongside existing models", **fields)
                return None
            message = "llama-server model predicted to exceed available memory, evicting"
            logs.info("sched.go:560", message, **fields)
        return min(self._loaded.values(), key=lambda loaded: (loaded.references > 0, loaded.session))

    def _find_runner(self) -> list[str]:
        """Give the command that starts a runner; before 0.30 that was `ollama runner` itself."""
        if not self.release.llama_server:
            return [str(self.program), "runner"]
        places = candidates(self.program)
        for place in places:
            if place.exists() and not machine.fault("ollama-load-fails"):
                return [str(place)]
        checked = ", ".join(str(place) for place in places)
        raise LoadError(
            f"error starting llama-server: llama-server binary not found (checked: {checked}). Run 'cmake -S llama/server "
            "--preset cpu && cmake --build --preset cpu' first "
        )

    def _arguments(self, path: Path, plan: Plan, port: int) -> list[str]:
        words = ["--model", str(path), "--port", str(port), "--host", "127.0.0.1", "--no-webui", "--offline"]
        words += ["-c", str(plan.context * plan.parallel), "-np", str(plan.parallel)]
        words += ["--log-verbosity", "4", "--no-log-prefix", "--no-log-timestamps", "--no-jinja"]
        words += ["--chat-template", "chatml"]
        if not plan.mmap:
            words += ["--load-mode", "none"]
        kind = self.kv_type()
        if self.settings.kv_cache_type:
            words += ["--cache-type-k", kind, "--cache-type-v", kind]
        flash = {None: "auto", True: "on", False: "off"}[self.settings.flash_attention]
        words += ["--flash-attn", flash, "-b", str(plan.batch), "-ub", str(plan.batch)]
        if plan.num_gpu >= 0:
            words += ["-ngl", str(plan.num_gpu)]
        words += ["--context-shift", "--keep", "4"]
        delay = machine.fault("ollama-load-delay", 0)
        return words + (["--load-delay", str(float(delay))] if delay else [])

    def _load(self, model: Model, plan: Plan, session: int, gone: Callable[[], bool]) -> Loaded:
        path = model.model_path
        if path is None or model.header is None:
            raise LoadError(f"{golang.quote(model.short)} does not support generate", 400)
        try:
            gguf.check_complete(model.header)
        except gguf.BadFile as error:
            raise LoadError(str(error)) from error
        command = self._find_runner()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        command += self._arguments(path, plan, port)
        begun = time.monotonic()
        logs.info("llama_server.go:433", "starting llama-server", cmd=" ".join(command))
        try:
            # No group of its own: launchd's clean-up of the job's process group takes the runner along.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            text = os.strerror(error.errno or 0).lower()
            message = f"error starting llama-server: fork/exec {command[0]}: {text} "
            raise LoadError(message) from error
        last: collections.deque[str] = collections.deque(maxlen=20)
        copier = threading.Thread(target=_copy_output, args=(process, last), daemon=True)
        copier.start()
        logs.info("llama_server.go:1295", "waiting for llama-server to start responding")
        self._await_ready(process, port, copier, last, gone)
        seconds = time.monotonic() - begun
        logs.info("llama_server.go:1362", f"llama-server started in {seconds:.2f} seconds")
        loaded = Loaded(model, path, plan, process, port)
        with self._changed:
            loaded.expires = _later(session)
            self._loaded[path] = loaded
            self._hold(loaded, session)
            self._changed.notify_all()
            ended = self._ended
        if ended:
            self._end_process(loaded)
            raise LoadError("context canceled")
        self._note_usage(loaded)
        return loaded

    def _await_ready(
        self,
        process: subprocess.Popen[bytes],
        port: int,
        copier: threading.Thread,
        last: collections.deque[str],
        gone: Callable[[], bool],
    ) -> None:
        limit = time.monotonic() + self.settings.load_timeout / golang.SECOND
        while not _healthy(port):
            if process.poll() is not None:
                copier.join(2)
                errors = "\n".join(line for line in last if line.startswith(_ERROR_PREFIXES))
                status = f"exit status {process.returncode}"
                if process.returncode < 0:
                    status = f"signal: {signal.strsignal(-process.returncode).lower()}"  # type: ignore[union-attr]
                text = "llama-server process has terminated: " + status + (": " + errors if errors else "")
                raise LoadError(text)
            over = time.monotonic() > limit
            if over or gone() or self._ended:
                process.kill()
                process.wait()
                if over:
                    raise LoadError("timed out waiting for llama-server to start - " + "\n".join(last))
                raise LoadError("request canceled", 499)
            time.sleep(0.005)

    def _release(self, loaded: Loaded) -> None:
        with self._changed:
            loaded.references -= 1
            if not loaded.references:
                loaded.expires = _later(loaded.session)
                stop = loaded.session <= 0 and not loaded.stopping
                if stop:
                    self._begin_stop(loaded)
            else:
                stop = False
            self._changed.notify_all()
        if stop:
            self._finish_stop(loaded)

    def _begin_stop(self, loaded: Loaded) -> None:
        loaded.stopping = True
        loaded.expires = min(loaded.expires, time.time_ns())

    def _finish_stop(self, loaded: Loaded, *, wait: bool = False) -> None:
        """End a runner; the listing keeps it for the time a real one takes to go."""
        lag = float(machine.fault("ollama-unload-lag", 0))
        if lag and not wait:
            threading.Thread(target=self._remove, args=(loaded, lag), daemon=True).start()
        else:
            self._remove(loaded, lag)

    def _remove(self, loaded: Loaded, lag: float) -> None:
        if lag:
            with self._changed:
                self._changed.wait_for(lambda: self._ended, timeout=lag)
        self._end_process(loaded)
        with self._changed:
            if self._loaded.get(loaded.path) is loaded:
                del self._loaded[loaded.path]
            self._changed.notify_all()

    def _end_process(self, loaded: Loaded) -> None:
        if loaded.process.poll() is None:
            loaded.process.kill()
        loaded.process.wait()
        with contextlib.suppress(OSError):
            _usage_file(loaded).unlink()

    def _note_usage(self, loaded: Loaded) -> None:
        """Leave a note of the memory this process takes, from which the lab derives its swap."""
        file = _usage_file(loaded)
        if not file.parent.is_dir():
            return
        note = {"pid": loaded.process.pid, "ram_bytes": loaded.ram, "gpu_bytes": loaded.plan.gpu_bytes}
        with contextlib.suppress(OSError):
            file.write_text(json.dumps(note) + "\n", encoding="utf-8")

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._ended:
                    return
                now = time.time_ns()
                idle = [loaded for loaded in self._loaded.values() if not loaded.references and not loaded.stopping]
                due = [loaded for loaded in idle if loaded.expires <= now]
                for loaded in due:
                    self._begin_stop(loaded)
                if not due:
                    soonest = min((loaded.expires - now for loaded in idle), default=golang.HOUR)
                    self._changed.wait(min(soonest, golang.HOUR) / golang.SECOND)
            for loaded in due:
                self._finish_stop(loaded)


def _later(duration: int) -> int:
    return time.time_ns() + duration


def _usage_file(loaded: Loaded) -> Path:
    """Give the note's place: by runner, as a runner outlives a server that was killed with SIGKILL."""
    return machine.path("/var/db/virtual-mac/usage") / (f"{loaded.process.pid}.json")


def _copy_output(process: subprocess.Popen[bytes], last: collections.deque[str]) -> None:
    """Pass a runner's output on to the log and keep its last lines."""
    if process.stdout is None:
        return
    for raw in process.stdout:
        text = raw.decode("utf-8", "replace")
        last.append(text.rstrip())
        logs.write(text)
    process.stdout.close()


def _healthy(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
