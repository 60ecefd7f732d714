"""What a run asks for, and every input that is refused before anything is sent."""

from typing import Any

import pytest
import torch
from comfyui_siliconflow.engine.job import Plan
from comfyui_siliconflow.siliconflow.errors import InvalidInput
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks.image_tasks import plan_images

KOLORS = "Kwai-Kolors/Kolors"
QWEN = "Qwen/Qwen-Image"
EDIT = "Qwen/Qwen-Image-Edit"
MULTI_EDIT = "Qwen/Qwen-Image-Edit-2509"
FLUX = "black-forest-labs/FLUX-1.1-pro"


def frames(count: int = 1, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.zeros(count, height, width, 3)


def draw(site: Any = "cn", *, native: bool = False, **inputs: Any) -> Plan:
    values = {"model": KOLORS, "prompt": "a cat", **inputs}
    settings = Settings(site=site, native_batch=native)
    return plan_images("text-to-image", (), values, settings)


def redraw(image: Any, site: Any = "cn", *, native: bool = False, **inputs: Any) -> Plan:
    values = {"model": KOLORS, "prompt": "a cat", "image": image, **inputs}
    settings = Settings(site=site, native_batch=native)
    return plan_images("image-to-image", ("image",), values, settings)


def edit(image: Any = None, image2: Any = None, image3: Any = None, **inputs: Any) -> Plan:
    images = {"image": image, "image2": image2, "image3": image3}
    values = {"model": MULTI_EDIT, "prompt": "a cat", **images, **inputs}
    return plan_images("image-edit", tuple(images), values, Settings())


def bodies(plan: Plan) -> list[Any]:
    return [request.body for request in plan.requests]


def test_one_image_of_a_model_with_all_defaults() -> None:
    assert bodies(draw(seed=42)) == [
        {
            "model": KOLORS,
            "prompt": "a cat",
            "image_size": "1024x1024",
            "num_inference_steps": 20,
            "guidance_scale": 7.5,
            "seed": 42,
        }
    ]


def test_native_batches_send_every_field_that_the_older_documents_require() -> None:
    [body] = bodies(draw(native=True, seed=42))
    assert body == {
        "model": KOLORS,
        "prompt": "a cat",
        "image_size": "1024x1024",
        "batch_size": 1,
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
        "seed": 42,
    }


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"site": "com", "model": QWEN},
        {"custom_model": "vendor/new"},
    ],
    ids=["cn", "com", "unlisted"],
)
def test_a_batch_is_a_request_an_image_with_seeds_of_their_own(inputs: dict[str, Any]) -> None:
    sent = bodies(draw(batch_size=3, seed=42, **inputs))
    assert [body["seed"] for body in sent] == [42, 43, 44]
    assert not [body for body in sent if "batch_size" in body]


def test_a_native_batch_goes_in_one_request_where_the_model_takes_it() -> None:
    [body] = bodies(draw(native=True, batch_size=4, seed=42))
    assert (body["batch_size"], body["seed"]) == (4, 42)


def test_a_native_batch_above_the_limit_goes_in_chunks_with_seeds_of_their_own() -> None:
    inputs = bodies(draw(native=True, batch_size=10, seed=42))
    assert [body["batch_size"] for body in inputs] == [4, 4, 2]
    assert [body["seed"] for body in inputs] == [42, 46, 50]


def test_a_model_without_batches_is_requested_once_an_image_with_the_next_seed() -> None:
    inputs = bodies(draw(model=QWEN, native=True, batch_size=3, seed=9999999998))
    assert [body["seed"] for body in inputs] == [9999999998, 9999999999, 0]
    assert all("batch_size" not in body for body in inputs)


def test_a_batch_of_frames_is_sent_frame_by_frame_with_the_same_seed() -> None:
    plan = redraw(frames(3), native=True, batch_size=2, seed=5)
    assert [(request.frame, request.count, request.seed) for request in plan.requests] == [
        (0, 2, 5),
        (1, 2, 5),
        (2, 2, 5),
    ]


def test_without_a_chosen_size_the_one_closest_to_the_image_is_requested() -> None:
    assert bodies(redraw(frames(height=200, width=100)))[0]["image_size"] == "720x1440"


def test_a_custom_size_is_width_times_height() -> None:
    [body] = bodies(draw(image_size="custom", width=900, height=640))
    assert body["image_size"] == "900x640"


def test_width_and_height_count_only_for_a_custom_size() -> None:
    [body] = bodies(draw(image_size="960x1280", width=900, height=640))
    assert body["image_size"] == "960x1280"


def test_up_to_three_images_go_where_the_model_takes_them() -> None:
    plan = edit(frames(), frames(), frames())
    assert list(plan.images) == ["image", "image2", "image3"]


def test_a_gap_between_the_images_is_closed() -> None:
    plan = edit(frames(), None, frames(height=9), prompt="@image3 on @image1")
    assert {name: len(image[0]) for name, image in plan.images.items()} == {
        "image": 8,
        "image2": 9,
    }
    assert bodies(plan)[0]["prompt"] == "Picture 2 on Picture 1"


def test_an_image_goes_in_under_the_model_s_own_name_for_it() -> None:
    kontext = edit(frames(), model="black-forest-labs/FLUX.1-Kontext-pro")
    assert list(kontext.images) == ["input_image"]


@pytest.mark.parametrize(
    ("model", "sent"),
    [(MULTI_EDIT, "make Picture 1 blue"), (EDIT, "make the image blue")],
)
def test_a_reference_is_sent_as_the_model_reads_it(model: str, sent: str) -> None:
    assert bodies(edit(frames(), model=model, prompt="make @Image1 blue"))[0]["prompt"] == sent


