"""Every model of both sites takes what its document says, and refuses everything else."""

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from PIL import Image

Generate = Callable[..., requests.Response]
Request = dict[str, Any]


def _tiny() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (0, 120, 200)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


IMAGE = _tiny()
KOLORS_SIZES = ["1024x1024", "960x1280", "768x1024", "720x1440", "720x1280"]
SD_SIZES = ["1024x1024", "512x1024", "768x512", "768x1024", "1024x576", "576x1024"]
SD2_SIZES = ["512x512", *SD_SIZES[1:]]
FLUX2_SIZES = ["512x512", "768x1024", "1024x768", "576x1024", "1024x576"]
QWEN_SIZES = [
    "1328x1328",
    "1664x928",
    "928x1664",
    "1472x1140",
    "1140x1472",
    "1584x1056",
    "1056x1584",
]

SIX = {"image_size": "320x240", "batch_size": 1, "num_inference_steps": 20, "guidance_scale": 7.5}
FIXED = {**SIX, "image_size": "768x512"}
KONTEXT = {
    "aspect_ratio": "16:9",
    "output_format": "png",
    "prompt_upsampling": True,
    "safety_tolerance": 2,
}

# Per site and model: the fields it must be given, and those it may be given besides.
MODELS: dict[tuple[str, str], tuple[Request, Request]] = {
    ("cn", "Kwai-Kolors/Kolors"): (SIX, {"negative_prompt": "fog", "image": IMAGE}),
    ("cn", "Qwen/Qwen-Image"): (
        {"image_size": "320x240"},
        {"negative_prompt": "", "num_inference_steps": 50, "cfg": 4.0},
    ),
    ("cn", "Qwen/Qwen-Image-Edit"): (
        {"image": IMAGE},
        {"negative_prompt": "fog", "num_inference_steps": 50, "cfg": 4},
    ),
    ("cn", "Qwen/Qwen-Image-Edit-2509"): (
        {"image": IMAGE},
        {
            "negative_prompt": "fog",
            "num_inference_steps": 20,
            "guidance_scale": 4,
            "image2": IMAGE,
            "image3": IMAGE,
        },
    ),
    ("cn", "black-forest-labs/FLUX.1-schnell"): ({"image_size": "768x512"}, {}),
    ("cn", "Pro/black-forest-labs/FLUX.1-schnell"): ({"image_size": "320x240"}, {}),
    ("cn", "black-forest-labs/FLUX.1-dev"): (
        {"image_size": "320x240", "num_inference_steps": 20},
        {},
    ),
    ("cn", "stabilityai/stable-diffusion-3-5-large"): (FIXED, {"negative_prompt": "fog"}),
    ("cn", "stabilityai/stable-diffusion-3-medium"): (SIX, {"negative_prompt": "fog"}),
    ("cn", "stabilityai/stable-diffusion-xl-base-1.0"): (
        SIX,
        {"negative_prompt": "fog", "image": IMAGE},
    ),
    ("cn", "stabilityai/stable-diffusion-2-1"): (
        FIXED,
        {"negative_prompt": "fog", "image": IMAGE},
    ),
    ("cn", "Tongyi-MAI/Z-Image"): (
        {},
        {"image_size": "768x512", "negative_prompt": "fog", "num_inference_steps": 9, "cfg": 4},
    ),
    ("cn", "Tongyi-MAI/Z-Image-Turbo"): ({}, {"image_size": "512x512"}),
    ("cn", "baidu/ERNIE-Image-Turbo"): ({}, {"image_size": "512x512"}),
    ("com", "black-forest-labs/FLUX.2-pro"): (
        {},
        {"image_size": "512x512", "output_format": "jpeg"},
    ),
    ("com", "black-forest-labs/FLUX.2-flex"): (
        {},
        {"image_size": "512x512", "num_inference_steps": 25, "cfg": 4, "output_format": "png"},
    ),
    ("com", "Qwen/Qwen-Image"): (
        {"image_size": "320x240"},
        {
            "negative_prompt": "fog",
            "num_inference_steps": 50,
            "cfg": 4,
            "guidance_scale": 7.5,
            "batch_size": 2,
        },
    ),
    ("com", "Qwen/Qwen-Image-Edit"): (
        {"image": IMAGE},
        {
            "negative_prompt": "fog",
            "num_inference_steps": 50,
            "cfg": 4,
            "guidance_scale": 7.5,
            "batch_size": 2,
        },
    ),
    ("com", "Tongyi-MAI/Z-Image-Turbo"): (
        {},
        {"image_size": "512x512", "negative_prompt": "fog"},
    ),
    ("com", "black-forest-labs/FLUX.1-Kontext-max"): ({"input_image": IMAGE}, KONTEXT),
    ("com", "black-forest-labs/FLUX.1-Kontext-pro"): ({"input_image": IMAGE}, KONTEXT),
    ("com", "black-forest-labs/FLUX.1-Kontext-dev"): (
        {"image": IMAGE},
        {"prompt_enhancement": False},
    ),
    ("com", "black-forest-labs/FLUX-1.1-pro"): (
        {},
        {
            "width": 256,
            "height": 288,
            "image_prompt": IMAGE,
            "prompt_upsampling": True,
            "safety_tolerance": 6,
            "output_format": "png",
        },
    ),
    ("com", "black-forest-labs/FLUX-1.1-pro-Ultra"): (
        {},
        {
            "image_size": "320x240",
            "batch_size": 2,
            "raw": True,
            "image_prompt": IMAGE,
            "image_prompt_strength": 0.5,
            "safety_tolerance": 6,
            "output_format": "png",
        },
    ),
    ("com", "black-forest-labs/FLUX.1-schnell"): (
        {"image_size": "768x512"},
        {"prompt_enhancement": True},
    ),
    ("com", "black-forest-labs/FLUX.1-dev"): (
        {"image_size": "320x240", "num_inference_steps": 20},
        {"prompt_enhancement": True},
    ),
}

