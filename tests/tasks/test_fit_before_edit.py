"""An edit whose model would change its image's shape: fitted before, without bars after."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine.job import Job
from comfyui_siliconflow.engine.lifecycle import RequestLifecycle
from comfyui_siliconflow.engine.services import client_for, current_settings, ledger_for
from comfyui_siliconflow.siliconflow.catalogue import Model
from comfyui_siliconflow.tests.former_names import name_as_before
from comfyui_siliconflow.tests.tasks.test_image_fitting import (
    AS_INPUT,
    EDIT,
    KOLORS,
    MULTI_EDIT,
    QWEN,
    REDRAW,
    plan,
    sides,
    size_sent,
    smooth,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Run = Callable[..., dict[str, Any]]
KONTEXT = "black-forest-labs/FLUX.1-Kontext-pro"
ASKED = {"model": QWEN, "prompt": "x", "seed": 7}


@pytest.fixture
def save_unfitted(monkeypatch: pytest.MonkeyPatch, outputs_of: Run) -> Run:
    """Run an edit as earlier versions did, which sent each image as it was."""

    def run(**inputs: Any) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            patch.setattr(Model, "changes_shape", lambda *_: False)
            made = outputs_of(EDIT, **{**ASKED, **inputs})
        with ledger_for(current_settings()).database.change() as db:
            db.execute("UPDATE former_names SET until = (SELECT MAX(sent_at) FROM requests)")
        return made

    return run


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (64, 300), (599, 901)])
def test_a_padded_edit_comes_back_in_the_shape_of_its_image_and_without_bars(
    simulator: Simulator, outputs_of: Run, shape: tuple[int, int]
) -> None:
    simulator.echoes = True
    made = outputs_of(EDIT, **ASKED, image=smooth(1, *shape))
    height, width = made["images"].shape[1:3]
    assert abs(height - width * shape[0] / shape[1]) <= max(1, width / shape[1])
    expected = smooth(1, height, width)
    assert (made["images"] - expected).abs().max() <= 1 / (min(shape) - 1) + 1 / 255
    [fitted] = made["info"]["fitted"]
    assert fitted["fit"] == "pad"
    assert fitted["sent"] == "x".join(map(str, size_sent(simulator)))
    assert made["info"]["pictures"][0]["width"] == width


def test_a_cropped_edit_shows_the_middle_in_the_shape_of_the_model(
    simulator: Simulator, outputs_of: Run
) -> None:
    simulator.echoes = True
    made = outputs_of(EDIT, **ASKED, image=smooth(1, 64, 300), fit="crop")
    width, height = size_sent(simulator)
    assert made["images"].shape[1:3] == (height, width)
    [fitted] = made["info"]["fitted"]
    left, top, box_width, box_height = fitted["box"]
    assert (top, box_height) == (0, 64)
    assert (left, box_width) == ((300 - box_width) // 2, 64 * width // height + 1)
    assert made["images"][0, 0, 0, 0] == pytest.approx(left / 299, abs=0.01)


def test_a_stretched_edit_shows_the_whole_image_in_the_shape_of_the_model(
    simulator: Simulator, outputs_of: Run
) -> None:
    simulator.echoes = True
    made = outputs_of(EDIT, **ASKED, image=smooth(), fit="stretch")
    assert size_sent(simulator) == (1184, 896)
    assert (made["images"] - smooth(1, 896, 1184)).abs().max() <= 1 / 299 + 1 / 255


@pytest.mark.parametrize("shape", [(320, 320), (192, 344)])
def test_an_image_in_a_shape_that_the_model_keeps_is_sent_as_it_is(
    simulator: Simulator, outputs_of: Run, save_unfitted: Run, shape: tuple[int, int]
) -> None:
    image = smooth(1, *shape)
    save_unfitted(image=image)
    made = outputs_of(EDIT, **ASKED, image=image)
    assert made["info"]["requests"][0]["origin"] == "reused"
    assert made["info"]["fitted"] == []
    assert size_sent(simulator) == shape[::-1]
    assert len(simulator.generations) == 1


def test_a_shape_that_was_asked_for_is_left_to_the_model() -> None:
    image = smooth()
    assert plan(KONTEXT, "com", image=image).fitting
    assert plan(KONTEXT, "com", image=image, aspect_ratio="16:9").fitting is None
    assert plan(QWEN, image=image, extra_body='{"image_size": "512x512"}').fitting is None


def test_what_is_no_edit_or_of_a_model_that_nobody_knows_is_sent_as_it_is() -> None:
    assert plan(KOLORS, image=smooth()).fitting is None
    assert plan("", custom_model="vendor/new", image=smooth()).fitting is None


def test_only_the_first_image_of_an_edit_is_fitted() -> None:
    made = plan(MULTI_EDIT, image=smooth(), image2=smooth(1, 50, 70))
    assert [frames[0].shape[:2] for frames in made.images.values()] == [(896, 1184), (50, 70)]


def test_each_frame_of_a_batch_is_fitted(simulator: Simulator, outputs_of: Run) -> None:
    image = torch.cat([smooth(), smooth().flip(1)])
    made = outputs_of(EDIT, **ASKED, image=image, batch_size=2)
    assert len(simulator.generations) == 4
    assert [each["frame"] for each in made["info"]["pictures"]] == [0, 0, 1, 1]
    assert [each["frame"] for each in made["info"]["fitted"]] == [0, 1]
    assert [each["frame"] for each in made["info"]["uploads"]] == [0, 1]


def test_a_result_of_another_shape_than_was_sent_is_not_cut() -> None:
    made = plan(image=smooth())
    assert made.fitting
    assert made.fitting.without_padding(np.zeros((896, 1184, 3), np.uint8), 0).shape[0] < 896
    square = np.zeros((1024, 1024, 3), np.uint8)
    assert made.fitting.without_padding(square, 0) is square


@settings(deadline=None, max_examples=60)
@given(sides, sides, st.sampled_from([QWEN, MULTI_EDIT]))
def test_of_any_image_all_is_shown_and_nothing_but_it(height: int, width: int, model: str) -> None:
    made = plan(model, image=torch.zeros(1, height, width, 3))
    if not made.fitting:
        return
    [placement] = made.fitting.placements
    result = np.zeros((*placement.size[::-1], 3), np.uint8)
    shown = made.fitting.without_padding(result, 0).shape[1::-1]
    for own, box, sent, side in zip(
        (width, height), placement.box.size, placement.size, shown, strict=True
    ):
        assert -1e-6 <= side - own * sent / box < 2


def test_result_sizes_share_one_request(simulator: Simulator, outputs_of: Run) -> None:
    outputs_of(EDIT, **ASKED, image=smooth())
    made = outputs_of(EDIT, **ASKED, image=smooth(), result_size=AS_INPUT)
    assert made["images"].shape == (1, 300, 400, 3)
    assert len(simulator.generations) == 1


@pytest.mark.parametrize("is_released", [True, False])
def test_what_an_earlier_version_saved_is_free_and_as_it_was(
    simulator: Simulator, outputs_of: Run, save_unfitted: Run, is_released: bool
) -> None:
    """A released version named it by its encoded file."""
    before = save_unfitted(image=smooth())
    if is_released:
        [sent] = simulator.generations
        name_as_before(sent.path.removeprefix("/v1/"), sent.body)
    for _ in range(2):
        made = outputs_of(EDIT, **ASKED, image=smooth())
        assert torch.equal(made["images"], before["images"])
        assert made["info"]["requests"][0]["origin"] == "reused"
        assert made["info"]["fitted"] == []
        assert any("not fitted to a shape" in note for note in made["info"]["notes"])
    assert len(simulator.generations) == 1


@pytest.mark.parametrize("changed", [{"seed": 8}, {"fit": "crop"}, {"result_size": AS_INPUT}])
def test_what_an_earlier_version_saved_answers_no_other_request(
    simulator: Simulator, outputs_of: Run, save_unfitted: Run, changed: dict[str, Any]
) -> None:
    save_unfitted(image=smooth())
    made = outputs_of(EDIT, **{**ASKED, **changed}, image=smooth())
    assert len(simulator.generations) == 2
    assert len(made["info"]["fitted"]) == 1


def test_an_edit_that_is_saved_fitted_is_preferred(
    simulator: Simulator, outputs_of: Run, save_unfitted: Run
) -> None:
    outputs_of(EDIT, **ASKED, image=smooth())
    save_unfitted(image=smooth())
    made = outputs_of(EDIT, **ASKED, image=smooth())
    assert len(made["info"]["fitted"]) == 1
    assert len(simulator.generations) == 2


def test_frames_that_were_saved_are_free_and_the_others_are_fitted(
    simulator: Simulator, outputs_of: Run, save_unfitted: Run, write_settings: Callable[..., Path]
) -> None:
    image = torch.cat([smooth(), smooth().flip(1)])
    save_unfitted(image=image[1:])
    write_settings(most_pictures=1)  # what is saved does not count
    made = outputs_of(EDIT, **ASKED, image=image)
    assert [each["origin"] for each in made["info"]["requests"]] == ["paid", "reused"]
    assert [each["frame"] for each in made["info"]["fitted"]] == [0]
    assert [each["frame"] for each in made["info"]["uploads"]] == [0]
    assert made["info"]["uploads"][0]["width"] == 1184
    assert len(simulator.generations) == 2


def test_what_an_earlier_version_saved_is_not_left_to_the_background(
    simulator: Simulator, save_unfitted: Run
) -> None:
    save_unfitted(image=smooth())
    for seed, is_saved in ((7, True), (8, False)):
        made, own = plan(image=smooth(), seed=seed), current_settings()
        lifecycle = RequestLifecycle("image-edit", own, client_for(own), ledger_for(own), made)
        assert lifecycle.is_stored(Job(made.requests[0], threading.Event())) == is_saved
    assert len(simulator.generations) == 1


def test_a_saved_result_that_is_damaged_is_not_sent_as_an_earlier_version_did(
    simulator: Simulator, outputs_of: Run, save_unfitted: Run
) -> None:
    save_unfitted(image=smooth())
    ledger = ledger_for(current_settings())
    for file in ledger.files_folder.rglob("*.png"):
        file.write_bytes(b"\x89PNG")
    with ledger.database.change() as db:
        db.execute("UPDATE requests SET answered_at = 0")  # its URL is of no use any more
    made = outputs_of(EDIT, **ASKED, image=smooth())
    assert size_sent(simulator) == (1184, 896)
    assert len(made["info"]["fitted"]) == 1


def test_redrawing_an_image_is_not_fitted_unless_it_is_to_lie_over_it(
    simulator: Simulator, outputs_of: Run
) -> None:
    outputs_of(REDRAW, model=KOLORS, prompt="x", image=smooth(), fit="crop")
    assert size_sent(simulator) == (400, 300)
