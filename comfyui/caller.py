"""Who asked for a run: the node, the page that queued it, and the workflow it stands in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import host


@dataclass(frozen=True)
class Caller:
    """One node of one run. Outside ComfyUI it is nobody, and nothing is told to anyone."""

    node_type: str = ""
    node_id: str = ""
    page: str | None = None
    workflow: Any = field(default=None, repr=False)


NO_CALLER = Caller()


def current_caller(node_type: str, extra_pnginfo: Any) -> Caller:
    """Give who asks now: to be called while ComfyUI runs the node."""
    workflow = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
    return Caller(node_type, host.node_id() or "", host.page(), workflow)
