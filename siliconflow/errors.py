"""One exception for each cause.

SiliconFlowError                 (strings/text.py) anything that the pack raises on purpose
├── InvalidInput                 an input of a node cannot be sent
├── GuardStopped                 a spending limit of the settings stopped a run
│   └── ConfirmationNeeded       the same run goes ahead when it is queued again
├── PartialFailure               some requests of one run failed
└── RequestError                 a request failed
    ├── BadRequest               400 and most other 4xx
    │   ├── ModelNotFound        code 20012
    │   └── UploadTooLarge       413
    ├── InvalidKey               401
    ├── Forbidden                403
    │   ├── InsufficientBalance  402, code 30001, or a message about the balance
    │   └── ModelDisabled        code 30003
    ├── WrongAddress             404, or a redirect
    ├── RetiredCall              410
    ├── RateLimited              429
    │   ├── DailyLimit           a limit per day
    │   └── WaitTooLong          the wait would exceed the one in the settings
    ├── Overloaded               503
    ├── ResultMissing            it was asked for before, is not saved, and is not asked for again
    ├── NotConnected             the request was never sent, or not in full
    │   ├── HostNotFound         the name of the host cannot be resolved
    │   ├── ProxyFailed          the proxy could not be reached, or refused
    │   │   └── BadProxy         the proxy setting cannot be used
    │   ├── CertificateFailed    the host's certificate is not trusted
    │   ├── UploadInterrupted    the connection broke within the request's body
    │   └── NotSent              something else went wrong before anything was sent
    ├── MaybeCharged             nobody can know whether it was charged
    │   ├── ServerError          any other 5xx
    │   │   └── GatewayTimeout   408, 499, 504
    │   ├── ConnectionLost
    │   │   ├── ReadTimeout
    │   │   └── BrokenStream     a streamed response ended early
    │   ├── BadAnswer            a 200 that is not what the API documents
    │   │   └── Unusable         a result that the node cannot use
    │   ├── NotFinished          a submitted request that the service has not done for hours
    │   ├── NoResult             a submitted request that brings none
    │   │   ├── GenerationFailed because the service could not make it
    │   │   └── TicketExpired    because the service does not know it any more
    │   └── Unforeseen           a mistake of this pack
    └── DownloadFailed           a finished file could not be downloaded
        └── ResultRefused        and trying again will not help
            └── BadResult        its file cannot be decoded
                └── BadPicture   and should be an image

Settings that have no usable value raise `InvalidSettings`, which storage/settings.py defines.
The wording of a class is in strings/, as `error.<class name>.what` and `.advice`; a class without
one inherits it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..strings.text import SiliconFlowError, Text, has_text, join, text

MINUTE_LIMITS = frozenset({"", "RPM", "IPM"})
"""Rate limits that count requests or images a minute, as one does that has no name."""
_RATE_LIMIT = re.compile(r"\b([RTI]P[MHD])\b\s*limit", re.IGNORECASE)


class InvalidInput(SiliconFlowError):
    """A node's input cannot be sent. Nothing was sent, nothing was charged."""

    def __init__(self, name: str, reason: Text) -> None:
        """Name the input by the API's name, which the message shows behind its label."""
        super().__init__(text("error.InvalidInput", name=_labelled(name), reason=reason))
        self.name = name


class GuardStopped(SiliconFlowError):
    """The spending guard of the settings stopped a run. Nothing was sent."""

    def __init__(self, message: Text, setting: str) -> None:
        """Name the setting that holds the limit."""
        super().__init__(message)
        self.offer(setting=setting)


class ConfirmationNeeded(GuardStopped):
    """A run is larger than the user pays unasked. Queued again, it goes ahead. Nothing was sent."""

    cost = ""
    """What it may cost with any seeds, as a decimal number of the `currency`; empty if unknown."""
    currency = ""

    def __init__(self, message: Text, setting: str, on_page: Text, contents: Sequence[str]) -> None:
        """Keep what a page says that has buttons, and the hashes of what there is to confirm."""
        super().__init__(message, setting)
        self.on_page = on_page
        self.contents = contents


class PartialFailure(SiliconFlowError):
    """Some requests of one run failed. `causes` holds their errors, `what` is a short title."""

    def __init__(self, message: Text, causes: list[Exception], what: Text) -> None:
        """Store the message of the whole run with the error of each request."""
        super().__init__(message)
        self.causes = causes
        self.what = what


