"""A part of an image goes out at a size that is kept, and its result comes back to its place."""

from typing import Any

import pytest
import torch
from comfyui_siliconflow.media.fitting import (
    Fit,
    copy_into,
    cut_to,
    fit_box,
    lay_back,
    with_channels,
)
from comfyui_siliconflow.media.masking import Box, feathered, mask_weights
from hypothesis import given, settings
from hypothesis import strategies as st

SIDES = st.integers(1, 70)
SIZES = st.tuples(st.sampled_from([32, 48, 64, 96]), st.sampled_from([32, 64, 80]))
FITS = st.sampled_from(["pad", "crop", "stretch"])


@st.composite
def parts(draw: st.DrawFn) -> tuple[Box, Box]:
    """Return a frame, and a part of it."""
    width, height = draw(SIDES), draw(SIDES)
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return Box(0, 0, width, height), Box(left, top, right, bottom)


@settings(deadline=None, max_examples=200)
@given(parts(), SIZES)
def test_a_padded_box_has_the_shape_of_the_size_and_all_of_the_part(
    case: tuple[Box, Box], size: tuple[int, int]
) -> None:
    frame, part = case
    box = fit_box(part, frame, size, "pad")
    assert part.within(box) == part
    width, height = box.size
    assert abs(width * size[1] - height * size[0]) < max(size)
    for start, length, end in zip(box[:2], box.size, frame.size, strict=True):
        assert 0 <= start <= end - length or (length > end and start == (end - length) // 2)


@settings(deadline=None, max_examples=200)
@given(parts(), SIZES)
def test_a_stretched_box_never_leaves_the_frame(
    case: tuple[Box, Box], size: tuple[int, int]
) -> None:
    frame, part = case
    box = fit_box(part, frame, size, "stretch")
    assert part.within(box) == part
    assert box.within(frame) == box


@settings(deadline=None, max_examples=200)
@given(SIDES, SIDES, SIZES)
def test_a_cropped_box_lies_in_the_middle_of_the_frame(
    width: int, height: int, size: tuple[int, int]
) -> None:
    frame = Box(0, 0, width, height)
    box = fit_box(frame, frame, size, "crop")
    assert box.within(frame) == box
    assert box.size[0] == width or box.size[1] == height
    assert abs(box.left - (width - box.right)) <= 1
    assert abs(box.top - (height - box.bottom)) <= 1


@settings(deadline=None, max_examples=100)
@given(parts(), SIZES, FITS, st.sampled_from([1, 3, 4]))
def test_what_is_cut_out_has_the_size_and_the_channels(
    case: tuple[Box, Box], size: tuple[int, int], fit: Fit, channels: int
) -> None:
    frame, part = case
    image = torch.rand(frame.bottom, frame.right, channels)
    cut = cut_to(image, fit_box(part, frame, size, fit), size)
    assert cut.shape == (size[1], size[0], channels)
    assert 0 <= cut.min() <= cut.max() <= 1


def smooth(width: int, height: int, channels: int = 3) -> torch.Tensor:
    """Return `[H,W,C]` in which a pixel of shift is seen: values rise evenly."""
    x = torch.linspace(0, 1, width).expand(height, width)
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    return torch.stack([x, y, (x + y) / 2, torch.ones_like(x)][:channels], -1)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(500, 333), (333, 500), (64, 300), (97, 97)])
def test_what_comes_back_unchanged_lies_where_it_was(shape: tuple[int, int], fit: Fit) -> None:
    image, frame = smooth(*shape), Box(0, 0, *shape)
    box = fit_box(frame, frame, (256, 192), fit)
    result = (cut_to(image, box, (256, 192)).numpy() * 255).round().astype("uint8")
    back = image.clone()
    lay_back(result, box, back, box.within(frame), None)
    step = 1 / (min(shape) - 1) + 1 / 255
    assert (back - image).abs().max() <= step


def test_a_result_of_another_size_than_was_sent_lies_there_as_well() -> None:
    image, frame = smooth(400, 300), Box(0, 0, 400, 300)
    box = fit_box(Box(100, 80, 180, 140), frame, (256, 256), "pad")
    result = (cut_to(image, box, (640, 416)).numpy() * 255).round().astype("uint8")
    back = torch.zeros_like(image)
    lay_back(result, box, back, box, None)
    assert (box.cut(back) - box.cut(image)).abs().max() <= 1 / 299 + 1 / 255


