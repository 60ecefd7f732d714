"""The running ComfyUI: its folders, cancel, progress, server, pages, users and language.

Nothing here imports ComfyUI: if it runs, its modules are loaded already. Outside ComfyUI nothing
is ever cancelled, there is no page to send to, and progress goes to whoever asked for it with
`report_to`.
"""

from __future__ import annotations

import asyncio
import json
import locale
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from ..storage.settings import InvalidSettings
from ..strings.text import Language, Text, language_of, text

if TYPE_CHECKING:
    from PIL import Image

NAME = "siliconflow"
TYPES = "SiliconFlow"
"""How the types of this pack's nodes begin."""
LONGEST_NAME = 255
"""Characters of a file's name: a longer text is none."""
PREVIEW_SIDE = 512
"""Pixels of the longer side of an image that is shown on a node."""
PREVIEW = "siliconflow.preview"
"""The event that says where the image belongs that follows it."""
MOST_QUEUED = 10_000
"""Prompts whose language is remembered."""
GOING_ON = "siliconflow_background"
"""What `extra_data` has of a prompt that is queued again: `first_prompt_id`, `root`, `left_out`.

`parent` is the id of the prompt that it was before. What was sent after `since`, in seconds since
1970, is not sent again, whichever node it is of. Those in `left_out` send nothing, but those that
are in `unpaid` as well what was surely never charged. `made_since` has all that ever waited: what
was sent for one of them after this was made in the background for this prompt. `queued_at` is when
the user queued it, in milliseconds: what the pack queues confirms nothing. `requests` are what
nodes asked for before, by `Caller.call`: a node before them may give something else each time.
"""

request_language: ContextVar[Language | None] = ContextVar("siliconflow_request", default=None)
"""The language that the request asks for which ComfyUI's server answers here, if it names one."""
MOST_CALLED = 64
"""Prompts whose calls are remembered."""
_calls: dict[tuple[str, float], Counter[str]] = {}
"""How often each node was called, by `Caller.queueing`, oldest first."""
_languages_of_runs: dict[str, Language] = {}
"""By the id of the prompt, oldest first."""


def module(name: str) -> Any:
    """Return a loaded module of ComfyUI, or `None` outside ComfyUI and in versions without it."""
    return sys.modules.get(name)


def raise_if_cancelled() -> None:
    """Raise ComfyUI's own exception if the user has cancelled the run.

    ComfyUI's flag stays set, so that other running nodes see it too.
    """
    management = module("comfy.model_management")
    if management and management.processing_interrupted():
        raise management.InterruptProcessingException


def is_cancel(error: Exception) -> bool:
    """Return whether an exception is ComfyUI's own for a cancelled run."""
    cancelled = getattr(module("comfy.model_management"), "InterruptProcessingException", None)
    return cancelled is not None and isinstance(error, cancelled)


def list_output(items: Sequence[Any]) -> list[Any]:
    """Return a list output of a node. An empty one keeps the connected nodes from running.

    Without the blocker, ComfyUI fails them with an `IndexError`. With a message, it would be an
    error of the run.
    """
    return list(items) if items or _blocker() is None else [blocked()]


def blocked() -> Any:
    """Return outputs of a node that keep ComfyUI from running what depends on them, quietly."""
    return _blocker()(None)


def is_blocked(outputs: Any) -> bool:
    """Return whether outputs are those of `blocked`."""
    return _blocker() is not None and isinstance(outputs, _blocker())


def _blocker() -> Any:
    return getattr(module("comfy_execution.graph_utils"), "ExecutionBlocker", None)


def node_id() -> str | None:
    """Return the id of the running node, or `None` outside ComfyUI."""
    return getattr(_executing(), "node_id", None)


def _prompt_id() -> str:
    """Return the id of the running prompt, or nothing."""
    return getattr(_executing(), "prompt_id", "")


def _executing() -> Any:
    return getattr(module("comfy_execution.utils"), "get_executing_context", lambda: None)()


