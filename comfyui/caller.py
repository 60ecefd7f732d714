"""Who asked for a run: the node, the page that queued it, and its workflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import host


@dataclass(frozen=True)
class Caller:
    """One node of one run. Outside ComfyUI all fields are empty."""

    node_type: str = ""
    node_id: str = ""
    page: str | None = None
    workflow: Any = field(default=None, repr=False)


NO_CALLER = Caller()


def current_caller(node_type: str, extra_pnginfo: Any) -> Caller:
    """Return the caller of the running node. Call it while ComfyUI runs the node."""
    workflow = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
    return Caller(node_type, host.node_id() or "", host.current_page(), workflow)