@settings(deadline=None, max_examples=150)
@given(
    parts(),
    st.integers(0, 9),
    st.tuples(st.integers(1, 60), st.integers(1, 60), st.sampled_from([3, 4])),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    st.integers(0, 2**32 - 1),
)
def test_outside_the_feather_every_value_stays_bit_for_bit(  # noqa: PLR0917 - each is drawn
    case: tuple[Box, Box],
    feather: int,
    result_shape: tuple[int, int, int],
    channels: int,
    dtype: torch.dtype,
    seed: int,
) -> None:
    frame, spot = case
    dice = torch.Generator().manual_seed(seed)
    image = torch.randn(frame.bottom, frame.right, channels, generator=dice).to(dtype)
    for odd in (float("nan"), float("inf"), -float("inf"), -0.0):
        image.view(-1)[torch.randint(image.numel(), (1,), generator=dice)] = odd
    mask = torch.zeros(frame.bottom, frame.right)
    spot.cut(mask)[:] = torch.rand(*spot.size[::-1], generator=dice)
    part = spot.grown(feather, frame)
    weights = feathered(mask_weights(mask, frame.size), spot, part, feather)
    result = torch.randint(0, 256, result_shape, generator=dice, dtype=torch.uint8)
    laid = image.clone()
    lay_back(result.numpy(), fit_box(part, frame, (64, 64), "pad"), laid, part, weights)
    covered = torch.zeros(frame.bottom, frame.right)
    part.cut(covered)[:] = torch.from_numpy(weights)
    same = laid.view(torch.uint8).view(*image.shape[:2], -1) == image.view(torch.uint8).view(
        *image.shape[:2], -1
    )
    assert same.all(-1)[covered == 0].all()
    painted = mask >= 1 / 512  # what is fainter counts as none
    assert (covered[painted] >= mask[painted]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_large_image_is_copied_whole_whatever_its_kind(dtype: torch.dtype) -> None:
    image = torch.rand(301, 400, 3, requires_grad=True).to(dtype)
    frame = torch.empty(301, 400, 3, dtype=dtype)
    copy_into(frame, image)
    assert torch.equal(frame, image)
    copy_into(frame, image[:1, :1].expand(301, 400, 3))
    assert torch.equal(frame, image[:1, :1].expand(301, 400, 3))


def test_a_transparent_result_lets_the_image_show_through() -> None:
    result = torch.zeros(8, 8, 4, dtype=torch.uint8)
    image = torch.full((8, 8, 3), 0.25)
    frame = Box(0, 0, 8, 8)
    lay_back(result.numpy(), frame, image, frame, mask_weights(torch.ones(8, 8), (8, 8)))
    assert (image == 0.25).all()


@pytest.mark.parametrize("weights", [None, mask_weights(torch.ones(8, 8), (8, 8))])
@pytest.mark.parametrize(("alpha", "kept"), [(0.25, 0.25), (0.0, 1.0)])
def test_an_image_keeps_its_alpha_under_a_result_without_one_unless_nothing_of_it_was_seen(
    alpha: float, kept: float, weights: Any
) -> None:
    image, frame = torch.zeros(8, 8, 4), Box(0, 0, 8, 8)
    image[..., 3] = alpha
    result = torch.full((8, 8, 3), 255, dtype=torch.uint8)
    lay_back(result.numpy(), frame, image, frame, weights)
    assert (image[..., :3] == 1).all()
    assert (image[..., 3] == kept).all()


@pytest.mark.parametrize("own", [1, 3, 4])
@pytest.mark.parametrize("wanted", [1, 3, 4])
def test_channels_are_added_and_left_out(own: int, wanted: int) -> None:
    image = with_channels(torch.full((2, 2, own), 0.5), wanted)
    assert image.shape == (2, 2, wanted)
    assert torch.allclose(image[..., : min(wanted, 3)], torch.tensor(0.5))
    if own < wanted == 4:
        assert (image[..., 3] == 1).all()
