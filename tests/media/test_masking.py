"""What is painted in a mask, its spots, and the edge over which a result fades into the image."""

import numpy as np
import pytest
import torch
from comfyui_siliconflow.media.masking import (
    Box,
    feathered,
    mask_frames,
    mask_weights,
    painted_box,
    spots_in,
)
from comfyui_siliconflow.media.media_error import MediaError

WHOLE = Box(0, 0, 64, 48)


def painted(*boxes: Box, value: float = 1.0) -> torch.Tensor:
    mask = torch.zeros(WHOLE.bottom, WHOLE.right)
    for box in boxes:
        box.cut(mask)[:] = value
    return mask


def weights_of(mask: torch.Tensor) -> np.ndarray:
    return mask_weights(mask, WHOLE.size)


@pytest.mark.parametrize("shape", [(4,), (1, 1, 4, 4), (0, 4, 4)])
def test_what_is_no_mask_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MediaError, match="MASK"):
        mask_frames(torch.zeros(shape))


def test_a_mask_of_complex_numbers_is_refused() -> None:
    with pytest.raises(MediaError, match="complex64"):
        mask_frames(torch.ones(4, 4, dtype=torch.complex64))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64])
def test_whole_numbers_are_painted_where_they_are_above_0(dtype: torch.dtype) -> None:
    mask = torch.tensor([[0, 1], [3, 0]]).to(dtype)
    assert mask_frames(mask).tolist() == [[[0.0, 1.0], [1.0, 0.0]]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_whole_numbers_to_255_are_grades(dtype: torch.dtype) -> None:
    mask = torch.tensor([[0, 51], [255, 0]]).to(dtype)
    assert torch.allclose(mask_frames(mask), torch.tensor([[0, 0.2], [1, 0]]))


def test_a_mask_without_a_batch_is_one_frame() -> None:
    assert mask_frames(torch.zeros(4, 5)).shape == (1, 4, 5)


def test_the_box_is_around_all_that_is_painted() -> None:
    weights = weights_of(painted(Box(3, 5, 10, 9), Box(20, 7, 22, 30), value=0.01))
    assert painted_box(weights, WHOLE) == Box(3, 5, 22, 30)


def test_an_empty_mask_has_no_box() -> None:
    assert painted_box(weights_of(painted()), WHOLE) is None
    assert spots_in(weights_of(painted()), WHOLE, 4) == []


def test_what_is_below_0_or_no_number_is_not_painted() -> None:
    mask, spot = painted(Box(3, 5, 10, 9)), Box(3, 5, 10, 9)
    mask[0, 0], mask[7, 40], mask[47, 63] = float("nan"), float("nan"), -1
    assert painted_box(weights_of(mask), WHOLE) == spot
    mask[6, 4], mask[6, 5], mask[6, 6] = float("nan"), -1, 2
    assert list(feathered(weights_of(mask), spot, spot, 0)[1, :4]) == [1, 0, 0, 1]


def test_what_is_painted_is_found_in_both_halves_of_a_large_mask() -> None:
    mask = torch.zeros(400, 500)
    mask[10, 3], mask[390, 470], mask[200, 490] = 1, 0.5, float("nan")
    frame = Box(0, 0, 500, 400)
    assert painted_box(mask_weights(mask, frame.size), frame) == (3, 10, 471, 391)


@pytest.mark.parametrize("shape", [WHOLE.size[::-1], (12, 16)])
def test_what_is_too_faint_to_be_seen_is_not_painted(shape: tuple[int, int]) -> None:
    faint = torch.full(shape, 1 / 600)
    assert painted_box(weights_of(faint), WHOLE) is None
    assert faint.min() > 0
    faint[0, 0] = 1 / 255
    box = painted_box(weights_of(faint), WHOLE)
    assert box
    assert max(box.size) < 8


def test_what_is_too_faint_to_be_seen_inside_a_spot_is_not_covered() -> None:
    mask, spot = painted(Box(4, 4, 9, 9)), Box(2, 2, 20, 20)
    mask[mask == 0] = 1 / 600
    weights = feathered(weights_of(mask), spot, spot, 0)
    assert (weights > 0).sum() == weights.sum() == 25


def test_a_mask_of_the_size_of_its_image_is_not_copied() -> None:
    mask = painted(Box(3, 5, 10, 9))
    assert np.shares_memory(weights_of(mask), mask.numpy())


def test_a_mask_of_another_size_lies_on_the_whole_image() -> None:
    weights = mask_weights(torch.ones(12, 16), WHOLE.size)
    assert weights.shape == (48, 64)
    assert weights.min() == 1
    half = torch.zeros(12, 16)
    half[:, :8] = 1
    assert painted_box(mask_weights(half, WHOLE.size), WHOLE) == Box(0, 0, 34, 48)


def test_a_dot_in_a_larger_mask_is_not_lost_when_it_is_scaled_down() -> None:
    mask = torch.zeros(1000, 1300)
    mask[501, 777] = 1
    weights = mask_weights(mask, WHOLE.size)
    assert (weights.sum(), weights.max()) == (1, 1)


def test_spots_are_apart_where_enough_lines_between_them_are_empty() -> None:
    first, second = Box(2, 2, 10, 10), Box(15, 4, 20, 12)
    weights = weights_of(painted(first, second))
    assert spots_in(weights, WHOLE, 4) == [first, second]
    assert spots_in(weights, WHOLE, 5) == [Box(2, 2, 20, 12)]


def test_spots_one_beside_and_one_below_the_other_are_all_found() -> None:
    boxes = [Box(0, 0, 4, 4), Box(30, 0, 34, 4), Box(0, 20, 4, 24), Box(60, 44, 64, 48)]
    assert spots_in(weights_of(painted(*boxes)), WHOLE, 8) == boxes


def test_the_edge_falls_from_all_within_the_paint_to_nothing_beyond_the_feather() -> None:
    spot, feather = Box(20, 15, 40, 30), 7
    part = spot.grown(feather, WHOLE)
    weights = feathered(weights_of(painted(spot)), spot, part, feather)
    assert (weights[7:-7, 7:-7] == 1).all()
    line = weights[feather + 5, :feather]
    assert list(line) == sorted(line)
    assert 0 < line[0] < 0.2
    wider = feathered(weights_of(painted(spot)), spot, spot.grown(feather + 1, WHOLE), feather)
    assert not wider[0].any()
    assert not wider[:, -1].any()


def test_faint_paint_has_an_edge_that_falls_from_its_own_strength() -> None:
    spot, feather = Box(20, 15, 40, 30), 7
    mask = painted(spot)
    whole = feathered(weights_of(mask), spot, spot.grown(feather, WHOLE), feather)
    faint = feathered(weights_of(mask * 0.4), spot, spot.grown(feather, WHOLE), feather)
    assert faint[feather + 5, feather - 1] > 0.3
    assert np.allclose(faint, whole * 0.4)


def test_the_edge_of_paint_at_the_border_of_the_image_does_not_fade_there() -> None:
    spot = Box(0, 0, 10, 48)
    weights = feathered(weights_of(painted(spot)), spot, spot.grown(6, WHOLE), 6)
    assert (weights[:, :10] == 1).all()
    assert weights[0, -1] == weights[24, -1] < 0.2


def test_without_a_feather_the_mask_itself_counts() -> None:
    mask, spot = painted(Box(4, 4, 9, 9), value=0.25), Box(4, 4, 9, 9)
    assert (feathered(weights_of(mask), spot, spot, 0) == 0.25).all()


def test_what_is_painted_beside_the_spot_is_not_covered() -> None:
    spot = Box(4, 4, 9, 9)
    weights = weights_of(painted(spot, Box(12, 4, 20, 9)))
    assert not feathered(weights, spot, spot.grown(6, WHOLE), 3)[:, 12:].any()