def test_an_unknown_model_is_sent_all_that_the_user_set_as_it_is() -> None:
    values = {"guidance_scale": 3.5, "cfg": 0, "batch_size": 6, "seed": 1}
    plan = draw(custom_model="vendor/new", native=True, **values)
    assert bodies(plan) == [
        {
            "model": "vendor/new",
            "prompt": "a cat",
            "guidance_scale": 3.5,
            "seed": 1,
            "batch_size": 6,
        }
    ]


def test_extra_body_is_merged_into_every_request() -> None:
    plan = draw(
        model=QWEN, batch_size=2, extra_body='{"style": {"name": "ink"}, "image_size": "9x9"}'
    )
    assert [body["style"] for body in bodies(plan)] == [{"name": "ink"}] * 2
    assert bodies(plan)[0]["image_size"] == "9x9"


@pytest.mark.parametrize("native", [False, True])
def test_a_batch_size_of_extra_body_is_what_each_request_makes(native: bool) -> None:
    plan = draw(native=native, batch_size=2, seed=5, extra_body='{"batch_size": 3}')
    assert [
        (request.count, request.seed, request.body["batch_size"]) for request in plan.requests
    ] == [
        (3, 5, 3),
        (3, 8, 3),
    ]


@pytest.mark.parametrize("native", [False, True])
def test_without_the_batch_size_that_extra_body_takes_out_a_request_makes_one_image(
    native: bool,
) -> None:
    plan = draw(native=native, batch_size=2, extra_body='{"batch_size": null}')
    assert [(request.count, "batch_size" in request.body) for request in plan.requests] == [
        (1, False),
        (1, False),
    ]


def test_what_the_model_does_not_take_is_reported() -> None:
    plan = draw(model="black-forest-labs/FLUX.1-schnell", negative_prompt="blur", guidance_scale=3)
    assert plan.not_sent == ["guidance_scale", "negative_prompt"]


@pytest.mark.parametrize(
    ("inputs", "name", "words"),
    [
        ({"prompt": "  \n"}, "prompt", "must not be empty"),
        (
            {"image_size": "custom", "model": "stabilityai/stable-diffusion-2-1"},
            "image_size",
            "512x512",
        ),
        (
            {"image_size": "1328x1328", "model": "stabilityai/stable-diffusion-2-1"},
            "image_size",
            "does not support 1328x1328",
        ),
        ({"image_size": "large"}, "image_size", "is not a size"),
        ({"num_inference_steps": 101}, "num_inference_steps", "outside 1-100"),
        ({"guidance_scale": 20.5}, "guidance_scale", "outside 0-20"),
        ({"batch_size": 0}, "batch_size", "outside 1-64"),
        ({"batch_size": 65}, "batch_size", "outside 1-64"),
        ({"extra_body": '{"batch_size": 65}'}, "batch_size", "outside 1-64"),
        ({"extra_body": '{"batch_size": "two"}'}, "batch_size", "is not a number"),
        ({"model": EDIT}, "model", "is for image-edit, not for text-to-image"),
        ({"custom_model": EDIT}, "custom_model", "is for image-edit"),
        ({"extra_body": "{"}, "extra_body", "is not valid JSON"),
        ({"extra_body": "[1]"}, "extra_body", "must be a JSON object"),
        ({"extra_body": '{"x": NaN}'}, "extra_body", "NaN is not JSON"),
        (
            {"extra_body": '{"seed": 1, "model": "x"}'},
            "extra_body",
            "model, seed: set by the node itself",
        ),
        ({"extra_body": '{"x":' * 20_000}, "extra_body", "is not valid JSON"),
        ({"extra_body": '{"api_key": "x"}'}, "extra_body", '"api_key" looks like an API key'),
        ({"extra_body": '{"x": [{"Authorization": "x"}]}'}, "extra_body", "Authorization"),
        ({"extra_body": '{"user": "sk-abcdefghijklmnop"}'}, "extra_body", '"user" looks like'),
        ({"extra_body": '{"user": "Bearer abcdefghijkl"}'}, "extra_body", '"user" looks like'),
    ],
)
def test_an_input_that_would_be_refused_is_named(
    inputs: dict[str, Any], name: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        draw(**inputs)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("size", "width", "words"),
    [("custom", 1450, "outside 256-1440"), ("custom", 1000, "multiple of 32")],
)
def test_a_model_of_widths_and_heights_names_the_side(size: str, width: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        draw("com", model=FLUX, image_size=size, width=width, height=512)
    assert caught.value.name == "width"


@pytest.mark.parametrize(
    ("images", "name", "words"),
    [
        ({}, "image", "connect an image"),
        ({"image2": frames()}, "image", "connect an image"),
        ({"image": frames(3), "image2": frames(2)}, "image2", "has 2 frames and image has 3"),
        ({"image2": frames(2), "image3": frames(3), "image": frames()}, "image3", "and image2 has"),
        ({"image": torch.zeros(8, 8, 3)}, "image", "is not an IMAGE tensor"),
        ({"image": frames(), "image2": torch.zeros(1, 8, 8, 5)}, "image2", "has 5 channels"),
        ({"image": frames(), "prompt": "@image2 on it"}, "prompt", "@image2"),
        ({"image": frames(), "prompt": "@image0"}, "prompt", "@image0"),
        ({"image": frames(), "image2": frames(), "model": EDIT}, "image2", "accepts 1 image"),
    ],
)
def test_a_missing_surplus_or_unfit_image_is_named(
    images: dict[str, Any], name: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        edit(**images)
    assert caught.value.name == name


@pytest.mark.parametrize("count", [1, 3])
def test_a_second_image_of_one_frame_or_as_many_as_the_first_is_taken(count: int) -> None:
    assert len(edit(frames(3), frames(count)).requests) == 3
