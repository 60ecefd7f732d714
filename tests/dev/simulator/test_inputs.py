"""The images that a request sends: whole, and what they say they are."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from PIL import Image, ImageDraw

Generate = Callable[..., requests.Response]


def an_image() -> Image.Image:
    image = Image.effect_mandelbrot((120, 80), (-2, -1, 1, 1), 60).convert("RGB")
    ImageDraw.Draw(image).ellipse((20, 10, 90, 60), fill=(240, 60, 20))
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_data_url_of_a_common_format_is_taken(
    simulator: Simulator, generate: Generate, encode: Any, to_data_url: Any, kind: str
) -> None:
    data_url = to_data_url(encode(an_image(), kind), f"image/{kind.lower()}")
    assert generate(simulator, image=data_url).status_code == 200


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_image_cut_short_is_refused(  # noqa: PLR0917 - two of them are the case
    simulator: Simulator, generate: Generate, encode: Any, to_data_url: Any, kind: str, share: float
) -> None:
    content = encode(an_image(), kind)
    data_url = to_data_url(content[: int(len(content) * share)], f"image/{kind.lower()}")
    answer = generate(simulator, image=data_url)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert "image" in answer.json()["message"]


@pytest.mark.parametrize("declared", ["image/jpeg", "image/webp", "image/jpg", "image/x"])
def test_an_image_declared_as_another_format_is_refused(
    simulator: Simulator, generate: Generate, encode: Any, to_data_url: Any, declared: str
) -> None:
    answer = generate(simulator, image=to_data_url(encode(an_image()), declared))
    assert answer.status_code == 400
    assert f"declared as {declared}, but the data is image/png" in answer.json()["message"]


@pytest.mark.parametrize(
    "value",
    [
        "data:text/plain;base64,aGVsbG8=",
        "data:application/octet-stream;base64,aGVsbG8=",
        "data:image/png;base64,aGVsbG8=",
        "data:image/png;base64,",
        "data:image/png;base64,&&&&",
        "data:image/png,aGVsbG8=",
    ],
)
def test_a_data_url_without_an_image_is_refused(
    simulator: Simulator, generate: Generate, value: str
) -> None:
    assert generate(simulator, image=value).status_code == 400


def test_base64_with_characters_of_its_own_is_refused(
    simulator: Simulator, generate: Generate, encode: Any
) -> None:
    data = base64.b64encode(encode(an_image())).decode()
    answer = generate(simulator, image=f"data:image/png;base64,{data[:40]}-_{data[40:]}")
    assert "not base64" in answer.json()["message"]


def test_a_space_after_the_comma_is_fine_as_in_the_documents(
    simulator: Simulator, generate: Generate, encode: Any
) -> None:
    data = base64.b64encode(encode(an_image())).decode()
    assert generate(simulator, image=f"data:image/png;base64, {data}").status_code == 200


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_an_image_of_any_mode_is_taken(
    simulator: Simulator, generate: Generate, encode: Any, to_data_url: Any, mode: str
) -> None:
    image = an_image().convert("L") if mode == "I;16" else an_image()
    assert generate(simulator, image=to_data_url(encode(image.convert(mode)))).status_code == 200


def test_a_link_is_taken_but_not_followed(simulator: Simulator, generate: Generate) -> None:
    answer = generate(simulator, image="https://nowhere.invalid/photo.png")
    assert answer.status_code == 200


def test_a_link_to_an_image_made_here_is_opened(
    simulator: Simulator, generate: Generate, open_first: Any
) -> None:
    first = generate(simulator, image_size="640x512")
    body = {"model": "Qwen/Qwen-Image-Edit", "prompt": "at night"}
    answer = generate(simulator, body, image=first.json()["images"][0]["url"])
    assert open_first(answer).size == (640, 512)


def test_a_link_to_an_image_that_is_gone_is_refused(
    simulator: Simulator, generate: Generate
) -> None:
    answer = generate(simulator, image=f"{simulator.origin}/pictures/none.png")
    assert answer.status_code == 400


def test_an_image_of_several_megabytes_is_taken(
    simulator: Simulator, generate: Generate, encode: Any, to_data_url: Any
) -> None:
    content = encode(Image.effect_noise((2048, 2048), 90).convert("RGB"), compress_level=0)
    assert len(content) > 12_000_000
    assert generate(simulator, image=to_data_url(content)).status_code == 200


def test_a_refusal_does_not_repeat_the_whole_image(
    simulator: Simulator, generate: Generate
) -> None:
    assert len(generate(simulator, image="x" * 1_000_000).content) < 500
