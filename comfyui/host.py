"""The running ComfyUI: its modules, cancel, server, pages, users and language.

Nothing here imports ComfyUI: if it runs, its modules are loaded already. Outside ComfyUI nothing
is ever cancelled, and there is no page to send to.
"""

from __future__ import annotations

import json
import locale
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..strings.text import Language, Text, language_of


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


def list_output(items: Sequence[Any], when_empty: Text) -> list[Any]:
    """Return a list output of a node. An empty one blocks the connected nodes with a message.

    Without the blocker, ComfyUI fails them with an `IndexError`. The node itself succeeds.
    """
    blocker = getattr(module("comfy_execution.graph_utils"), "ExecutionBlocker", None)
    return list(items) if items or blocker is None else [blocker(str(when_empty))]


def node_id() -> str | None:
    """Return the id of the running node, or `None` outside ComfyUI."""
    context = getattr(module("comfy_execution.utils"), "get_executing_context", lambda: None)()
    return context.node_id if context else None


def prompt_server() -> Any:
    """Return ComfyUI's server, or `None` outside ComfyUI."""
    return getattr(getattr(module("server"), "PromptServer", None), "instance", None)


def send(event: str, data: dict[str, Any], page: str | None = None) -> None:
    """Send an event to one open page, or to all. Thread-safe; outside ComfyUI it does nothing."""
    server = prompt_server()
    if server:
        server.send_sync(event, data, page)


def current_page() -> str | None:
    """Return the id of the page that queued the running workflow, or `None`."""
    return getattr(prompt_server(), "client_id", None)


def is_page_open(page: str) -> bool:
    """Return whether a page is connected to ComfyUI."""
    return page in getattr(prompt_server(), "sockets", {})


def is_multi_user() -> bool:
    """Return whether ComfyUI runs with `--multi-user`. It tells users apart by a mere header."""
    arguments = getattr(module("comfy.cli_args"), "args", None)
    return bool(getattr(arguments, "multi_user", False))


def language(setting: str) -> Language:
    """Return the language of messages: the setting, else ComfyUI's, else the system's."""
    return language_of(setting or _comfyui_locale() or _system_locale())


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
