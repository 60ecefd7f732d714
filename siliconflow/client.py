"""One HTTP call: authentication, timeouts, trace id, and errors that say what may have been paid.

Nothing is sent twice from here, except a download, which costs nothing.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from ..strings.text import Text
from .error_parsing import TRACE_HEADER, clean, error_in, from_response, reason_of, trace_of
from .errors import BadAnswer, ConnectionLost, Failure, NotConnected, ReadTimeout, RequestError
from .http.addresses import is_public
from .http.bodies import OutOfBounds, beginning, read, running
from .http.connections import Adapter, Deadline
from .http.downloads import Downloader
from .http.multipart import File, encode

VERSION = "0.1.0"
MOST_ANSWER_BYTES = 64 * 1024 * 1024
MOST_REFUSAL_BYTES = 64 * 1024
"""Of a refusal no more is read: its words stand at the beginning."""
_NUMBERS_A_PART = 20
MOST_ANSWER_PARTS = 100_000
"""Objects, lists and values of an answer: more would cost more memory than any answer is worth."""
STREAM_PATIENCE = 4
"""An answer that keeps coming may take so many times the read timeout; silence, only once."""
LOOKUP_SECONDS = 30
"""What is only looked up comes at once or not at all: nobody waits for it as for a picture."""
_BLOCK = 256 * 1024
"""Bytes handed over at a time: the timeout for sending holds for each of them anew."""
KEY_INSIDE = Text("it holds the API key", "其中含有 API 密钥")
_CONNECTION_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    zlib.error,
    OSError,
    ValueError,
)
_TIMEOUTS = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)


Kind = TypeVar("Kind")
Take = Callable[[requests.Response, str, float], Kind]
"""Reads an answer: told the model that was asked, and when that was."""


@dataclass(frozen=True)
class Answer:
    """A 200 of the API: its JSON, its trace id, and how long it took in seconds."""

    data: Any
    trace_id: str
    seconds: float


@dataclass(frozen=True)
class Content:
    """A 200 of the API whose body is a file."""

    content: bytes
    media_type: str
    trace_id: str
    seconds: float


@dataclass(frozen=True)
class Stream:
    """A 200 of the API whose body is still coming: its parts, as they arrive."""

    chunks: Iterator[bytes]
    media_type: str
    trace_id: str


class _Bearer(requests.auth.AuthBase):
    """The key, as an `auth` object: it beats a .netrc entry and is dropped on other hosts."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _Anonymous(requests.auth.AuthBase):
    """No authentication at all, not even from a .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Client:
    """Calls one host for one account. Safe to use from many threads at once."""

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        connect_timeout: float = 10,
        read_timeout: float = 300,
        most_bytes: int = 64 << 20,
    ) -> None:
        """Prepare pooled connections; nothing is sent yet.

        Timeouts in seconds. `most_bytes` is the largest picture that is downloaded.
        """
        self.base_url = base_url.rstrip("/")
        self._key = key
        self.most_bytes = most_bytes
        self._timeout = (connect_timeout, read_timeout)
        local = self.base_url.startswith("http://")
        self._api = _session(_Bearer(key), Adapter(lambda: False), local=local)
        self._plain = _session(_Anonymous(), Adapter(lambda: not self._is_private), local=local)

    def __repr__(self) -> str:
        """Show the address, never the key."""
        return f"Client({self.base_url!r})"

    def post(
        self, path: str, body: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None
    ) -> Answer:
        """Send `body` as JSON, once. Raises a `RequestError` of the cause.

        `pictures` are more fields of it: data URLs, which need no escaping in JSON.
        """
        return self._call(_posted(path, body, pictures), self._answer)

    def post_form(self, path: str, fields: Mapping[str, str | File]) -> Answer:
        """Send `fields` as a form with files, once. Raises a `RequestError` of the cause."""
        content, media_type = encode(fields)
        call = _Call("POST", path, _model_of(fields), _Body([content], media_type))
        return self._call(call, self._answer)

    def post_for_file(self, path: str, body: Mapping[str, Any]) -> Content:
        """Send `body` as JSON, once, for an answer that is a file."""
        return self._call(_posted(path, body), self._content)

    def post_for_stream(
        self, path: str, body: Mapping[str, Any], take: Callable[[Stream], None]
    ) -> float:
        """Send `body` as JSON, once, and hand the answer to `take` while it comes.

        Gives the seconds it took. Raises a `RequestError` of the cause, also for what breaks
        while `take` reads.
        """

        def taken(response: requests.Response, model: str, started: float) -> float:
            take(self._stream(response, model))
            return time.monotonic() - started

        return self._call(replace(_posted(path, body), patience=STREAM_PATIENCE), taken)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Ask for `path`. Raises a `RequestError` of the cause."""
        return self._call(_Call("GET", path, params=params), self._answer)

    def conceal(self, text: str) -> str:
        """Take the key out of a text that the service sent."""
        return text.replace(self._key, "…") if self._key else text

    def download(self, url: str, model: str = "", trace_id: str = "") -> bytes:
        """Fetch a result, without the key; raises `DownloadFailed`. See `download`."""
        return self._downloader.fetch(url, Failure(model=model, trace_id=trace_id))

    @cached_property
    def _is_private(self) -> bool:
        """Whether the API itself is on this machine or in a private network."""
        return not is_public(urlsplit(self.base_url).hostname or "")

    @property
    def _downloader(self) -> Downloader:
        return Downloader(self._plain, self._timeout, self._is_private, self.most_bytes)

    def _call(self, call: _Call, take: Take[Kind]) -> Kind:
        connect, read = self._timeouts(call)
        deadline = Deadline(connect + call.patience * read)
        body, model = call.body, call.model
        try:
            with deadline:
                return self._send(call, take)
        except RequestError as error:
            # A connection that was cut within the headers looks like an empty answer.
            kind = ReadTimeout if deadline.is_over else type(error)
            raise kind(self._hidden(error.failure)) from None
        except _CONNECTION_ERRORS as error:
            failure = self._hidden(Failure(reason_of(error), model=model))
            late = deadline.is_over or isinstance(error, _TIMEOUTS)
            if not (body and body.left) and not (late and body is None):
                raise NotConnected(failure) from None
            raise (ReadTimeout if late else ConnectionLost)(failure) from None

    def _timeouts(self, call: _Call) -> tuple[float, float]:
        """Give the seconds to wait for a connection, and for the next byte of an answer."""
        connect, read = self._timeout
        return connect, read if call.body else min(read, LOOKUP_SECONDS)

    def _send(self, call: _Call, take: Take[Kind]) -> Kind:
        started = time.monotonic()
        with self._api.request(
            call.method,
            f"{self.base_url}/{call.path}",
            data=call.body,
            headers={"Content-Type": call.body.media_type} if call.body else {},
            params=call.params,
            timeout=self._timeouts(call),
            stream=True,
            allow_redirects=False,
        ) as response:
            return take(response, call.model, started)

    def _answer(self, response: requests.Response, model: str, started: float) -> Answer:
        known = self._known(response, model)
        text = self._whole(response, known).decode("utf-8", "replace")
        data = _json(text, known)
        if self._key in (json.dumps(data, ensure_ascii=False) if "\\u" in text else text):
            raise BadAnswer(_told(known, KEY_INSIDE))
        _raise_error_in(data, known)
        return Answer(data, self._hidden(known).trace_id, time.monotonic() - started)

    def _content(self, response: requests.Response, model: str, started: float) -> Content:
        known = self._known(response, model)
        content = self._whole(response, known)
        if self._key and self._key.encode() in content:
            raise BadAnswer(_told(known, KEY_INSIDE))
        seconds = time.monotonic() - started
        return Content(content, _media_type(response), self._hidden(known).trace_id, seconds)

    def _stream(self, response: requests.Response, model: str) -> Stream:
        known = self._known(response, model)
        self._refuse(response, known)
        trace_id = self._hidden(known).trace_id
        return Stream(self._chunks(response, known), _media_type(response), trace_id)

    def _chunks(self, response: requests.Response, known: Failure) -> Iterator[bytes]:
        try:
            yield from running(response, MOST_ANSWER_BYTES)
        except OutOfBounds as error:
            raise _unreadable(known, Text(error.en, error.zh)) from None

    def _known(self, response: requests.Response, model: str) -> Failure:
        return Failure("", response.status_code, None, model, trace_of(response.headers))

    def _whole(self, response: requests.Response, known: Failure) -> bytes:
        """Read the body of a 200; raises the error of anything else."""
        self._refuse(response, known)
        try:
            return read(response, MOST_ANSWER_BYTES, self._timeout[1])
        except OutOfBounds as error:
            raise _unreadable(known, Text(error.en, error.zh)) from None

    def _refuse(self, response: requests.Response, known: Failure) -> None:
        """Raise the error of an answer that is not a 200."""
        if response.status_code == 200:
            return
        try:
            text = beginning(response, MOST_REFUSAL_BYTES, self._timeout[1])
        except OutOfBounds as error:
            raise _unreadable(known, Text(error.en, error.zh)) from None
        said = text.decode("utf-8", "replace")
        raise from_response(response.status_code, response.headers, said, known.model)

    def _hidden(self, failure: Failure) -> Failure:
        """Take the key out of what the service said, for it goes into messages and the ledger."""
        message = failure.message
        if isinstance(message, Text):
            message = Text(self.conceal(message.en), self.conceal(message.zh))
        elif self._key:
            message = clean(self.conceal(message))
        return replace(failure, message=message, trace_id=self.conceal(failure.trace_id))