NOT_TEXT = [5, None, ["a"]]
NOT_WHOLE = ["1", 1.5, 2.0, True, None]
NOT_NUMBER = ["1", True, None]
NOT_FLAG = ["true", 1, None]
NOT_IMAGE = [
    5,
    None,
    "",
    "photo.png",
    "ftp://example.com/a.png",
    "data:image/png,abc",
    "iVBORw0KGgo=",
]
NOT_SIZE = [
    "others",
    "1024",
    "1024X768",
    "1024*768",
    "0x768",
    "-1x768",
    " 320x240",
    "320x240\n",
    1024,
]
# What no value of a field may be, whatever the model.
WRONG: dict[str, list[Any]] = {
    "prompt": [*NOT_TEXT, ""],
    "negative_prompt": NOT_TEXT,
    "seed": [*NOT_WHOLE, -1, 10_000_000_000],
    "batch_size": [*NOT_WHOLE, 0, 5],
    "num_inference_steps": [*NOT_WHOLE, 0, 101],
    "guidance_scale": [*NOT_NUMBER, -0.1],
    "cfg": [*NOT_NUMBER, 0, 0.05, 20.1],
    "image_size": [*NOT_SIZE, None, "4097x512"],
    "aspect_ratio": ["16x9", "22:9", "9:22", "0:1", "16:9\n", "1.5", 1.5, None],
    "output_format": ["webp", "PNG", "jpg", None],
    "safety_tolerance": [*NOT_WHOLE, -1, 7],
    "prompt_upsampling": NOT_FLAG,
    "prompt_enhancement": NOT_FLAG,
    "raw": NOT_FLAG,
    "image_prompt_strength": [*NOT_NUMBER, -0.1, 1.1],
    "width": [*NOT_WHOLE, 224, 1472, 300],
    "height": [*NOT_WHOLE, 224, 1472, 300],
    **dict.fromkeys(["image", "image2", "image3", "input_image", "image_prompt"], NOT_IMAGE),
}
# What some models refuse beyond that.
OWN_WRONG: list[tuple[str, str, list[Any]]] = [
    ("Kwai-Kolors/Kolors", "guidance_scale", [20.1]),
    ("Qwen/Qwen-Image", "guidance_scale", [20.1]),
    ("Qwen/Qwen-Image-Edit", "guidance_scale", [20.1]),
    ("Qwen/Qwen-Image-Edit-2509", "guidance_scale", [20.1]),
    ("stabilityai/stable-diffusion-3-5-large", "guidance_scale", [100.1]),
    ("stabilityai/stable-diffusion-3-medium", "guidance_scale", [100.1]),
    ("stabilityai/stable-diffusion-xl-base-1.0", "guidance_scale", [100.1]),
    ("stabilityai/stable-diffusion-2-1", "guidance_scale", [100.1]),
    ("black-forest-labs/FLUX.1-dev", "num_inference_steps", [31]),
    ("black-forest-labs/FLUX.2-flex", "num_inference_steps", [51]),
    ("black-forest-labs/FLUX.1-schnell", "image_size", ["320x240", "512x512", "960x1280"]),
    ("stabilityai/stable-diffusion-3-5-large", "image_size", ["320x240", "512x512"]),
    ("stabilityai/stable-diffusion-2-1", "image_size", ["320x240", "1024x1024"]),
    ("black-forest-labs/FLUX.2-pro", "image_size", ["320x240", "1024x1024"]),
    ("black-forest-labs/FLUX.2-flex", "image_size", ["320x240", "1024x1024"]),
    ("Tongyi-MAI/Z-Image", "image_size", ["320x640", "2049x512"]),
    ("black-forest-labs/FLUX.1-Kontext-max", "safety_tolerance", [3]),
    ("black-forest-labs/FLUX.1-Kontext-pro", "safety_tolerance", [3]),
]
# Fields that some model somewhere takes, with a value that it would take.
EVERY_FIELD: Request = {
    "negative_prompt": "fog",
    "image_size": "768x1024",
    "batch_size": 1,
    "num_inference_steps": 20,
    "guidance_scale": 4,
    "cfg": 4,
    "image": IMAGE,
    "image2": IMAGE,
    "image3": IMAGE,
    "input_image": IMAGE,
    "image_prompt": IMAGE,
    "image_prompt_strength": 0.5,
    "aspect_ratio": "16:9",
    "output_format": "png",
    "prompt_upsampling": True,
    "prompt_enhancement": True,
    "safety_tolerance": 2,
    "raw": True,
    "width": 512,
    "height": 512,
    "n": 1,
    "size": "1024x1024",
    "custom": "anything",
}


