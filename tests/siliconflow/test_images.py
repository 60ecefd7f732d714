"""Every documented and reported shape of an answer with images."""

import base64
from typing import Any

import pytest
from comfyui_siliconflow.siliconflow.client import JsonResponse
from comfyui_siliconflow.siliconflow.errors import BadAnswer
from comfyui_siliconflow.siliconflow.resources import images

FILE = b"the file"
BASE64 = base64.b64encode(FILE).decode()
URL = "https://example.com/1.png"


def read(data: Any) -> images.GeneratedImages:
    return images.parse(JsonResponse(data, "t-1", 2.0, "vendor/model"))


@pytest.mark.parametrize(
    ("data", "source"),
    [
        ({"images": [{"url": URL}]}, URL),
        ({"data": [{"url": URL}]}, URL),
        ({"images": [{"url": URL}], "data": [{"url": URL}]}, URL),
        ({"images": [], "data": [{"url": URL}]}, URL),
        ({"images": [{"b64_json": BASE64}]}, FILE),
        ({"images": [{"url": f"data:image/png;base64,{BASE64}"}]}, FILE),
        ({"images": [{"url": f"data:image/png;base64, {BASE64}"}]}, FILE),
        ({"images": [{"b64_json": f"data:image/png;base64,{BASE64}", "url": None}]}, FILE),
    ],
)
def test_an_image_is_found_in_every_shape_of_answer(data: Any, source: str | bytes) -> None:
    assert read(data).sources == (source,)


def test_seed_timing_and_trace_id_are_kept() -> None:
    result = read({"images": [{"url": URL}], "seed": 42, "timings": {"inference": 1.5}})
    assert (result.seed, result.inference, result.trace_id, result.seconds) == (42, 1.5, "t-1", 2.0)


@pytest.mark.parametrize(
    "timings",
    [None, 3, {}, *({"inference": odd} for odd in ("fast", True, 10**400, float("inf"), -1))],
)
def test_a_missing_or_odd_timing_is_no_reason_to_lose_an_image(timings: Any) -> None:
    result = read({"images": [{"url": URL}], "seed": 10**30, "timings": timings})
    assert (result.seed, result.inference) == (None, None)


def test_an_unusable_entry_does_not_take_its_paid_siblings_with_it() -> None:
    odd = [None, {"url": None}, {"b64_json": "???"}, {"url": 5}]
    assert read({"images": [*odd, {"url": URL}, {"b64_json": BASE64}]}).sources == (URL, FILE)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "contains no images"),
        ([], "contains no images"),
        ({"images": []}, "contains no images"),
        ({"images": {"url": URL}}, "contains no images"),
        ({"images": [None]}, "has a usable url or b64_json"),
        ({"images": [{"url": 5}]}, "has a usable url or b64_json"),
        ({"images": [{"url": "https://x/\ud800"}]}, "has a usable url or b64_json"),
        ({"images": [{"url": "x" * 20_000}]}, "has a usable url or b64_json"),
        ({"images": [{"url": URL}] * 65}, "lists 65 images"),
        ({"images": [{"b64_json": "???"}]}, "has a usable url or b64_json"),
    ],
)
def test_an_answer_without_an_image_is_an_error_with_its_trace_id(data: Any, words: str) -> None:
    with pytest.raises(BadAnswer, match=words) as caught:
        read(data)
    assert "t-1" in str(caught.value)
    assert "may have been charged" in str(caught.value)
