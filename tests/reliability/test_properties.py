"""Whatever bytes come: error bodies, data URLs and answers raise only what they say they raise."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from typing import Any

from comfyui_siliconflow.media.image_files import decode
from comfyui_siliconflow.media.media_error import MediaError
from comfyui_siliconflow.siliconflow import error_parsing, errors
from comfyui_siliconflow.siliconflow.client import JsonResponse
from comfyui_siliconflow.siliconflow.http.bodies import TRACE_HEADER
from comfyui_siliconflow.siliconflow.resources import images
from hypothesis import example, given, settings
from hypothesis import strategies as st

LONGEST = 700
LONGEST_STORY = 1500
RUN = re.compile(r"[A-Za-z0-9+/=_-]{200,}")
CODES = st.one_of(st.none(), st.integers(), st.text(max_size=30), st.floats(), st.booleans())

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)
pieces = st.lists(
    st.one_of(
        st.text(max_size=50),
        st.binary(max_size=400).map(lambda content: base64.b64encode(content).decode()),
        st.sampled_from(
            ["<p>", "</script>", "data:image/png;base64,", "&lt;", '"', "{", "\\u0000"]
        ),
    ),
    max_size=12,
).map("".join)
bodies = st.one_of(
    pieces,
    pieces.map(json.dumps),
    st.binary(max_size=2000).map(lambda content: content.decode("utf-8", "replace")),
    st.fixed_dictionaries({"message": pieces, "code": CODES}).map(json.dumps),
    st.fixed_dictionaries({"error": st.fixed_dictionaries({"message": pieces})}).map(json.dumps),
    anything.map(json.dumps),
)


@given(bodies)
@example("<script" * 15_000)
@example("[" * 100_000)
@example("A" * 100_000)
@example("<" * 100_000)
@example('{"message": "' + "A" * 100_000 + '"}')
@example('{"code": ' + "9" * 5000 + "}")
def test_any_error_body_becomes_a_short_message_without_images(body: str) -> None:
    code, message = error_parsing.parse_error_body(body)
    assert code is None or isinstance(code, int)
    assert len(message) <= LONGEST
    assert not RUN.search(message)


@given(
    st.integers(100, 999),
    bodies,
    st.text(st.characters(max_codepoint=255), max_size=300),
    st.text(max_size=20),
)
@example(500, "", "t" * 60_000, "1e400")
def test_any_answer_that_is_no_success_becomes_one_bounded_error(
    status: int, body: str, trace_id: str, retry_after: str
) -> None:
    headers = {TRACE_HEADER: trace_id, "Retry-After": retry_after}
    error = error_parsing.error_from_response(status, headers, body, "vendor/model")
    wait = error.failure.retry_after
    assert isinstance(error, errors.RequestError)
    assert len(str(error)) <= LONGEST_STORY
    assert wait is None or 0 <= wait < float("inf")
    assert error.charged is not False or status not in range(500, 503)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF89a"]))
def test_any_bytes_are_an_image_or_a_media_error(content: bytes, start: bytes) -> None:
    with contextlib.suppress(MediaError):
        assert decode(start + content).ndim == 4


entries = st.one_of(
    anything,
    st.fixed_dictionaries({"url": anything}),
    st.fixed_dictionaries({"b64_json": anything}),
    st.fixed_dictionaries({"url": st.text().map(lambda text: f"data:,{text}")}),
)
answers = st.one_of(
    anything,
    st.fixed_dictionaries(
        {"images": st.one_of(anything, st.lists(entries, max_size=70))},
        optional={"data": anything, "seed": anything, "timings": anything},
    ),
    st.fixed_dictionaries(
        {
            "images": st.just([{"url": "https://x/y"}]),
            "seed": anything,
            "timings": st.fixed_dictionaries({"inference": anything}),
        }
    ),
)


@given(answers)
@example({"images": [{"url": "https://x/y"}], "timings": {"inference": 10**400}})
@example({"images": [{"url": "https://x/y"}], "seed": 10**29})
@settings(max_examples=300)
def test_any_json_is_an_answer_or_a_bad_answer(data: Any) -> None:
    with contextlib.suppress(errors.BadAnswer):
        result = images.parse(JsonResponse(data, "t-1", 1.0, "vendor/model"))
        assert 0 < len(result.sources) <= images.MAX_IMAGES
        assert all(isinstance(source, str | bytes) for source in result.sources)
        assert result.seed is None or 0 <= result.seed < 2**63
        json.dumps(result.inference, allow_nan=False)