def running_item(prompt_id: str) -> tuple[Any, ...]:
    """Return a running prompt as ComfyUI's queue has it; empty if it does not run.

    That is its number, its id, its graph, its `extra_data`, its outputs, and in newer versions what
    is secret of it.
    """
    queue = getattr(prompt_server(), "prompt_queue", None)
    running = list(getattr(queue, "currently_running", {}).values())
    return next((item for item in running if item[1] == prompt_id), ())


def is_queued(prompt_id: str) -> bool:
    """Return whether a prompt waits in ComfyUI's queue, or runs."""
    queue = getattr(prompt_server(), "prompt_queue", None)
    if queue is None:
        return False
    with queue.mutex:  # it takes a prompt from those that wait before it is among those that run
        waiting = any(item[1] == prompt_id for item in queue.queue)
        return waiting or bool(running_item(prompt_id))


def take_from_queue(is_meant: Callable[[Any], bool]) -> None:
    """Remove an item that waits in ComfyUI's queue; one that runs goes on."""
    queue = getattr(prompt_server(), "prompt_queue", None)
    if queue is not None:
        queue.delete_queue_item(is_meant)


def has_run(prompt_id: str) -> bool:
    """Return whether a prompt that is not queued any more has run: else it was removed."""
    queue = getattr(prompt_server(), "prompt_queue", None)
    if queue is None:
        return True
    with queue.mutex:
        return prompt_id in queue.history


def failure_of(prompt_id: str) -> Text | None:
    """Return why a prompt that has run failed, or was cancelled, as far as ComfyUI says.

    What nodes of other packs say may be long, or hold what is not to be stored.
    """
    queue = getattr(prompt_server(), "prompt_queue", None)
    if queue is None:
        return None
    with queue.mutex:  # it takes a prompt from those that run before it is in the history
        status = queue.history.get(prompt_id, {}).get("status") or {}
    if status.get("status_str") != "error":
        return None
    errors = (content for kind, content in status["messages"] if kind == "execution_error")
    own = (each["exception_message"].strip() for each in errors if node_task(each["node_type"]))
    return next(map(Text, own), text("background.prompt_failed"))


def _running_prompt(prompt_id: str) -> dict[str, Any]:
    """Return what a `Caller` has of a running prompt."""
    item = running_item(prompt_id)
    if not item:
        return {}
    _, _, graph, extra_data, outputs, *_ = item
    # The first node of a prompt that no server queued says it for those that follow.
    milliseconds = float(extra_data.setdefault("create_time", time.time() * 1000))
    going_on = extra_data.get(GOING_ON, {})
    queued_at = float(going_on.get("queued_at", milliseconds)) / 1000
    return {"graph": graph, "outputs": outputs, "queued_at": queued_at, "going_on": going_on}


def root_of(prompt_id: str, extra_data: Mapping[str, Any]) -> str:
    """Return what tells one queueing of a prompt from any other, also where the id is the same."""
    root = f"{prompt_id} {extra_data.get('create_time', '')}"
    return str(extra_data.get(GOING_ON, {}).get("root", root))


def call_name(node_id: str = "") -> str:
    """Return a name of the running call of a node, or of another node of the same prompt.

    It is another one each time that a prompt is queued, and the same when it is queued again for
    results that were made in the background. Empty outside ComfyUI.
    """
    context = _executing()
    item = running_item(getattr(context, "prompt_id", ""))
    if not item:
        return ""
    return f"{root_of(item[1], item[3])} {f'{node_id} 0' if node_id else _call(context)}"


def _call(context: Any) -> str:
    """Return what tells the calls of one prompt apart: the node, and its place in a list."""
    return f"{context.node_id} {context.list_index or 0}"


def note_call(caller: Caller) -> None:
    """Count that ComfyUI has called a node: once for each item of a list that it is given."""
    if caller.prompt_id:
        _calls.setdefault(caller.queueing, Counter())[caller.node_id] += 1
        for oldest in list(_calls)[:-MOST_CALLED]:
            del _calls[oldest]