def _least(site: str, model: str) -> Request:
    return {"model": model, "prompt": "a lighthouse", **MODELS[site, model][0]}


def _takes(site: str, model: str) -> set[str]:
    required, optional = MODELS[site, model]
    fields = {"prompt", "seed", *required, *optional}
    return fields | {"aspect_ratio"} if model.endswith("Ultra") else fields


def _wrong_values() -> Iterator[Any]:
    for site, model in MODELS:
        taken = sorted(_takes(site, model))
        cases = [(field, value) for field in taken for value in WRONG[field]]
        cases += [(f, v) for m, f, values in OWN_WRONG if m == model and f in taken for v in values]
        for field, value in cases:
            yield pytest.param(
                site, model, field, value, id=f"{site}-{model}-{field}-{value!r:.30}"
            )


def _missing_fields() -> Iterator[Any]:
    for (site, model), (required, _) in MODELS.items():
        for field in ["prompt", *required]:
            yield pytest.param(site, model, field, id=f"{site}-{model}-{field}")


def _fields_not_taken() -> Iterator[Any]:
    for site, model in MODELS:
        for field in sorted(set(EVERY_FIELD) - _takes(site, model)):
            yield pytest.param(site, model, field, id=f"{site}-{model}-{field}")


@pytest.mark.parametrize(("site", "model"), MODELS)
def test_a_model_is_content_with_the_fields_it_requires(
    sites: dict[str, Simulator], generate: Generate, site: str, model: str
) -> None:
    answer = generate(sites[site], _least(site, model))
    assert (answer.status_code, answer.text[:20]) == (200, '{"images": [{"url": ')


@pytest.mark.parametrize(("site", "model"), MODELS)
def test_a_model_takes_every_field_of_its_own(
    sites: dict[str, Simulator], generate: Generate, site: str, model: str
) -> None:
    answer = generate(
        sites[site], _least(site, model), seed=9_999_999_999, **MODELS[site, model][1]
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("site", "model", "field", "value"), list(_wrong_values()))
def test_a_wrong_value_is_refused_by_name(  # noqa: PLR0917 - four of them are the case
    sites: dict[str, Simulator], generate: Generate, site: str, model: str, field: str, value: Any
) -> None:
    answer = generate(sites[site], _least(site, model), **{field: value})
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert field in answer.json()["message"]


@pytest.mark.parametrize(("site", "model", "field"), list(_missing_fields()))
def test_a_missing_field_is_refused_by_name(
    sites: dict[str, Simulator], generate: Generate, site: str, model: str, field: str
) -> None:
    body = _least(site, model)
    del body[field]
    answer = generate(sites[site], body)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert repr(field) in answer.json()["message"]


@pytest.mark.parametrize(("site", "model", "field"), list(_fields_not_taken()))
def test_a_field_that_a_model_does_not_take_is_refused_by_name(
    sites: dict[str, Simulator], generate: Generate, site: str, model: str, field: str
) -> None:
    answer = generate(sites[site], _least(site, model), **{field: EVERY_FIELD[field]})
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert repr(field) in answer.json()["message"]


