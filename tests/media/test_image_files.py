"""IMAGE tensors to files and data URLs and back: nothing is lost that a file can hold."""

import contextlib
import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.media import data_urls as encode
from comfyui_siliconflow.media import image_files as images
from comfyui_siliconflow.media.image_files import (
    DecodedImage,
    Resized,
    check_image,
    decode,
    tensor_to_pil,
    to_batch,
)
from comfyui_siliconflow.media.media_error import MediaError
from comfyui_siliconflow.tests.data_urls import file_of
from PIL import Image

Draw = Callable[..., torch.Tensor]


def there_and_back(frame: torch.Tensor, preferred: encode.Preferred) -> torch.Tensor:
    return read(file_of(encode.encode(frame, preferred).url.decode()))


def read(content: bytes) -> torch.Tensor:
    return to_batch([decode(content)])[0]


def as_images(frames: Iterable[torch.Tensor]) -> list[DecodedImage]:
    return [*map(images.tensor_to_pixels, frames)]


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("upload", ["webp", "png"])
@pytest.mark.parametrize("channels", [3, 4])
def test_an_8_bit_image_survives_bit_for_bit(
    make_image: Draw, upload: encode.Preferred, channels: int
) -> None:
    original = make_image(height=48, channels=channels)
    assert torch.equal(there_and_back(original[0], upload), original)


@pytest.mark.parametrize("upload", ["webp", "png"])
def test_a_grey_image_comes_back_with_three_equal_channels(
    make_image: Draw, upload: encode.Preferred
) -> None:
    original = make_image(height=48, channels=1)
    assert torch.equal(there_and_back(original[0], upload), original.expand(-1, -1, -1, 3))


@pytest.mark.parametrize("upload", ["webp", "png"])
def test_colours_under_full_transparency_are_kept(upload: encode.Preferred) -> None:
    hidden = torch.rand(1, 16, 16, 4).mul(255).round().div(255)
    hidden[..., 3] = 0
    assert torch.equal(there_and_back(hidden[0], upload), hidden)


def test_all_256_values_survive() -> None:
    ramp = (torch.arange(256).float() / 255).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3)
    assert torch.equal(there_and_back(ramp[0], "webp"), ramp)


def test_values_are_rounded_not_truncated() -> None:
    nearly = torch.full((1, 1, 3), 0.999 * 200 / 255 + 0.0011)
    assert np.asarray(tensor_to_pil(nearly)).max() == 200
    assert np.asarray(tensor_to_pil(torch.full((1, 1, 3), 199.6 / 255))).max() == 200


def test_values_outside_the_range_are_clamped_and_nan_is_black() -> None:
    odd = torch.tensor([[[-0.5, 1.5, float("nan")], [float("inf"), -float("inf"), 0.5]]])
    assert np.asarray(tensor_to_pil(odd)).tolist() == [[[0, 255, 0], [255, 0, 128]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type_is_taken(dtype: torch.dtype) -> None:
    white = torch.ones(2, 2, 3, dtype=dtype)
    assert np.asarray(tensor_to_pil(white)).min() == 255


def test_a_view_that_is_not_contiguous_is_taken(make_image: Draw) -> None:
    flipped = make_image(height=48).transpose(1, 2)[0]
    assert not flipped.is_contiguous()
    assert torch.equal(there_and_back(flipped, "png")[0], flipped)


def test_the_input_tensor_is_left_as_it_is(make_image: Draw) -> None:
    original = make_image(height=48) * 3 - 1
    before = original.clone()
    encode.encode(original[0])
    assert torch.equal(original, before)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(4, 4, 3), "is not an IMAGE tensor"),
        (torch.zeros(1, 4, 4, 2), "has 2 channels"),
        (torch.zeros(0, 4, 4, 3), "is empty"),
        (torch.zeros(1, 0, 4, 3), "is empty"),
        (torch.zeros(1, 4, 4, 3, dtype=torch.uint8), r"is torch\.uint8"),
        ("latent", "is not an IMAGE tensor"),
    ],
)
def test_what_is_no_image_is_refused(tensor: Any, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        check_image(tensor)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_rotation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (8, 4), "black")
    upright.paste((255, 255, 255), (0, 0, 2, 2))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read(saved(stored, "PNG", exif=exif))
    assert image.shape == (1, 4, 8, 3)
    assert image[0, 0, 0, 0] == 1
    assert image[0, 3, 7, 0] == 0


def test_a_palette_file_gives_its_colours() -> None:
    stripes = Image.new("P", (2, 1))
    stripes.putpalette([255, 0, 0, 0, 0, 255])
    stripes.putpixel((1, 0), 1)
    assert read(saved(stripes)).tolist() == [[[[1, 0, 0], [0, 0, 1]]]]


def test_a_palette_file_with_a_transparent_colour_has_alpha() -> None:
    stripes = Image.new("P", (2, 1))
    stripes.putpalette([255, 0, 0, 0, 0, 255])
    stripes.putpixel((1, 0), 1)
    assert read(saved(stripes, transparency=1))[0, 0, :, 3].tolist() == [1, 0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "CMYK", "YCbCr"])