async def calls_of(caller: Caller) -> int:
    """Return how often ComfyUI has called a node, once it has called it for a whole list.

    Between two calls it lets others run once.
    """
    calls, before = 1, 0
    while calls > before:
        before = calls
        for _ in range(3):
            await asyncio.sleep(0)
        calls = max(1, _calls.get(caller.queueing, Counter())[caller.node_id])
    return calls


def node_task(node_type: str) -> str:
    """Return the task of a node of this pack by its type; empty for any other."""
    classes = getattr(module("nodes"), "NODE_CLASS_MAPPINGS", {})
    return str(getattr(classes.get(node_type), "task", "")) if node_type.startswith(TYPES) else ""


def prompt_server() -> Any:
    """Return ComfyUI's server, or `None` outside ComfyUI."""
    return getattr(getattr(module("server"), "PromptServer", None), "instance", None)


def register_replacements(replacements: Iterable[Mapping[str, Any]]) -> None:
    """Offer nodes of ours for nodes that are not installed; a ComfyUI before 0.33 knows of none.

    Each is the arguments of its `NodeReplace`.
    """
    manager = getattr(prompt_server(), "node_replace_manager", None)
    node_replace = getattr(getattr(module("comfy_api.latest"), "io", None), "NodeReplace", None)
    if manager and node_replace:
        for arguments in replacements:
            manager.register(node_replace(**arguments))


def send(event: str, data: dict[str, Any], page: str | None = None) -> None:
    """Send an event to one open page, or to all. Thread-safe; outside ComfyUI it does nothing."""
    server = prompt_server()
    if server:
        server.send_sync(event, data, page)


def current_page() -> str | None:
    """Return the id of the page that queued the running workflow, or `None`."""
    return getattr(prompt_server(), "client_id", None)


def is_open(page: str) -> bool:
    """Return whether a page is connected to ComfyUI now."""
    return page in getattr(prompt_server(), "sockets", {})


def is_multi_user() -> bool:
    """Return whether ComfyUI runs with `--multi-user`. It tells users apart by a mere header."""
    return _has_option("multi_user")


def may_store_workflows() -> bool:
    """Return whether workflows and prompts may be kept: not with `--disable-metadata`."""
    return not _has_option("disable_metadata")


def _has_option(name: str) -> bool:
    arguments = getattr(module("comfy.cli_args"), "args", None)
    return bool(getattr(arguments, name, False))


def language(setting: str) -> Language:
    """Return the language of messages.

    That of the request that is answered, or that queued this run, if it named one; else the
    setting, else ComfyUI's, else the system's.
    """
    requested = request_language.get() or _languages_of_runs.get(_prompt_id())
    return requested or language_of(setting or _comfyui_locale() or _system_locale())


def note_time(prompt: dict[str, Any]) -> dict[str, Any]:
    """Return a prompt that is queued with the time, which older versions of ComfyUI do not note."""
    extra_data = {**(prompt.get("extra_data") or {}), "create_time": int(time.time() * 1000)}
    return {**prompt, "extra_data": extra_data}


def note_language(prompt: dict[str, Any]) -> dict[str, Any]:
    """Remember the language of a request that queues a prompt, and return the prompt with an id.

    ComfyUI would give it one, too, but only later.
    """
    requested = request_language.get()
    if requested is None:
        return prompt
    prompt_id = str(prompt.get("prompt_id") or uuid4())
    _languages_of_runs[prompt_id] = requested
    for oldest in list(_languages_of_runs)[:-MOST_QUEUED]:
        del _languages_of_runs[oldest]
    return {**prompt, "prompt_id": prompt_id}


def keep_language(prompt_id: str, new_id: str) -> None:
    """Speak the language of one prompt in another, too."""
    if prompt_id in _languages_of_runs:
        _languages_of_runs[new_id] = _languages_of_runs[prompt_id]


def _comfyui_locale() -> str:
    folder_paths = module("folder_paths")
    if folder_paths is None:
        return ""
    file = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("Comfy.Locale", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _system_locale() -> str:
    variables = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, variables), "") or locale.getlocale()[0] or ""


