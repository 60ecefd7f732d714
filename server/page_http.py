"""Requests of the page, responses to it, and the errors that it reads by class name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..siliconflow.errors import InvalidInput, RequestError
from ..storage.settings import InvalidSettings
from ..strings.text import SiliconFlowError

Json = dict[str, Any]


@dataclass(frozen=True)
class PageRequest:
    """One request of the page: the parameters of its path, its query, and its JSON body."""

    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """A response that is a file. `immutable`: its URL always has this content, so it is cached."""

    content: bytes | Path
    """A path where the file is too large for memory."""
    content_type: str
    immutable: bool = False


class PageError(SiliconFlowError):
    """A request of the page that fails; `status` is its HTTP status."""

    status: ClassVar[int] = 400


class BadRequest(PageError):
    """The request is malformed."""


class OtherSite(PageError):
    """The request comes from another origin."""

    status = 403


class SharedServer(PageError):
    """ComfyUI serves several users, and this is for the operator only."""

    status = 403


class NotFound(PageError):
    """There is no such thing, or no longer."""

    status = 404


class FixedSetting(PageError):
    """The setting is set by an environment variable."""

    status = 409


class CannotGoOn(PageError):
    """ComfyUI does not queue a prompt again that waited in the background."""

    status = 409


class TooLarge(PageError):
    """The body is larger than any that the page sends, or an image than the settings allow."""

    status = 413


class NotJson(PageError):
    """The content type is not JSON: a form on another site could have sent it."""

    status = 415


class NoLedger(PageError):
    """The ledger cannot be used: its disk is full, or it is locked or damaged."""

    status = 503


class Failed(PageError):
    """An internal error."""

    status = 500


def status_of(error: SiliconFlowError) -> int:
    """Return the HTTP status of an error: 400 for the user's, 502 for the service's."""
    if isinstance(error, PageError):
        return error.status
    return 400 if isinstance(error, InvalidInput | InvalidSettings) else 502


def error_body(error: SiliconFlowError) -> Json:
    """Return an error as JSON: its class name, its message in every language, its trace id."""
    trace_id = error.failure.trace_id if isinstance(error, RequestError) else ""
    messages = {"message": str(error), **error.text.as_json()}
    return {"error": {"kind": type(error).__name__, **messages, "trace_id": trace_id}}