@dataclass(frozen=True)
class Failure:
    """The facts about a request that failed, as far as they are known."""

    message: str | Text = ""
    """The API's own message, without image data and markup, or one of ours."""
    status: int | None = None
    """HTTP status, `None` if there was no response."""
    code: int | None = None
    """SiliconFlow's own code, such as 20012."""
    model: str = ""
    trace_id: str = ""
    retry_after: float | None = None
    """Seconds that the service asked to wait."""


class RequestError(SiliconFlowError):
    """A request that was sent, or should have been, and brought no result."""

    charged: bool | None = False
    """Whether the request was charged: no, yes, or `None` where nobody can know."""
    retryable: ClassVar[bool] = False
    """Whether the pack may send it again by itself: only what cannot have been charged."""
    stops_run: ClassVar[bool] = True
    """Whether the other requests of the run are not sent, because they would fail the same way."""
    what: ClassVar[Text] = text("error.RequestError.what")
    advice: ClassVar[Text] = text("error.RequestError.advice")

    def __init_subclass__(cls) -> None:
        """Look up the wording of a class by its name."""
        super().__init_subclass__()
        for part in ("what", "advice"):
            if has_text(key := f"error.{cls.__name__}.{part}"):
                setattr(cls, part, text(key))

    def __init__(self, failure: Failure, advice: Text | None = None) -> None:
        """Compose the message: what happened, the API's words, the advice, model and trace ID."""
        self.failure = failure
        self._advice = advice or self.advice.format(proof=_proof(failure))
        super().__init__(_message(self.what, self._advice, failure))

    def advise(self, sentences: Iterable[Text]) -> None:
        """Put sentences before the advice: they are about this very request."""
        advice = join("\n", (*sentences, self._advice))
        self.text = _message(self.what, advice, self.failure)

    def for_free_call(self) -> RequestError:
        """Return the same error for a request that costs nothing: it says nothing of charges."""
        advice = text("error.free_advice", proof=_proof(self.failure))
        error = type(self)(self.failure, None if self.charged is False else advice)
        error.charged = False
        return error


class BadRequest(RequestError):
    """400: a parameter is wrong; the API's message says which."""

    def __init__(self, failure: Failure, advice: Text | None = None) -> None:
        """Compose the message; without one from the API there is nothing to refer to."""
        if type(self) is BadRequest and not failure.message:
            advice = advice or text("error.BadRequest.advice_without_message")
        super().__init__(failure, advice)


class ModelNotFound(BadRequest):
    """400 with code 20012: this site has no such model."""


class UploadTooLarge(BadRequest):
    """413: a gateway refused the request for its size, before anything was made of it."""


class InvalidKey(RequestError):
    """401: the key is wrong, deleted, or belongs to the other site."""


class Forbidden(RequestError):
    """403: the account may not do this."""


class InsufficientBalance(Forbidden):
    """402, code 30001 with any status, or 403 with a message about the balance."""


class ModelDisabled(Forbidden):
    """403 with code 30003: the service has disabled the model."""


class WrongAddress(RequestError):
    """404, or a redirect: there is no API at this base URL."""


class RetiredCall(RequestError):
    """410: the service has retired this call for everybody, whatever the key."""


class RateLimited(RequestError):
    """429: too many requests, tokens or images. `limit` is the limit's name, such as IPM."""

    retryable = True
    stops_run = False

    def __init__(self, failure: Failure, advice: Text | None = None) -> None:
        """Read from the message which limit was reached."""
        super().__init__(failure, advice)
        match = _RATE_LIMIT.search(str(failure.message))
        self.limit = match.group(1).upper() if match else ""


class DailyLimit(RateLimited):
    """429 whose message names a limit per day: not worth waiting for."""

    retryable = False
    stops_run = True


class WaitTooLong(RateLimited):
    """Waiting for the rate limit would take longer than the settings allow."""

    retryable = False
    stops_run = True


class Overloaded(RequestError):
    """503: the model is overloaded. Not charged."""

    retryable = True
    stops_run = False


class ResultMissing(RequestError):
    """A result that was to be made in the background is missing. Nothing is sent again unasked.

    If its request was sent and never answered, nobody can know whether that was charged.
    """

    charged: bool | None = None
    stops_run = False


