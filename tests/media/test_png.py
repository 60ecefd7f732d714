"""The fast PNG writer: what it writes is what any reader reads."""

import io

import numpy as np
import pytest
from comfyui_siliconflow.media import png
from comfyui_siliconflow.media.image_files import Pixels
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw


def read(file: bytes) -> Pixels:
    with Image.open(io.BytesIO(file)) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def noise(height: int, width: int, channels: int) -> Pixels:
    return np.random.default_rng(height * width).integers(
        0, 256, (height, width, channels), np.uint8
    )


def drawing() -> Pixels:
    image = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(image)
    for at in range(20):
        draw.ellipse((at * 9, at * 5, at * 9 + 90, at * 5 + 70), (at * 12, 99, 200), "black", 2)
        draw.text((9, at * 15), "A flat drawing, with words" * 3, "black")
    return np.asarray(image)


def photograph() -> Pixels:
    ramp = np.linspace(0, 200, 400)[None, :, None] + np.linspace(0, 40, 300)[:, None, None]
    grain = np.random.default_rng(1).normal(0, 3, (300, 400, 3))
    return (ramp + grain).clip(0, 255).astype(np.uint8)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3, 4]))
def test_every_size_and_number_of_channels_is_read_as_it_was(
    height: int, width: int, channels: int
) -> None:
    pixels = noise(height, width, channels)
    assert np.array_equal(read(png.encode(pixels)), pixels)


@pytest.mark.parametrize("shape", [(1, 40_000, 3), (40_000, 1, 3), (700, 500, 4), (300, 301, 1)])
def test_a_larger_image_is_read_as_it_was(shape: tuple[int, int, int]) -> None:
    assert np.array_equal(read(png.encode(noise(*shape))), noise(*shape))


@pytest.mark.parametrize("method", png.METHODS)
def test_every_method_is_lossless(method: png.Method, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "METHODS", (method,))
    for pixels in (drawing(), photograph()):
        assert np.array_equal(read(png.encode(pixels)), pixels)


def test_the_method_follows_the_image() -> None:
    assert png.choose_method(photograph()) == png.METHODS[0]
    assert png.choose_method(drawing()) != png.METHODS[0]


@pytest.mark.parametrize("pixels", [drawing(), photograph()], ids=["drawing", "photograph"])
def test_a_file_is_not_much_larger_than_pillow_s(pixels: Pixels) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert len(png.encode(pixels)) < 1.25 * len(file.getvalue())


def test_a_view_that_is_not_contiguous_is_read_as_it_was() -> None:
    pixels = drawing()[::-1, ::2]
    assert np.array_equal(read(png.encode(pixels)), pixels)