class _Body:
    """A body that knows whether any of it has left: before that, nothing can be paid."""

    def __init__(self, parts: Sequence[bytes], media_type: str = "application/json") -> None:
        self._parts = parts
        self.media_type = media_type
        self.left = False

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            for start in range(0, len(part), _BLOCK):
                self.left = True
                yield part[start : start + _BLOCK]


def json_parts(body: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[bytes]:
    """Give a JSON object in pieces, with every data URL as it is: nothing copies or reads it."""
    parts = [json.dumps(body, allow_nan=False).encode()[:-1]]
    for name, url in pictures.items():
        comma = b", " if len(parts) > 1 or body else b""
        parts += [comma + json.dumps(name).encode() + b': "', url, b'"']
    return [*parts, b"}"]


@dataclass(frozen=True)
class _Call:
    """One request: what is asked of which address, and how often the read timeout it may last."""

    method: str
    path: str
    model: str = ""
    body: _Body | None = None
    params: Mapping[str, str] | None = None
    patience: float = 1


def _posted(
    path: str, body: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None
) -> _Call:
    return _Call("POST", path, _model_of(body), _Body(json_parts(body, pictures or {})))


class _Session(requests.Session):
    """A session that never looks at redirects: requests would read their whole body for that."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Give none: the download looks at them itself, and a call has none."""
        del resp
        return None


def _session(auth: requests.auth.AuthBase, adapter: Adapter, *, local: bool) -> requests.Session:
    session = _Session()
    session.auth = auth
    session.headers["User-Agent"] = f"comfyui-siliconflow/{VERSION}"
    session.headers["Accept-Encoding"] = "identity"
    # A proxy of the environment cannot reach this machine's loopback.
    session.trust_env = not local
    # Cookies would be shared state between threads, and the API needs none.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _model_of(body: Mapping[str, Any]) -> str:
    return str(body.get("model", ""))


def _media_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _json(text: str, known: Failure) -> Any:
    parts = sum(map(text.count, "{[")) + text.count(",") // _NUMBERS_A_PART
    if parts > MOST_ANSWER_PARTS:
        raise BadAnswer(_told(known, Text("it has too many parts", "内容过多")))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        start = clean(text[:200]) or Text("it is empty", "内容为空")
        raise BadAnswer(_told(known, start)) from None


def _raise_error_in(data: Any, known: Failure) -> None:
    """Raise what the service says in a 200 that holds nothing else."""
    if error := error_in(data):
        code, message = error
        said = Text(f"SiliconFlow says: {message}", f"SiliconFlow 返回：{message}")
        raise BadAnswer(replace(known, code=code, message=said))


def _unreadable(known: Failure, message: Text) -> RequestError:
    """Give the error of a body that could not be read; its status alone says what is known."""
    if known.status == 200:
        return BadAnswer(_told(known, message))
    headers = {TRACE_HEADER: known.trace_id}
    return from_response(known.status or 0, headers, str(message), known.model)


def _told(known: Failure, message: str | Text) -> Failure:
    return replace(known, message=message)