@dataclass(frozen=True)
class Caller:
    """One node of one run. Outside ComfyUI all fields are empty but `notes`, for the user."""

    node_type: str = ""
    node_id: str = ""
    page: str | None = None
    workflow: Any = field(default=None, repr=False)
    notes: Sequence[Text] = ()
    call: str = ""
    """What tells the calls of one prompt apart, when it is queued again, too."""
    prompt_id: str = ""
    queued_at: float = field(default_factory=time.time)
    """When the user queued the prompt, in seconds since 1970, as far as ComfyUI says."""
    graph: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The nodes of the prompt by id, each with its `class_type` and `inputs`."""
    outputs: Sequence[str] = ()
    """The nodes that the prompt was queued for: those that they depend on are run."""
    going_on: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Of a prompt that is queued again, see `GOING_ON`."""
    background: bool | None = None
    """Whether the results are to be made in the background; `None`: the node has no such input."""

    @property
    def prompts(self) -> dict[str, str]:
        """The ids of the prompt, and of the first one, where it is queued again; else nothing."""
        first = self.going_on.get("first_prompt_id")
        return {"first_prompt_id": first, "prompt_id": self.prompt_id} if first else {}

    @property
    def queueing(self) -> tuple[str, float]:
        """What tells one queueing of a prompt from any other: a program may use an id again."""
        return self.prompt_id, self.queued_at if self.graph else 0.0

    @property
    def workflow_id(self) -> str:
        """Return the id by which the page knows the workflow; empty if it has none."""
        return str(self.workflow.get("id") or "") if isinstance(self.workflow, dict) else ""


def current_caller(node_type: str, extra_pnginfo: Any) -> Caller:
    """Return the caller of the running node. Call it while ComfyUI runs the node."""
    workflow = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
    context = _executing()
    if context is None:
        return Caller(node_type, "", current_page(), workflow)
    prompt_id = str(getattr(context, "prompt_id", ""))
    return Caller(
        node_type,
        context.node_id,
        current_page(),
        workflow,
        call=_call(context),
        prompt_id=prompt_id,
        **_running_prompt(prompt_id),
    )


def data_directory() -> Path:
    """Return the folder of settings, ledger and job history. It need not exist yet.

    `SILICONFLOW_DATA_DIR`, else a folder in ComfyUI's user directory that ComfyUI never serves
    (outside ComfyUI: of the installation whose `custom_nodes` the pack is in), else the
    platform's folder for application data. Raises `InvalidSettings` for `~` of an unknown user.
    """
    override = os.environ.get("SILICONFLOW_DATA_DIR")
    if override:
        try:
            return Path(override).expanduser()
        except RuntimeError:
            raise InvalidSettings(text("settings.data_folder", folder=override)) from None
    return _comfyui_directory() or _installation_directory() or _platform_directory()


def input_directory() -> Path | None:
    """Return the folder that Load Image nodes read, or `None` outside ComfyUI."""
    folder_paths = module("folder_paths")
    return Path(folder_paths.get_input_directory()) if folder_paths else None


def input_file_version(name: Any) -> tuple[int, int] | None:
    """Return when a file that Load Image nodes read was changed, and its size; `None`: no file.

    The name may say in which of ComfyUI's folders it is, as `a.png [output]` does.
    """
    folder = input_directory()
    if folder is None or not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return None
    try:
        folder_paths = module("folder_paths")
        annotated = folder_paths.get_annotated_filepath(name) if folder_paths else folder / name
        status = Path(annotated).stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def temporary_directory() -> Path:
    """Return ComfyUI's folder for files that are deleted at its next start, or the system's."""
    folder_paths = module("folder_paths")
    folder = folder_paths.get_temp_directory() if folder_paths else tempfile.gettempdir()
    return Path(folder) / NAME


