"""The only file that touches ComfyUI: where files live, cancel, progress, and the language.

ComfyUI is never imported from here; if it runs, its modules are already loaded. Outside it,
nothing is cancelled and progress goes to whoever asked for it with `report_to`.
"""

from __future__ import annotations

import json
import locale
import os
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from ..strings.text import Language, Text, language_of

if TYPE_CHECKING:
    from PIL import Image

NAME = "siliconflow"
PREVIEW_SIDE = 512


class Progress(Protocol):
    """How a node tells what it is doing."""

    def text(self, text: Text) -> None:
        """Show a line on the node."""

    def value(self, done: int, total: int) -> None:
        """Move the bar; raises in ComfyUI once the user has cancelled."""

    def picture(self, picture: Image.Image) -> None:
        """Show a small RGB picture on the node; raises as `value` does."""


_listener: ContextVar[Progress | None] = ContextVar("siliconflow_progress", default=None)


def report_to(progress: Progress) -> None:
    """Send the progress of nodes that run outside ComfyUI, in this context, to `progress`."""
    _listener.set(progress)


def progress() -> Progress:
    """Give the progress display of the node that is running now."""
    return _ComfyProgress(node_id()) if _module("comfy.utils") else _listener.get() or _Silent()


def shows_pictures() -> bool:
    """Tell whether anybody would see the pictures that progress is given."""
    return _module("comfy.utils") is not None


def stop_if_cancelled() -> None:
    """Raise ComfyUI's own exception for a cancelled node; the flag is left for other nodes."""
    management = _module("comfy.model_management")
    if management and management.processing_interrupted():
        raise management.InterruptProcessingException


def is_cancel(error: Exception) -> bool:
    """Return whether an exception is ComfyUI's own for a cancelled node."""
    cancelled = getattr(_module("comfy.model_management"), "InterruptProcessingException", None)
    return cancelled is not None and isinstance(error, cancelled)


def data_directory() -> Path:
    """Give the folder of settings and ledger; whoever writes there makes it.

    `SILICONFLOW_DATA_DIR`, else ComfyUI's system user directory, which it never serves (outside
    ComfyUI: of the one whose `custom_nodes` the pack is in), else the platform's folder for
    application data.
    """
    chosen = os.environ.get("SILICONFLOW_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser()
    return _comfy_directory() or _directory_beside() or _platform_directory()


def language(chosen: str) -> Language:
    """Give the language of messages: the chosen one, else ComfyUI's setting, else the system's."""
    return language_of(chosen or _comfy_locale() or _system_locale())


def list_output(items: Sequence[Any], without: Text) -> list[Any]:
    """Give a node's list for ComfyUI; of an empty one, connected nodes are stopped with words.

    ComfyUI itself would end them with a bare IndexError. The node that lists goes on.
    """
    blocker = getattr(_module("comfy_execution.graph_utils"), "ExecutionBlocker", None)
    return list(items) if items or blocker is None else [blocker(str(without))]


def prompt_server() -> Any:
    """Give ComfyUI's server, or `None` outside it."""
    return getattr(getattr(_module("server"), "PromptServer", None), "instance", None)


def send(event: str, data: dict[str, Any], page: str | None = None) -> None:
    """Tell an open page something, or all of them; from any thread. Outside ComfyUI: nobody."""
    server = prompt_server()
    if server:
        server.send_sync(event, data, page)


def page() -> str | None:
    """Give the page that queued what is running now, if it is known."""
    return getattr(prompt_server(), "client_id", None)


def is_open(page: str) -> bool:
    """Tell whether a page is connected to ComfyUI now."""
    return page in getattr(prompt_server(), "sockets", {})


def input_directory() -> Path | None:
    """Give the folder that a Load Image node reads, or `None` outside ComfyUI."""
    folders = _module("folder_paths")
    return Path(folders.get_input_directory()) if folders else None


def is_multi_user() -> bool:
    """Tell whether ComfyUI keeps several users apart, whom it knows by a mere header."""
    arguments = getattr(_module("comfy.cli_args"), "args", None)
    return bool(getattr(arguments, "multi_user", False))


class _Silent:
    """Progress that nobody asked for."""

    def text(self, text: Text) -> None:
        """Show nothing."""

    def value(self, done: int, total: int) -> None:
        """Show nothing."""

    def picture(self, picture: Image.Image) -> None:
        """Show nothing."""


class _ComfyProgress:
    """Progress on a node of ComfyUI's page."""

    def __init__(self, node_id: str | None) -> None:
        self._node_id = node_id
        self._bar = _module("comfy.utils").ProgressBar(1, node_id=node_id)
        self._at = (0, 1)

    def text(self, text: Text) -> None:
        server = prompt_server()
        if server and self._node_id and hasattr(server, "send_progress_text"):
            server.send_progress_text(str(text), self._node_id)

    def value(self, done: int, total: int) -> None:
        self._at = (done, total)
        self._bar.update_absolute(done, total)

    def picture(self, picture: Image.Image) -> None:
        # One with transparency would end ComfyUI's process: it is sent as a JPEG.
        shown = ("JPEG", picture.convert("RGB"), PREVIEW_SIDE)
        self._bar.update_absolute(*self._at, shown)


def _module(name: str) -> Any:
    found: ModuleType | None = sys.modules.get(name)
    return found


def node_id() -> str | None:
    """Give the id of the node that is running now, or `None` outside ComfyUI."""
    context = getattr(_module("comfy_execution.utils"), "get_executing_context", lambda: None)()
    return context.node_id if context else None


def _comfy_directory() -> Path | None:
    folders = _module("folder_paths")
    if folders is None:
        return None
    if hasattr(folders, "get_system_user_directory"):
        return Path(folders.get_system_user_directory(NAME))
    return Path(folders.get_user_directory()) / f"__{NAME}"


def _directory_beside() -> Path | None:
    """Give the folder that ComfyUI would name, for a command run from its `custom_nodes`."""
    pack = Path(__file__).absolute().parent.parent
    user = pack.parent.parent / "user"
    return user / f"__{NAME}" if pack.parent.name == "custom_nodes" and user.is_dir() else None


def _platform_directory() -> Path:
    home = Path.home()
    by_platform: dict[str, Path] = {
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"),
        "darwin": home / "Library" / "Application Support",
    }
    default = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return by_platform.get(sys.platform, default) / "comfyui_siliconflow"


def _comfy_locale() -> str:
    folders = _module("folder_paths")
    if folders is None:
        return ""
    file = Path(folders.get_user_directory()) / "default" / "comfy.settings.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("Comfy.Locale", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _system_locale() -> str:
    variables = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, variables), "") or locale.getlocale()[0] or ""
