"""What the page asks with, what it is answered, and why it may be refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..siliconflow.errors import InvalidInput, RequestError
from ..storage.settings import InvalidSettings
from ..strings.text import SiliconFlowError

Json = dict[str, Any]


@dataclass(frozen=True)
class PageRequest:
    """One request of the page: what its path names, its query, and its JSON body."""

    named: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """An answer that is a file. One that never changes under its address is `kept` by browsers."""

    content: bytes
    content_type: str
    kept: bool = False


class Refused(SiliconFlowError):
    """The pack does not answer this; `status` is what HTTP says of it."""

    status: ClassVar[int] = 400


class BadRequest(Refused):
    """The request itself is wrong."""


class OtherSite(Refused):
    """The request comes from a page of another site."""

    status = 403


class SharedServer(Refused):
    """ComfyUI serves several users, and this is the operator's alone."""

    status = 403


class NotFound(Refused):
    """There is no such thing, or no longer."""

    status = 404


class FixedSetting(Refused):
    """The environment decides this."""

    status = 409


class TooLarge(Refused):
    """The body is larger than anything that the page has to say."""

    status = 413


class NotJson(Refused):
    """The body is not said to be JSON: a form of another site could have sent it."""

    status = 415


class NoLedger(Refused):
    """The ledger cannot be used now: its disk is full, or it is locked or damaged."""

    status = 503


class Failed(Refused):
    """Something went wrong that nobody foresaw."""

    status = 500


def status_of(error: SiliconFlowError) -> int:
    """Give the HTTP status of an error: ours, the user's, or the service's."""
    if isinstance(error, Refused):
        return error.status
    return 400 if isinstance(error, InvalidInput | InvalidSettings) else 502


def told(error: SiliconFlowError) -> Json:
    """Give an error as the page reads it."""
    trace_id = error.failure.trace_id if isinstance(error, RequestError) else ""
    said = {"message": str(error), "en": error.text.en, "zh": error.text.zh}
    return {"error": {"kind": type(error).__name__, **said, "trace_id": trace_id}}
