"""What open pages are told without being asked.

Jobs and balance are told to every page: each shows the same list, whichever page queued the run.
A failure is told to the page that queued it, or to all if that page is closed by now or unknown.
Where ComfyUI keeps several users apart, nothing of one's run is told to another's page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..siliconflow.errors import (
    GuardStopped,
    InvalidInput,
    PartialFailure,
    RequestError,
)
from ..storage.settings import InvalidSettings, MissingKey
from ..strings.text import SiliconFlowError, Text
from . import host
from .caller import Caller

SETTINGS = "siliconflow.settings"
STORED = "siliconflow.stored"
JOBS = "siliconflow.jobs"
BALANCE = "siliconflow.balance"
FAILED = "siliconflow.failed"
_TITLES: tuple[tuple[type[SiliconFlowError], Text], ...] = (
    (MissingKey, Text("A SiliconFlow API key is needed", "需要 SiliconFlow API 密钥")),
    (InvalidSettings, Text("A setting cannot be used", "设置有误")),
    (InvalidInput, Text("An input cannot be sent as it is", "输入有误，未发送")),
    (GuardStopped, Text("Stopped by your own limit", "已被你设置的限额拦下")),
)
_ANY = Text("SiliconFlow failed", "SiliconFlow 运行失败")


def settings_changed() -> None:
    """Tell every page that the settings or the key are not what they were."""
    host.send(SETTINGS, {})


def stored_changed() -> None:
    """Tell every page that what was kept, pictures and jobs, is not what it was."""
    host.send(STORED, {})


def tell(caller: Caller, event: str, data: dict[str, Any]) -> None:
    """Tell every page of what one asked for; of several users, the page that asked alone."""
    tell_all([caller], event, data)


def tell_all(callers: Iterable[Caller], event: str, data: dict[str, Any]) -> None:
    """Tell every page of what these asked for, once; of several users, the pages that asked."""
    asked = {caller.page for caller in callers if caller.page}
    for page in asked if host.is_multi_user() else {None}:
        host.send(event, data, page)


def failed(caller: Caller, error: SiliconFlowError, model: str) -> None:
    """Tell the page why its node failed, so that it need not be looked for."""
    failure = _failure(caller, error, model)
    if caller.page and host.is_open(caller.page):
        host.send(FAILED, failure, caller.page)
    else:
        tell(caller, FAILED, failure)


def _failure(caller: Caller, error: SiliconFlowError, model: str) -> dict[str, Any]:
    causes = _causes(error)
    first = causes[0]
    return {
        "node": caller.node_id,
        "kind": type(error).__name__,
        "title": title_of(error).as_json(),
        "message": error.text.as_json(),
        "model": model,
        "trace_id": first.failure.trace_id if isinstance(first, RequestError) else "",
        "charged": _charged(causes),
    }


def title_of(error: SiliconFlowError) -> Text:
    """Give the few words that stand above an error's message."""
    if isinstance(error, RequestError | PartialFailure):
        return error.what
    return next((text for kind, text in _TITLES if isinstance(error, kind)), _ANY)


def _causes(error: SiliconFlowError) -> list[Exception]:
    return error.causes if isinstance(error, PartialFailure) else [error]


def _charged(causes: Iterable[Exception]) -> bool | None:
    """Tell whether anything that failed was charged; `None` where nobody can know."""
    known = [getattr(cause, "charged", False) for cause in causes]
    return True if True in known else None if None in known else False
