"""Frames to data URLs: the format that was asked for, within the size that was asked for."""

import base64
import io
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from comfyui_siliconflow.media.data_urls import Encoded, Grid, Preferred, UploadFormat, encode
from PIL import Image

Draw = Callable[..., torch.Tensor]


def drawing() -> torch.Tensor:
    found = torch.ones(64, 96, 3)
    found[10:40, 20:60] = torch.tensor([1.0, 0.0, 51 / 255])
    return found


def opened(sent: Encoded) -> Image.Image:
    match = re.fullmatch(r"data:image/(\w+);base64,(.*)", sent.url.decode())
    assert match
    image = Image.open(io.BytesIO(base64.b64decode(match[2])))
    assert [match[1].upper(), sent.format.upper()] == [image.format] * 2
    assert (sent.width, sent.height) == image.size
    return image


@pytest.mark.parametrize(
    ("upload_format", "preferred", "written"),
    [
        ("lossless", "webp", "WEBP"),
        ("lossless", "png", "PNG"),
        ("png", "webp", "PNG"),
        ("png", "png", "PNG"),
        ("lossy", "webp", "WEBP"),
        ("lossy", "png", "JPEG"),
    ],
)
def test_the_format_of_a_drawing_is_the_one_that_was_requested(
    upload_format: UploadFormat, preferred: Preferred, written: str
) -> None:
    original = drawing()
    image = opened(encode(original, preferred, upload_format))
    assert image.format == written
    is_same = np.array_equal(np.asarray(image), original.mul(255).round().byte().numpy())
    assert is_same is (upload_format != "lossy")


def test_a_photograph_is_no_lossless_webp_for_png_is_as_small_and_faster(make_image: Draw) -> None:
    assert opened(encode(make_image(height=48)[0], "webp")).format == "PNG"
    assert opened(encode(make_image(height=48)[0], "webp", "lossy")).format == "WEBP"


def test_a_lossy_file_is_smaller_and_close() -> None:
    smooth = torch.linspace(0, 1, 256)[None, :, None].expand(256, 256, 3).clone()
    smooth += torch.randn(256, 256, 3, generator=torch.Generator().manual_seed(1)) * 0.01
    for preferred in ("webp", "png"):
        whole, lossy = (encode(smooth, preferred, kind) for kind in ("lossless", "lossy"))
        assert len(lossy.url) < len(whole.url) / 2
        difference = np.abs(np.asarray(opened(lossy), float) / 255 - smooth.clip(0, 1).numpy())
        assert difference.mean() < 0.02


def test_alpha_is_never_dropped_for_a_lossy_file(make_image: Draw) -> None:
    see_through = make_image(height=48, channels=4)[0]
    assert opened(encode(see_through, "webp", "lossy")).mode == "RGBA"
    image = opened(encode(see_through, "png", "lossy"))
    assert (image.format, image.mode) == ("PNG", "RGBA")


@pytest.mark.parametrize("upload_format", ["lossless", "lossy"])
def test_an_image_too_wide_for_webp_is_sent_as_png(upload_format: UploadFormat) -> None:
    wide = torch.rand(1, 64, 3).repeat(1, 256, 1)
    assert opened(encode(wide, "webp", upload_format)).format == "PNG"
    assert opened(encode(wide[:, :16383], "webp", upload_format)).format == "WEBP"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_image_of_too_many_pixels_is_scaled_down_in_its_own_shape(
    make_image: Draw, channels: int
) -> None:
    encoded = encode(
        make_image(height=60, width=90, channels=channels)[0], "png", max_pixels=24 * 24
    )
    assert (encoded.width, encoded.height) == (29, 19)
    assert encoded.scaled_from == (90, 60)
    assert opened(encoded).getbands() == {1: ("L",), 3: tuple("RGB"), 4: tuple("RGBA")}[channels]


def test_scaling_keeps_what_the_image_shows() -> None:
    halves = torch.zeros(64, 64, 3)
    halves[:, 32:] = 1
    image = np.asarray(opened(encode(halves, "png", max_pixels=16 * 16)))
    assert image[:, :7].max() < 20
    assert image[:, 9:].min() > 235


@pytest.mark.parametrize("max_pixels", [0, 64 * 64])
def test_an_image_within_the_bound_is_sent_as_it_is(make_image: Draw, max_pixels: int) -> None:
    original = make_image(height=64, width=64)[0]
    encoded = encode(original, "png", max_pixels=max_pixels)
    assert encoded.scaled_from is None
    assert np.array_equal(np.asarray(opened(encoded)), original.mul(255).round().byte().numpy())


@pytest.mark.parametrize(
    ("size", "max_pixels", "expected"),
    [
        ((300, 200), 0, (300, 200)),
        ((300, 200), 30_000, (196, 140)),
        ((20, 40), 0, (56, 84)),
        ((1, 1), 0, (56, 56)),
    ],
)
def test_an_image_that_is_scaled_lies_on_the_grid_of_its_model(
    size: tuple[int, int], max_pixels: int, expected: tuple[int, int]
) -> None:
    width, height = size
    grid = Grid(least_pixels=3136, step=28)
    encoded = encode(torch.zeros(height, width, 3), "png", "lossy", max_pixels, grid)
    assert opened(encoded).size == (encoded.width, encoded.height) == expected
    assert (encoded.scaled_from is None) == (size == expected)
