"""Small images for people: RGB whatever goes in, and never larger than asked for."""

import io
from typing import Any

import numpy as np
import pytest
from comfyui_siliconflow.media.media_error import MediaError
from comfyui_siliconflow.media.previews import thumbnail, to_preview
from PIL import Image


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1024, 512), (64, 48), (3000, 5000), (1, 2000)])
def test_a_preview_is_rgb_and_fits_into_its_square(channels: int, height: int, width: int) -> None:
    """ComfyUI ends its own process for a preview with transparency."""
    image = np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)
    made = to_preview(image, 512)
    assert made.mode == "RGB"
    assert max(made.size) == min(512, max(height, width))


def test_what_is_transparent_stands_on_white() -> None:
    assert to_preview(np.zeros((8, 8, 4), np.uint8), 8).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(("kind", "white"), [(np.uint8, 255), (np.float32, 1.0)])
def test_a_preview_shows_the_image(kind: Any, white: float) -> None:
    halves = np.zeros((2048, 4096, 3), kind)
    halves[:, 2048:] = white
    made = to_preview(halves, 256)
    assert (made.size, made.getpixel((10, 64)), made.getpixel((245, 64))) == (
        (256, 128),
        (0, 0, 0),
        (255, 255, 255),
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_thumbnail_of_any_file_is_a_small_jpeg(kind: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((600, 300), 60).convert("RGB").save(out, kind)
    with Image.open(io.BytesIO(thumbnail(out.getvalue(), 256, 600 * 300))) as made:
        assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (256, 128))


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n damaged"])
def test_what_is_no_image_has_no_thumbnail(content: bytes) -> None:
    with pytest.raises(MediaError):
        thumbnail(content, 256, 1)