def video(file: Path) -> Any:
    """Return a VIDEO of a file, or the path outside ComfyUI.

    It has a name of its own for the file: clearing the saved results must not break a workflow that
    ComfyUI has cached.
    """
    if module("folder_paths") is None:
        return file
    linked = temporary_directory() / file.name
    linked.parent.mkdir(parents=True, exist_ok=True)
    if not linked.exists():
        try:
            os.link(file, linked)
        except OSError:  # another drive, or one without links
            shutil.copyfile(file, part := linked.with_suffix(f".{uuid4().hex}.part"))
            part.replace(linked)
    return import_module("comfy_api.input_impl").VideoFromFile(str(linked))


def _comfyui_directory() -> Path | None:
    folder_paths = module("folder_paths")
    if folder_paths is None:
        return None
    if hasattr(folder_paths, "get_system_user_directory"):
        return Path(folder_paths.get_system_user_directory(NAME))
    return Path(folder_paths.get_user_directory()) / f"__{NAME}"


def _installation_directory() -> Path | None:
    """Return the same folder for a command that is run from ComfyUI's `custom_nodes`.

    ComfyUI makes `user` at its first start, which may be yet to come.
    """
    nodes = Path(__file__).absolute().parent.parent.parent
    return nodes.parent / "user" / f"__{NAME}" if nodes.name == "custom_nodes" else None


def _platform_directory() -> Path:
    home = Path.home()
    by_platform: dict[str, Path] = {
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"),
        "darwin": home / "Library" / "Application Support",
    }
    default = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return by_platform.get(sys.platform, default) / "comfyui_siliconflow"


class Progress(Protocol):
    """Receives the progress of one node."""

    def text(self, text: Text) -> None:
        """Show a line on the node."""

    def value(self, done: int, total: int) -> None:
        """Move the progress bar. In ComfyUI it raises once the user has cancelled."""

    def image(self, image: Image.Image, place: int) -> None:
        """Show a small RGB image on the node, at its place among those of the run.

        In ComfyUI it raises as `value` does.
        """


_receiver: ContextVar[Progress | None] = ContextVar("siliconflow_progress", default=None)


def report_to(progress: Progress) -> None:
    """Send the progress of nodes that run outside ComfyUI, in this context, to `progress`."""
    _receiver.set(progress)


def current_progress() -> Progress:
    """Return the progress display of the running node."""
    if shows_images():
        call = getattr(_executing(), "list_index", None) or 0
        return _PageProgress(node_id(), current_page(), call)
    return _receiver.get() or _NoProgress()


def shows_images() -> bool:
    """Return whether anybody sees the images that progress is given."""
    return module("comfy.utils") is not None


class _NoProgress:
    """Outside ComfyUI, where no program asked for progress."""

    def text(self, text: Text) -> None:
        """Show nothing."""

    def value(self, done: int, total: int) -> None:
        """Show nothing."""

    def image(self, image: Image.Image, place: int) -> None:
        """Show nothing."""


class _PageProgress:
    """On a node of the page that queued the workflow.

    Without such a page (a program queued it) nothing is shown but ComfyUI's own progress bar: what
    ComfyUI sends to no page in particular it sends to all, and each would show it on whatever node
    has this id there.
    """

    def __init__(self, node_id: str | None, page: str | None, call: int) -> None:
        self._node_id, self._page, self._call = node_id, page, call
        self._bar = module("comfy.utils").ProgressBar(1, node_id=node_id)
        self._value = (0, 1)

    def text(self, text: Text) -> None:
        server = prompt_server()
        if self._page and self._node_id and hasattr(server, "send_progress_text"):
            server.send_progress_text(str(text), self._node_id, self._page)

    def value(self, done: int, total: int) -> None:
        self._value = (done, total)
        self._bar.update_absolute(done, total)

    def image(self, image: Image.Image, place: int) -> None:
        if not self._page:
            return
        # Just before the image, whose message has no room for it: the page gets them in this order.
        send(PREVIEW, {"node": self._node_id, "call": self._call, "place": place}, self._page)
        # As a JPEG: a PNG with transparency crashes ComfyUI.
        preview = ("JPEG", image.convert("RGB"), PREVIEW_SIDE)
        self._bar.update_absolute(*self._value, preview)
