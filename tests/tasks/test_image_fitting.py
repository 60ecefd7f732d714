"""A mask, and a result of the size of its image: what is sent, what comes back, what it costs."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator import images as drawn
from comfyui_siliconflow.engine.job import Plan
from comfyui_siliconflow.media.data_urls import encode
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.errors import InvalidInput
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks.image_fitting import MAX_SPOTS, Layers
from comfyui_siliconflow.tasks.image_tasks import ImagePlan, plan_images
from comfyui_siliconflow.tests.data_urls import file_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

Run = Callable[..., dict[str, Any]]
EDIT, REDRAW = "SiliconFlowImageEdit", "SiliconFlowImageToImage"
QWEN, MULTI_EDIT = "Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit-2509"
KOLORS = "Kwai-Kolors/Kolors"
AS_INPUT = "as the input"
STEP = 1 / 255


@pytest.fixture
def echoing(simulator: Simulator) -> Simulator:
    """Serve edits that change nothing."""
    simulator.echoes = True
    return simulator


def smooth(frames: int = 1, height: int = 300, width: int = 400) -> torch.Tensor:
    """Return an IMAGE in which a shift by a pixel is seen: values rise evenly."""
    x = torch.linspace(0, 1, width).expand(frames, height, width)
    y = torch.linspace(0, 1, height)[:, None].expand(frames, height, width)
    return torch.stack([x, y, (x + y) / 2], -1)


def mask_of(*spots: tuple[int, int, int, int], height: int = 300, width: int = 400) -> torch.Tensor:
    """Return a MASK `[1,H,W]` with these spots painted: left, top, right, bottom."""
    mask = torch.zeros(1, height, width)
    for left, top, right, bottom in spots:
        mask[0, top:bottom, left:right] = 1
    return mask


def size_sent(simulator: Simulator) -> tuple[int, int]:
    """Return the size of the image of the last request."""
    body = simulator.generations[-1].body
    with Image.open(io.BytesIO(file_of(body["image"]))) as image:
        return image.size


def plan(model: str = QWEN, site: Any = "cn", **inputs: Any) -> ImagePlan:
    task = "image-to-image" if model == KOLORS else "image-edit"
    names = ("image",) if model == KOLORS else ("image", "image2", "image3")
    made = plan_images(task, names, {"model": model, "prompt": "x", **inputs}, Settings(site=site))
    assert isinstance(made, ImagePlan)
    return made


def sizes_sent(made: Plan) -> list[tuple[int, int]]:
    frames = made.images["image"]
    return [(frames[at].shape[1], frames[at].shape[0]) for at in range(len(frames))]


def test_what_was_painted_is_sent_with_its_margin_and_laid_back(
    simulator: Simulator, outputs_of: Run
) -> None:
    image, mask = smooth(), mask_of((180, 120, 220, 160))
    made = outputs_of(EDIT, model=QWEN, prompt="x", image=image, mask=mask, mask_feather=8)
    assert made["images"].shape == image.shape
    changed = (made["images"] != image).any(-1)[0]
    rows, columns = (torch.nonzero(changed.any(side)).flatten().tolist() for side in (1, 0))
    assert (columns[0], columns[-1]) == (172, 227)
    assert (rows[0], rows[-1]) == (112, 167)
    [fitted] = made["info"]["fitted"]
    assert fitted == {
        "frame": 0,
        "box": [116, 56, 168, 168],
        "sent": "1024x1024",
        "fit": "pad",
        "mask_feather": 8,
    }
    assert size_sent(simulator) == (1024, 1024)
    assert (made["mask"][0, 120:160, 180:220] == 1).all()
    assert bool((made["mask"][0] > 0).eq(changed).all())


def test_an_edit_that_changes_nothing_comes_back_within_a_pixel(
    echoing: Simulator, outputs_of: Run
) -> None:
    del echoing
    image, mask = smooth(), mask_of((30, 40, 140, 90))
    made = outputs_of(EDIT, model=QWEN, prompt="x", image=image, mask=mask)
    assert (made["images"] - image).abs().max() <= 1 / 299 + STEP


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("side", [(400, 300), (64, 300), (900, 600)])
@pytest.mark.parametrize(("node", "model"), [(EDIT, MULTI_EDIT), (REDRAW, KOLORS)])
def test_a_result_as_the_input_has_its_size_and_lies_over_it(  # noqa: PLR0917 - each is a case
    echoing: Simulator, outputs_of: Run, node: str, model: str, side: tuple[int, int], fit: str
) -> None:
    image = smooth(1, *side)
    inputs = {"model": model, "prompt": "x", "image": image}
    made = outputs_of(node, **inputs, result_size=AS_INPUT, fit=fit)
    assert made["images"].shape == image.shape
    assert (made["images"] - image).abs().max() <= 1 / (min(side) - 1) + STEP
    width, height = map(int, made["info"]["fitted"][0]["sent"].split("x"))
    assert size_sent(echoing) == (width, height)


@pytest.mark.parametrize("mask", [torch.zeros(1, 64, 64), torch.zeros(300, 300)])
def test_an_empty_mask_counts_as_none(
    simulator: Simulator, outputs_of: Run, mask: torch.Tensor
) -> None:
    made = outputs_of(EDIT, model=QWEN, prompt="x", image=smooth(width=300), mask=mask)
    assert size_sent(simulator) == (300, 300)
    assert any("Nothing is painted" in note for note in made["info"]["notes"])
    assert not made["mask"].any()


def test_another_feather_costs_nothing(simulator: Simulator, outputs_of: Run) -> None:
    image, mask = smooth(), mask_of((180, 120, 220, 160))
    inputs = {"model": QWEN, "prompt": "x", "seed": 4, "image": image, "mask": mask}
    first = outputs_of(EDIT, **inputs, mask_feather=4)
    second = outputs_of(EDIT, **inputs, mask_feather=32)
    assert len(simulator.generations) == 1
    assert second["info"]["requests"][0]["origin"] == "reused"
    assert (first["images"] != second["images"]).any()
    outputs_of(EDIT, **inputs, mask_margin=100)
    assert len(simulator.generations) == 2


def test_spots_go_in_one_request_or_in_one_each(simulator: Simulator, outputs_of: Run) -> None:
    image, mask = smooth(), mask_of((10, 10, 40, 40), (300, 200, 330, 240))
    inputs = {"model": QWEN, "prompt": "x", "image": image, "mask": mask, "mask_margin": 16}
    together = outputs_of(EDIT, **inputs)
    assert len(simulator.generations) == 1
    apart = outputs_of(EDIT, **inputs, mask_each=True, batch_size=2)
    assert len(simulator.generations) == 5
    assert (len(together["images"]), len(apart["images"])) == (1, 2)
    assert [entry["box"][:2] for entry in apart["info"]["fitted"]] == [[0, 0], [283, 184]]
    untouched = made_untouched(image, apart["images"][:1])
    assert untouched[0, 60:180].all()
    assert not untouched[0, 15, 15]
    assert not untouched[0, 220, 310]


def made_untouched(image: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    return (made == image).all(-1)


def test_a_frame_in_which_nothing_is_painted_is_not_sent(
    simulator: Simulator, outputs_of: Run
) -> None:
    image = smooth(3)
    mask = torch.cat([mask_of((10, 10, 40, 40)), mask_of(), mask_of((300, 200, 330, 240))])
    made = outputs_of(EDIT, model=QWEN, prompt="x", image=image, mask=mask, batch_size=2)
    assert len(simulator.generations) == 4
    assert [entry["frame"] for entry in made["info"]["pictures"]] == [0, 0, 1, 1, 2, 2]
    assert torch.equal(made["images"][2:4], image[1:2].repeat(2, 1, 1, 1))


def test_each_mask_of_a_batch_edits_the_single_image(simulator: Simulator, outputs_of: Run) -> None:
    mask = torch.cat([mask_of((10, 10, 40, 40)), mask_of((300, 200, 330, 240))])
    made = outputs_of(EDIT, model=QWEN, prompt="x", image=smooth(), mask=mask)
    assert len(simulator.generations) == len(made["images"]) == 2
    assert not torch.equal(made["images"][0], made["images"][1])


def test_masks_must_fit_the_frames_of_every_image() -> None:
    other, masks = smooth(2), mask_of((10, 10, 40, 40)).repeat(3, 1, 1)
    with pytest.raises(InvalidInput, match="3 frames and the images have 2"):
        plan(MULTI_EDIT, image=smooth(), image2=other, mask=masks)
    assert len(plan(MULTI_EDIT, image=smooth(), image2=other, mask=masks[:2]).requests) == 2


@pytest.mark.parametrize("result_size", ["as the model makes it", AS_INPUT])
@pytest.mark.parametrize("frames", [1, 2])
def test_an_empty_mask_counts_as_none_however_many_frames_it_has(
    frames: int, result_size: str
) -> None:
    made = plan(image=smooth(frames), mask=torch.zeros(3, 64, 64), result_size=result_size)
    assert len(made.requests) == frames


def test_the_frames_of_another_image_go_with_the_frame_that_is_cut() -> None:
    image, other = smooth(2), torch.stack([torch.zeros(8, 8, 3), torch.ones(8, 8, 3)])
    mask = torch.cat([mask_of(), mask_of((10, 10, 40, 40))])
    made = plan(MULTI_EDIT, image=image, image2=other, mask=mask)
    assert len(made.requests) == 1
    assert made.images["image2"][0].min() == 1


def test_each_crop_asks_for_the_size_of_its_own_shape() -> None:
    mask = mask_of((0, 0, 400, 60), (0, 200, 60, 300))
    made = plan(KOLORS, image=smooth(), mask=mask, mask_each=True, mask_margin=0)
    assert [request.body["image_size"] for request in made.requests] == ["1440x720", "720x1280"]
    assert sizes_sent(made) == [(1440, 720), (720, 1280)]


def test_a_size_or_a_shape_that_was_chosen_is_what_is_sent() -> None:
    mask = mask_of((180, 120, 220, 160))
    assert sizes_sent(plan(KOLORS, image=smooth(), mask=mask, image_size="720x1280")) == [
        (720, 1280)
    ]
    pro = "black-forest-labs/FLUX.1-Kontext-pro"
    made = plan(pro, "com", image=smooth(), mask=mask, aspect_ratio="16:9")
    frames = made.images["input_image"]
    assert frames[0].shape[:2] == (752, 1392)


def test_a_size_in_extra_body_is_what_is_sent() -> None:
    inputs = {"image": smooth(), "mask": mask_of((180, 120, 220, 160)), "image_size": "720x1280"}
    made = plan(KOLORS, **inputs, extra_body='{"image_size": "960x1280"}')
    assert sizes_sent(made) == [(960, 1280)]
    assert made.requests[0].body["image_size"] == "960x1280"


def test_a_model_that_is_not_listed_is_sent_about_a_megapixel() -> None:
    made = plan("", custom_model="vendor/new", image=smooth(), result_size=AS_INPUT)
    assert sizes_sent(made) == [(1184, 896)]


@pytest.mark.parametrize(
    ("inputs", "name", "words"),
    [
        ({"mask": torch.zeros(4)}, "mask", "MASK"),
        ({"mask": torch.ones(3, 8, 8)}, "mask", "3 frames"),
        ({"result_size": AS_INPUT, "extra_body": '{"image_size": "64x9999"}'}, "height", "9999"),
        (
            {"result_size": AS_INPUT, "extra_body": '{"width": [1], "height": 64}'},
            "width",
            "not a number",
        ),
        ({"mask_margin": -1}, "mask_margin", "outside"),
        ({"fit": "squeeze"}, "fit", "squeeze"),
        ({"result_size": "huge"}, "result_size", "huge"),
    ],
)
def test_an_input_that_cannot_be_used_is_named(
    inputs: dict[str, Any], name: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        plan(image=smooth(2), **inputs)
    assert refused.value.name == name


@pytest.mark.parametrize("inputs", [{"mask": mask_of((1, 1, 9, 9))}, {"result_size": AS_INPUT}])
def test_an_image_that_the_service_fetches_cannot_be_laid_back(inputs: dict[str, Any]) -> None:
    address = {"image_urls": "https://example.com/a.png"}
    with pytest.raises(InvalidInput, match="image_urls empty"):
        plan(**address, **inputs)
    assert plan(**address, mask=torch.zeros(1, 64, 64)).fitting is None


def test_a_mask_is_for_the_first_of_several_references_of_one_edit() -> None:
    means = {"batch_means": "references of one edit"}
    made = plan(MULTI_EDIT, image=smooth(2), mask=mask_of((180, 120, 220, 160)), **means)
    assert [frames[0].shape[:2] for frames in made.images.values()] == [(1024, 1024), (300, 400)]


def test_a_batch_with_its_masks_is_one_edit_of_its_first_image_if_it_is_references() -> None:
    masks = torch.cat([mask_of((180, 120, 220, 160)), mask_of((0, 0, 400, 300))])
    inputs = {"batch_means": "references of one edit", "image": smooth(2), "mask_margin": 64}
    made = plan(MULTI_EDIT, **inputs, mask=masks)
    assert len(made.requests) == 1
    assert made.fitting
    assert [each.box for each in made.fitting.placements] == [(116, 56, 284, 224)]


@pytest.mark.parametrize("sizes", [[(300, 400)] * 2, [(300, 400), (64, 300)]])
def test_a_mask_painted_for_another_reference_than_the_first_is_refused_before_it_is_paid(
    simulator: Simulator, outputs_of: Run, sizes: list[tuple[int, int]]
) -> None:
    images = [torch.rand(1, *size, 3) for size in sizes]
    inputs = {"batch_means": "references of one edit", "image": images[0], "image2": images[1]}
    masks = torch.cat([mask_of(), mask_of((180, 120, 220, 160))])
    with pytest.raises(InvalidInput, match="painted in frame 2 and not in the first") as refused:
        outputs_of(EDIT, model=MULTI_EDIT, prompt="x", mask=masks, **inputs)
    assert refused.value.name == "mask"
    assert not simulator.requests
    unpainted = plan(MULTI_EDIT, mask=masks * 0, **inputs).fitting
    assert unpainted
    assert unpainted.mask is None


@pytest.mark.parametrize(
    ("shape", "is_noted"),
    [((300, 400), False), ((75, 100), False), ((38, 50), False), ((400, 300), True)],
)
def test_a_mask_of_another_shape_is_said_to_be_stretched(
    shape: tuple[int, int], is_noted: bool
) -> None:
    mask = torch.ones(1, *shape)
    notes = [note for note in map(str, plan(image=smooth(), mask=mask).notes) if "shape" in note]
    assert bool(notes) == is_noted
    assert all("300×400" in note and "400×300" in note for note in notes)


@pytest.mark.parametrize(("feather", "margin", "is_noted"), [(65, 64, True), (64, 64, False)])
def test_a_feather_wider_than_the_margin_is_said_to_be_cut(
    feather: int, margin: int, is_noted: bool
) -> None:
    made = plan(
        image=smooth(), mask=mask_of((1, 1, 9, 9)), mask_feather=feather, mask_margin=margin
    )
    assert made.fitting
    assert made.fitting.feather == 64
    assert any("fades over 64 pixels" in str(note) for note in made.notes) == is_noted


def test_a_feather_without_a_mask_is_not_said_to_be_cut() -> None:
    made = plan(image=smooth(), result_size=AS_INPUT, mask_feather=65, mask_margin=64)
    assert made.notes == []


def filter_notes(made: dict[str, Any]) -> list[str]:
    return [note for note in made["info"]["notes"] if "single color" in note]


def test_a_single_color_that_was_sent_is_not_taken_for_a_filtered_image(
    echoing: Simulator, outputs_of: Run
) -> None:
    white, mask = torch.ones(1, 300, 400, 3), mask_of((180, 120, 220, 160))
    assert not filter_notes(outputs_of(EDIT, model=QWEN, prompt="x", image=white, mask=mask))
    assert echoing.generations


def test_what_was_filtered_is_numbered_as_it_comes_out(
    simulator: Simulator, outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    del simulator
    file = io.BytesIO()
    Image.new("RGB", (512, 512)).save(file, "PNG")
    monkeypatch.setattr(drawn, "draw", lambda _drawing: file.getvalue())
    inputs: dict[str, Any] = {"model": QWEN, "prompt": "x"}
    spots = mask_of((10, 10, 40, 40), (300, 200, 330, 240))
    apart = {"mask": spots, "mask_each": True, "mask_margin": 16}
    [note] = filter_notes(outputs_of(EDIT, **inputs, **apart, image=smooth()))
    assert note.startswith("Image 1 is a single color")
    third = torch.cat([mask_of(), mask_of(), mask_of((10, 10, 40, 40))])
    [note] = filter_notes(outputs_of(EDIT, **inputs, image=smooth(3), mask=third))
    assert note.startswith("Image 3 is a single color")


def test_more_spots_than_anybody_paints_are_refused_before_anything_is_sent(
    simulator: Simulator, outputs_of: Run
) -> None:
    mask = torch.zeros(1, 300, 400)
    mask[0, ::20, ::20] = 1
    inputs = {"model": QWEN, "prompt": "x", "image": smooth(), "mask": mask, "mask_margin": 2}
    with pytest.raises(InvalidInput, match=f"at most {MAX_SPOTS}"):
        outputs_of(EDIT, **inputs, mask_each=True)
    assert not simulator.requests


def test_without_a_mask_the_transparency_of_a_result_is_the_mask(
    simulator: Simulator, outputs_of: Run
) -> None:
    pixels = torch.ones(32, 32, 4)
    pixels[:16, :, 3] = 0
    url = encode(pixels).url.decode()
    simulator.fail(200, body={"images": [{"url": url}], "seed": 1})
    made = outputs_of("SiliconFlowTextToImage", model="Qwen/Qwen-Image", prompt="x")
    assert made["images"].shape == (1, 32, 32, 4)
    assert (made["mask"][0, :16] == 1).all()
    assert not made["mask"][0, 16:].any()


@pytest.mark.parametrize("inputs", [{"result_size": AS_INPUT}, {"mask": torch.ones(1, 64, 64)}])
def test_an_image_keeps_its_transparency_and_the_run_says_so(
    simulator: Simulator, outputs_of: Run, inputs: dict[str, Any]
) -> None:
    image = torch.rand(1, 64, 64, 4)
    made = outputs_of(EDIT, model=QWEN, prompt="x", image=image, **inputs)
    assert len(simulator.generations) == 1
    assert torch.equal(made["images"][..., 3], image[..., 3])
    assert not torch.equal(made["images"], image)
    assert any("transparency" in note for note in made["info"]["notes"])
    if "mask" not in inputs:
        assert torch.equal(made["mask"], 1 - image[..., 3])


@pytest.mark.parametrize(
    ("height", "inputs", "is_cut"),
    [
        (64, {}, False),
        (48, {}, True),
        (48, {"fit": "crop"}, False),
        (64, {"mask": torch.ones(1, 64, 64)}, True),
    ],
)
def test_a_visible_mark_that_may_be_cut_off_is_said_to_be(
    today: Simulator, outputs_of: Run, height: int, inputs: dict[str, Any], *, is_cut: bool
) -> None:
    image = torch.rand(1, height, 64, 3)
    infos = [
        outputs_of(EDIT, model=MULTI_EDIT, prompt="x", image=image, seed=seed, **inputs)["info"]
        for seed in (1, 2)
    ]
    assert len(today.generations) == 2
    assert [info["visible_mark_cut_off"] for info in infos] == [is_cut] * 2
    told = [sum("cut off when the result" in note for note in info["notes"]) for info in infos]
    assert told == [int(is_cut), 0]


def test_a_mark_that_is_turned_off_is_not_cut_off(
    today: Simulator, outputs_of: Run, write_settings: Any
) -> None:
    write_settings(visible_watermark=False)
    inputs = {"image": torch.rand(1, 64, 64, 3), "mask": torch.ones(1, 64, 64)}
    info = outputs_of(EDIT, model=MULTI_EDIT, prompt="x", **inputs)["info"]
    assert (info["visible_watermark"], info["visible_mark_cut_off"]) == (False, False)
    assert [record.watermark_off for record in today.generations] == [True]


sides = st.integers(1, 200)


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    model=st.sampled_from([QWEN, MULTI_EDIT, KOLORS]),
    fit=st.sampled_from(["pad", "crop", "stretch"]),
    margin=st.sampled_from([0, 3, 64]),
    feather=st.sampled_from([0, 2, 40]),
    is_each=st.booleans(),
)
def test_any_mask_any_size_any_batch(  # noqa: PLR0917 - each is drawn
    data: st.DataObject, model: str, fit: str, margin: int, feather: int, is_each: bool
) -> None:
    """No crop goes beyond the sizes of its model; outside the feather the image comes back."""
    frames, height, width = data.draw(st.integers(1, 3)), data.draw(sides), data.draw(sides)
    masks = data.draw(st.sampled_from([1, frames]))
    own = data.draw(st.booleans())
    mask = torch.zeros(masks, *((height, width) if own else (data.draw(sides), data.draw(sides))))
    for frame in mask:
        for _ in range(data.draw(st.integers(0, 3))):
            top, left = (data.draw(st.integers(0, side - 1)) for side in frame.shape)
            size = data.draw(st.integers(1, 60))
            frame[top : top + size, left : left + size] = data.draw(st.sampled_from([1, 0.3]))
    image = torch.rand(frames, height, width, data.draw(st.sampled_from([1, 3, 4])))
    inputs = {"mask_margin": margin, "mask_feather": feather, "mask_each": is_each, "fit": fit}
    made = plan(model, image=image, mask=mask, **inputs)
    if not mask.any():
        assert made.fitting is None or made.fitting.mask is None
        return
    assert made.fitting
    keeps = catalogue.load().find(model, "cn").keeps
    sent = made.images["image"]
    assert len(sent) == len(made.requests) > 0
    for number, request in enumerate(made.requests):
        shape = sent[number].shape
        assert sent[number].shape[2] == image.shape[3]
        if model == KOLORS:
            assert request.body["image_size"] == f"{shape[1]}x{shape[0]}"
        else:
            assert all(side % (keeps.step or 1) == 0 for side in shape[:2])
            assert all((keeps.minimum or 0) <= side <= (keeps.maximum or 0) for side in shape[:2])
    laid, used = lay(made, image)
    assert laid.shape == image.shape
    assert used.shape == image.shape[:3]
    assert torch.equal(laid[used == 0], image[used == 0])
    if own:
        assert bool((used >= mask).all())


def lay(made: ImagePlan, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay a black result into each frame, of a size that nobody asked for."""
    assert made.fitting
    black = np.zeros((37, 53, 3), np.uint8)
    layers = [
        Layers(frame, 0, [(placement, black) for _, placement in group])
        for frame, group in enumerate(made.fitting.groups())
    ]
    laid, used = made.fitting.lay_back(layers)
    assert used is not None
    assert len(laid) == len(image)
    return laid, used