@pytest.mark.parametrize(
    ("site", "model", "sizes"),
    [
        ("cn", "Kwai-Kolors/Kolors", KOLORS_SIZES),
        ("cn", "Qwen/Qwen-Image", QWEN_SIZES),
        ("cn", "black-forest-labs/FLUX.1-schnell", SD_SIZES),
        ("cn", "Pro/black-forest-labs/FLUX.1-schnell", [*KOLORS_SIZES, "1920x1080"]),
        ("cn", "black-forest-labs/FLUX.1-dev", [*KOLORS_SIZES, "1920x1080"]),
        ("cn", "stabilityai/stable-diffusion-3-5-large", SD_SIZES),
        ("cn", "stabilityai/stable-diffusion-3-medium", KOLORS_SIZES),
        ("cn", "stabilityai/stable-diffusion-xl-base-1.0", KOLORS_SIZES),
        ("cn", "stabilityai/stable-diffusion-2-1", SD2_SIZES),
        ("com", "black-forest-labs/FLUX.2-pro", FLUX2_SIZES),
        ("com", "black-forest-labs/FLUX.2-flex", FLUX2_SIZES),
        ("com", "Tongyi-MAI/Z-Image-Turbo", ["512x512", "768x1024", "1024x576", "576x1024"]),
    ],
)
def test_every_listed_size_is_taken(
    sites: dict[str, Simulator], generate: Generate, site: str, model: str, sizes: list[str]
) -> None:
    body = _least(site, model)
    assert [generate(sites[site], body, image_size=size).status_code for size in sizes] == [
        200
    ] * len(sizes)


@pytest.mark.parametrize(
    ("site", "model"),
    [
        ("cn", "Pro/black-forest-labs/FLUX.1-schnell"),
        ("cn", "black-forest-labs/FLUX.1-dev"),
        ("com", "black-forest-labs/FLUX.1-dev"),
    ],
)
def test_too_many_pixels_are_refused_in_the_words_of_the_service(
    sites: dict[str, Simulator], generate: Generate, site: str, model: str
) -> None:
    answer = generate(sites[site], _least(site, model), image_size="2048x1152")
    assert answer.status_code == 400
    assert answer.json()["message"] == "width * height should not exceed 2073600"


@pytest.mark.parametrize("ratio", ["21:9", "9:21", "1:1", "3:2"])
def test_kontext_takes_aspect_ratios_up_to_its_limits(
    sites: dict[str, Simulator], generate: Generate, ratio: str
) -> None:
    body = _least("com", "black-forest-labs/FLUX.1-Kontext-pro")
    assert generate(sites["com"], body, aspect_ratio=ratio).status_code == 200


def test_width_without_height_is_refused(sites: dict[str, Simulator], generate: Generate) -> None:
    answer = generate(sites["com"], _least("com", "black-forest-labs/FLUX-1.1-pro"), width=512)
    assert answer.status_code == 400


def test_ultra_takes_a_size_or_an_aspect_ratio_but_not_both(
    sites: dict[str, Simulator], generate: Generate
) -> None:
    body = _least("com", "black-forest-labs/FLUX-1.1-pro-Ultra")
    assert generate(sites["com"], body, aspect_ratio="4:3").status_code == 200
    answer = generate(sites["com"], body, aspect_ratio="4:3", image_size="1024x768")
    assert (answer.status_code, "image_size" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("site", ["cn", "com"])
def test_a_site_lists_exactly_its_own_image_models(
    sites: dict[str, Simulator], get: Generate, site: str
) -> None:
    listed = {entry["id"] for entry in get(sites[site], "/models", type="image").json()["data"]}
    assert listed == {model for at, model in MODELS if at == site}


@pytest.mark.parametrize(
    ("site", "model"),
    [
        ("com", "Kwai-Kolors/Kolors"),
        ("cn", "black-forest-labs/FLUX.2-pro"),
        ("cn", "no/such-model"),
    ],
)
def test_a_model_of_the_other_site_or_of_none_does_not_exist(
    sites: dict[str, Simulator], generate: Generate, site: str, model: str
) -> None:
    answer = generate(sites[site], {"model": model, "prompt": "a lighthouse"})
    assert (answer.status_code, answer.json()["code"]) == (400, 20012)


def test_a_model_added_since_takes_any_field(
    simulator: Simulator, generate: Generate, get: Generate
) -> None:
    simulator.add_model("new/model", {"type": "object"})
    answer = generate(
        simulator, {"model": "new/model", "prompt": "x", "surprise": [1], "image": IMAGE}
    )
    assert answer.status_code == 200
    assert "new/model" in {entry["id"] for entry in get(simulator, "/models").json()["data"]}


def test_a_model_added_since_keeps_the_rules_of_its_schema(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.add_model("new/model", {"properties": {"seed": {"$ref": "#/$defs/seed"}}})
    assert generate(simulator, {"model": "new/model", "seed": -1}).status_code == 400


def test_a_broken_schema_is_refused_when_it_is_added(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="new/model"):
        simulator.add_model("new/model", {"type": "nonsense"})
