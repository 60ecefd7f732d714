"""The images show what was requested."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, drawing
from comfyui_siliconflow.dev.simulator.drawing import Drawing
from PIL import Image

Generate = Callable[..., requests.Response]


def draw(**changes: Any) -> Image.Image:
    image = {"model": "m/x", "prompt": "a lighthouse", "size": (320, 240), "seed": 1}
    return Image.open(io.BytesIO(drawing.draw(Drawing(**{**image, **changes}))))


def difference(first: Image.Image, second: Image.Image) -> float:
    """Return by how much two images differ: 0 the same, 255 black against white."""
    return float(np.abs(np.asarray(first, float) - np.asarray(second, float)).mean())


def share_of(image: Image.Image, color: tuple[int, int, int]) -> float:
    """Return how much of an image is about this color."""
    apart = np.abs(np.asarray(image.convert("RGB"), int) - color).max(axis=2)
    return float((apart < 40).mean())


def test_the_same_request_with_the_same_seed_gives_the_same_bytes(
    simulator: Simulator, generate: Generate
) -> None:
    urls = [generate(simulator, seed=5).json()["images"][0]["url"] for _ in range(2)]
    first, second = (requests.get(url, timeout=20).content for url in urls)
    assert first == second


@pytest.mark.parametrize("change", [{"seed": 2}, {"prompt": "a castle"}, {"index": 1}])
def test_another_seed_prompt_or_place_in_the_batch_looks_different(change: dict[str, Any]) -> None:
    assert difference(draw(), draw(**change)) > 8


@pytest.mark.parametrize("change", [{"model": "m/y"}, {"details": ("steps 20",)}])
def test_the_caption_says_the_model_and_the_other_fields(change: dict[str, Any]) -> None:
    assert difference(draw(), draw(**change)) > 0


@pytest.mark.parametrize(
    "size", [(1, 1), (7, 300), (64, 64), (256, 256), (2000, 100), (100, 2000), (1024, 576)]
)
def test_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    assert draw(size=size).size == size


@pytest.mark.parametrize(
    "prompt", ["", "x" * 5000, "word " * 2000, "\n\t", "🎨 مرحبا 画", "\x00\ufffd"]
)
def test_any_prompt_can_be_written(prompt: str) -> None:
    assert draw(prompt=prompt).size == (320, 240)


def test_a_sent_image_is_seen_large_in_the_result(
    simulator: Simulator, generate: Generate, open_first: Any, red_square: str
) -> None:
    without = open_first(generate(simulator, image_size="640x640", seed=1))
    result = open_first(generate(simulator, image_size="640x640", seed=1, image=red_square))
    assert share_of(without, (255, 0, 0)) < 0.01
    assert share_of(result, (255, 0, 0)) > 0.25


def test_each_of_three_sent_images_is_seen_in_the_result(
    simulator: Simulator, generate: Generate, open_first: Any, encode: Any, to_data_url: Any
) -> None:
    colors = {"image": (255, 0, 0), "image2": (0, 255, 0), "image3": (0, 0, 255)}
    body = {"model": "Qwen/Qwen-Image-Edit-2509", "prompt": "join them"}
    for field, color in colors.items():
        body[field] = to_data_url(encode(Image.new("RGB", (512, 512), color)))
    result = open_first(generate(simulator, body))
    assert all(share_of(result, color) > 0.04 for color in colors.values())


def test_a_sent_image_is_shown_upright(
    simulator: Simulator, generate: Generate, open_first: Any, encode: Any, to_data_url: Any
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = encode(Image.new("RGB", (600, 300), (255, 0, 0)), "JPEG", exif=exif)
    body = {"model": "Qwen/Qwen-Image-Edit", "prompt": "x"}
    result = open_first(generate(simulator, body, image=to_data_url(sideways, "image/jpeg")))
    assert result.size == (300, 600)


@pytest.mark.parametrize(
    ("sent", "made"),
    [
        ((640, 480), (640, 480)),
        ((1000, 700), (1000, 700)),
        ((64, 48), (341, 256)),
        ((4000, 3000), (2048, 1536)),
        ((3000, 10), (2048, 7)),
    ],
)
def test_an_edit_has_the_size_of_the_first_image_within_reason(  # noqa: PLR0917 - two are the case
    simulator: Simulator,
    generate: Generate,
    open_first: Any,
    encode: Any,
    to_data_url: Any,
    sent: tuple[int, int],
    made: tuple[int, int],
) -> None:
    body = {"model": "Qwen/Qwen-Image-Edit", "prompt": "x"}
    answer = generate(simulator, body, image=to_data_url(encode(Image.new("RGB", sent))))
    assert open_first(answer).size == made


@pytest.mark.parametrize(
    ("model", "fields", "size"),
    [
        ("black-forest-labs/FLUX.2-pro", {}, (512, 512)),
        ("black-forest-labs/FLUX-1.1-pro", {"width": 512, "height": 288}, (512, 288)),
        ("black-forest-labs/FLUX-1.1-pro-Ultra", {"aspect_ratio": "16:9"}, (1360, 768)),
        ("black-forest-labs/FLUX-1.1-pro-Ultra", {"aspect_ratio": "9:21"}, (672, 1568)),
        ("black-forest-labs/FLUX-1.1-pro-Ultra", {}, (1024, 1024)),
    ],
)
def test_an_image_has_the_size_that_the_fields_ask_for(  # noqa: PLR0917 - three are the case
    sites: dict[str, Simulator],
    generate: Generate,
    open_first: Any,
    model: str,
    fields: Any,
    size: Any,
) -> None:
    answer = generate(sites["com"], {"model": model, "prompt": "x", **fields})
    assert open_first(answer).size == size


def test_latin_words_break_at_spaces_and_chinese_anywhere() -> None:
    font = drawing.font_for(20)
    rows = drawing.wrap("one two 画画画画画画", font, font.getlength("one two 画画"), 9)
    assert rows[0] == "one two 画画"
    assert "".join(rows[1:]) == "画画画画"


def test_a_word_longer_than_a_line_is_broken() -> None:
    font = drawing.font_for(20)
    rows = drawing.wrap("x" * 40, font, font.getlength("x" * 15), 9)
    assert [len(row) for row in rows] == [15, 15, 10]


def test_a_text_too_long_ends_in_an_ellipsis() -> None:
    font = drawing.font_for(20)
    rows = drawing.wrap("word " * 90, font, 200, 3)
    assert (len(rows), rows[2][-1]) == (3, "…")


def test_chinese_is_named_where_no_font_can_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "has_cjk_font", lambda: False)
    assert drawing.legible("a 月光下的 cat") == "a [4 CJK] cat"


@pytest.mark.skipif(not drawing.has_cjk_font(), reason="no font here has Chinese")
def test_chinese_is_written_where_a_font_can_show_it() -> None:
    assert drawing.legible("a 月光下的 cat") == "a 月光下的 cat"
    font = drawing.font_of("月光", 40)
    assert font.getmask("月").getbbox() != font.getmask("光").getbbox()


def test_images_can_be_drawn_on_a_system_without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "find_font", lambda _: None)
    drawing.font_for.cache_clear()
    try:
        assert draw(prompt="a 月 cat").size == (320, 240)
    finally:
        drawing.font_for.cache_clear()


def test_a_link_that_was_sent_is_named_in_the_result() -> None:
    links = (f"https://example.com/{name}.png" for name in "ab")
    first, second = (draw(sent=(drawing.Sent("image", None, link),)) for link in links)
    assert difference(first, second) > 0