def test_white_is_white_in_every_mode(mode: str) -> None:
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    white = (
        Image.new("RGBA", (8, 8), "white").convert(mode if mode == "LA" else "RGB").convert(mode)
    )
    image = read(saved(white, kind))
    assert image.shape == (1, 8, 8, 3)
    assert image.min() > 0.99


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_an_alpha_that_is_opaque_everywhere_is_dropped(mode: str) -> None:
    """Upscalers and many other nodes take three channels alone."""
    drawn = Image.new("RGBA", (8, 8), (10, 20, 30, 255)).convert(mode)
    options: dict[str, Any] = {"transparency": 255} if mode == "P" else {}
    assert read(saved(drawn, **options)).shape == (1, 8, 8, 3)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_alpha_with_a_single_transparent_pixel_is_kept(mode: str) -> None:
    drawn = Image.new("RGBA", (8, 8), "white")
    drawn.putpixel((3, 3), (255, 255, 255, 254))
    image = read(saved(drawn.convert(mode)))
    assert image.shape == (1, 8, 8, 4)
    assert image[..., 3].min() < 1


def test_a_batch_with_one_opaque_rgba_file_has_three_channels(make_image: Draw) -> None:
    opaque = decode(saved(Image.new("RGBA", (64, 48), "white")))
    batch, _ = to_batch([*as_images([make_image(height=48)[0]]), opaque])
    assert batch.shape == (2, 48, 64, 3)


def test_16_bit_grey_keeps_its_depth() -> None:
    ramp = Image.fromarray(np.array([[0, 1, 30000, 65535]], dtype=np.uint16))
    image = read(saved(ramp))
    assert image.shape == (1, 1, 4, 3)
    assert torch.equal(image[0, 0, :, 0], torch.tensor([0, 1, 30000, 65535]).float() / 65535)


def test_16_bit_colour_is_not_clipped() -> None:
    pixels = struct.pack(">3H", 0, 32896, 65535)
    row = zlib.compress(b"\0" + pixels)
    chunks = [(b"IHDR", struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0)), (b"IDAT", row), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    assert read(file).flatten().tolist() == pytest.approx([0, 0.5, 1], abs=0.003)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    moving = saved(first, kind, save_all=True, append_images=[second], **options)
    assert read(moving)[..., :3].mean((0, 1, 2)).tolist() == [1, 0, 0]


def test_a_progressive_jpeg_is_decoded_whole() -> None:
    image = read(saved(Image.new("RGB", (64, 64), (200, 100, 50)), "JPEG", progressive=True))
    assert (image[0, -1, -1] * 255).round().tolist() == pytest.approx([200, 100, 50], abs=2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "is a web page or text"),
        (b'{"error": 1}', "is a web page or text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is a web page or text"),
        (b"\0\1\2\3" * 100, "not an image in a known format"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        read(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_file_cut_short_is_refused_unless_every_pixel_is_there(kind: str) -> None:
    whole = saved(tensor_to_pil(torch.rand(32, 32, 3)), kind)
    for cut in range(0, len(whole), max(1, len(whole) // 40)):
        try:
            assert torch.equal(read(whole[:cut]), read(whole))
            assert cut > len(whole) * 0.9
        except MediaError:
            continue


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_damaged_file_is_decoded_or_refused_but_never_anything_else(
    kind: str, make_image: Draw
) -> None:
    whole = saved(tensor_to_pil(make_image(height=32, width=32)[0]), kind)
    dice = random.Random(kind)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(MediaError):
                assert read(bytes(damaged)).ndim == 4


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MediaError, match="100×100 pixels, more than 9999"):
        decode(saved(Image.new("RGB", (100, 100))), max_pixels=9999)


def test_an_image_beyond_pillow_s_own_limit_is_refused_as_well() -> None:
    with pytest.raises(MediaError):
        read(saved(Image.new("1", (10_000, 10_000))))


def test_an_image_of_one_by_a_billion_pixels_is_refused_by_its_header() -> None:
    data = b"IHDR" + struct.pack(">2I5B", 1, 1_000_000_000, 8, 0, 0, 0, 0)
    head = struct.pack(">I", 13) + data + struct.pack(">I", zlib.crc32(data))
    rest = struct.pack(">I", 4) + b"IDAT" + bytes(8)
    with pytest.raises(MediaError):
        decode(b"\x89PNG\r\n\x1a\n" + head + rest)


def test_images_of_one_size_become_a_batch_as_they_are(make_image: Draw) -> None:
    frames = make_image(frames=3, height=48)
    batch, resized = to_batch(as_images(frames))
    assert torch.equal(batch, frames)
    assert resized == []


def test_another_size_is_cut_around_its_centre_and_scaled_to_the_first() -> None:
    first = np.zeros((4, 4, 3), np.uint8)
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 255
    batch, resized = to_batch([first, wide])
    assert batch.shape == (2, 4, 4, 3)
    assert batch[1].min() == 1
    assert resized == [Resized(index=1, width=16, height=8)]


def test_an_image_without_alpha_is_opaque_beside_one_with_alpha(make_image: Draw) -> None:
    batch, _ = to_batch(
        as_images([make_image(height=48, channels=4)[0], make_image(height=48, channels=3)[0]])
    )
    assert batch.shape[-1] == 4
    assert batch[1, ..., 3].min() == 1


def test_the_64_megapixel_limit_is_the_default() -> None:
    assert images.MAX_PIXELS == 64_000_000