class NotConnected(RequestError):
    """The connection was never made: the request was not sent and not charged.

    Whatever is raised before the body of a request is complete becomes one of these.
    """

    retryable = True


class HostNotFound(NotConnected):
    """The name of the host cannot be resolved; the message names it."""


class ProxyFailed(NotConnected):
    """No connection could be made through the proxy; the message names it."""


class BadProxy(ProxyFailed):
    """The proxy setting cannot be used as it is, or needs a package. No retry mends that."""

    retryable = False


class CertificateFailed(NotConnected):
    """The certificate of the host is not trusted; the message names both. No retry mends that."""

    retryable = False


class UploadInterrupted(NotConnected):
    """The connection broke before the body was complete, so that nobody can have acted on it."""


class NotSent(NotConnected):
    """Something that is no fault of the network went wrong before anything was sent."""

    retryable = False


class MaybeCharged(RequestError):
    """The request reached the service, and nobody can know whether it was charged."""

    charged: bool | None = None
    stops_run = False


class ServerError(MaybeCharged):
    """500, 502 and any other 5xx: an error of the service, which may have made the image."""


class GatewayTimeout(ServerError):
    """504: the gateway timed out; the image may or may not have been made."""


class ConnectionLost(MaybeCharged):
    """The connection was lost after the request was sent, before the response was complete."""


class ReadTimeout(ConnectionLost):
    """No response came within the read timeout."""


class BrokenStream(ConnectionLost):
    """A streamed response ended early; the message holds the text that arrived."""


class BadAnswer(MaybeCharged):
    """A 200 that is not what the API documents."""


class Unusable(BadAnswer):
    """A complete response that the node cannot use. It is not saved: reuse would repeat it."""

    charged = True


class NotFinished(MaybeCharged):
    """The service says of a submitted request that it goes on, and has said so for hours."""


class NoResult(MaybeCharged):
    """A request that the service accepted, and that never brings a result."""


class GenerationFailed(NoResult):
    """The service could not make what was submitted; the message is its reason."""


class TicketExpired(NoResult):
    """The service no longer knows a submitted request: its result was not fetched in time."""


class Unforeseen(MaybeCharged):
    """Something in the pack itself went wrong while a request was in progress."""

    stops_run = True


class DownloadFailed(RequestError):
    """A result that was made and charged could not be downloaded from its URL."""

    charged = True
    stops_run = False

    def for_free_call(self) -> RequestError:
        """Return the same error for a request that costs nothing: how to get the result stays."""
        sentences = zip(self._advice, text("error.charged"), strict=True)
        advice = Text(*(words.removeprefix(charged).lstrip() for words, charged in sentences))
        error = type(self)(self.failure, advice)
        error.charged = False
        return error


class ResultRefused(DownloadFailed):
    """A result that was made and charged is not accepted, and will not be the next time."""


class BadResult(ResultRefused):
    """The file of a result could not be decoded; it may be whole, and only `is_too_large`."""

    is_too_large = False


class BadPicture(BadResult):
    """The file of a result that should be an image could not be decoded."""


def _labelled(name: str) -> Text:
    """Return the label of an input with its API name behind it, where the two differ."""
    key = f"input.{name}.name"
    label = text(key) if has_text(key) else Text(name)
    both = text("error.input_label", label=label, name=name)
    return Text(*(name if word == name else pair for word, pair in zip(label, both, strict=True)))


def _proof(failure: Failure) -> Text:
    """Return by what SiliconFlow's support can find a request."""
    return text("error.the_trace_id" if failure.trace_id else "error.no_trace_id")


def _message(what: Text, advice: Text, failure: Failure) -> Text:
    codes = {"what": what, "status": failure.status, "code": failure.code}
    if failure.code is not None and failure.status is not None:
        what = text("error.status_and_code", **codes)
    elif failure.status is not None:
        what = text("error.status", **codes)
    if failure.message:
        what = text("error.message", what=what, message=failure.message)
    lines = [what, advice]
    if failure.model:
        lines.append(text("error.model", model=failure.model))
    if failure.trace_id:
        lines.append(text("error.trace_id", trace_id=failure.trace_id))
    return join("\n", lines)
