"""What the catalogue says of the models, and how a request is made from it."""

from typing import Any

import pytest
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.catalogue import AUTO, CUSTOM, Site, Value
from comfyui_siliconflow.siliconflow.errors import InvalidInput

CHINA = {
    "Kwai-Kolors/Kolors",
    "Qwen/Qwen-Image",
    "Qwen/Qwen-Image-Edit",
    "Qwen/Qwen-Image-Edit-2509",
    "Tongyi-MAI/Z-Image",
    "Tongyi-MAI/Z-Image-Turbo",
    "baidu/ERNIE-Image-Turbo",
    "black-forest-labs/FLUX.1-schnell",
    "Pro/black-forest-labs/FLUX.1-schnell",
    "black-forest-labs/FLUX.1-dev",
    "stabilityai/stable-diffusion-3-5-large",
    "stabilityai/stable-diffusion-3-medium",
    "stabilityai/stable-diffusion-xl-base-1.0",
    "stabilityai/stable-diffusion-2-1",
}
FREE_TASKS = ["text-to-image", "image-to-image", "chat", "speech-to-text", "embedding", "rerank"]
PRICES = ("image", "kilobyte", "input", "output")
IMAGE_TASKS = {"text-to-image", "image-to-image", "image-edit"}
INTERNATIONAL = {
    "black-forest-labs/FLUX.2-pro",
    "black-forest-labs/FLUX.2-flex",
    "Qwen/Qwen-Image",
    "Qwen/Qwen-Image-Edit",
    "Tongyi-MAI/Z-Image-Turbo",
    "black-forest-labs/FLUX.1-Kontext-max",
    "black-forest-labs/FLUX.1-Kontext-pro",
    "black-forest-labs/FLUX.1-Kontext-dev",
    "black-forest-labs/FLUX-1.1-pro",
    "black-forest-labs/FLUX-1.1-pro-Ultra",
    "black-forest-labs/FLUX.1-schnell",
    "black-forest-labs/FLUX.1-dev",
}


@pytest.mark.parametrize(("site", "ids"), [("cn", CHINA), ("com", INTERNATIONAL)])
def test_every_documented_model_of_a_site_is_there_once(site: str, ids: set[str]) -> None:
    items = [
        model.id
        for model in catalogue.load().models
        if model.site == site and set(model.tasks) & IMAGE_TASKS
    ]
    assert set(items) == ids
    assert len(items) == len(ids)


@pytest.mark.parametrize(
    ("task", "count", "first"),
    [
        ("chat", 106, "Qwen/Qwen3.5-4B"),
        ("text-to-speech", 3, "FunAudioLLM/CosyVoice2-0.5B"),
        ("voice", 3, "FunAudioLLM/CosyVoice2-0.5B"),
        ("speech-to-text", 2, "FunAudioLLM/SenseVoiceSmall"),
        ("embedding", 9, "BAAI/bge-m3"),
        ("rerank", 7, "BAAI/bge-reranker-v2-m3"),
    ],
)
def test_the_models_of_every_other_task_are_there_once(task: str, count: int, first: str) -> None:
    items = [model.id for model in catalogue.load().of_task(task)]
    assert (len(items), items[0]) == (count, first)
    assert len(set(items)) == count


def test_a_language_model_says_whether_it_sees_and_what_a_request_may_hold() -> None:
    find = catalogue.load().find
    assert len(find("Qwen/Qwen3-VL-32B-Instruct", "cn").images) == 4
    assert find("Qwen/Qwen3-VL-32B-Instruct", "cn").sees
    assert "detail" in find("Qwen/Qwen3-VL-32B-Instruct", "cn").fields
    assert not find("Qwen/Qwen2.5-7B-Instruct", "cn").sees
    assert find("Qwen/Qwen2.5-7B-Instruct", "cn").limits == {"stop": 4}


def test_a_chat_model_says_whether_it_thinks_and_can_be_set_not_to() -> None:
    find = catalogue.load().find
    assert find("Qwen/Qwen3-8B", "cn").thinking == "on"
    assert find("deepseek-ai/DeepSeek-R1", "cn").thinking == "always"
    assert find("deepseek-ai/DeepSeek-V3.2", "cn").thinking == "off"
    assert find("Qwen/Qwen2.5-7B-Instruct", "cn").thinking is None


def test_max_tokens_reach_to_the_end_of_the_context_or_of_the_input_where_it_is_not_known() -> None:
    find = catalogue.load().find
    assert find("deepseek-ai/DeepSeek-OCR", "cn").fields["max_tokens"].maximum == 8192
    unknown = find("zai-org/GLM-5.3", "cn")
    assert unknown.context is None
    assert unknown.fields["max_tokens"].maximum == 1048576


def test_retired_models_stand_behind_the_living_ones() -> None:
    items = [model.is_retired for model in catalogue.load().models]
    assert items == sorted(items)
    assert set(items) == {True, False}


@pytest.mark.parametrize("task", FREE_TASKS)
def test_the_first_model_of_a_task_is_a_living_one_that_costs_nothing(task: str) -> None:
    first = catalogue.load().of_task(task)[0]
    assert not first.is_retired
    price: dict[str, Any] = {**(first.price or {})}
    assert {price[name] for name in PRICES if name in price} == {0}


def test_the_price_of_a_model_fills_in_that_of_its_family() -> None:
    price = catalogue.load().find("Pro/zai-org/GLM-5.1", "cn").price
    assert price == {
        "currency": "CNY",
        "as_of": "2026-09-24",
        "input": 6,
        "output": 24,
        "tiers": [{"above": 32000, "input": 8, "output": 28}],
    }
    older = catalogue.load().find("Qwen/Qwen3-8B", "cn").price
    assert older == {"currency": "CNY", "as_of": "2026-07-21", "input": 0, "output": 0}


@pytest.mark.parametrize(
    ("model_id", "site"),
    [
        ("Kwai-Kolors/Kolors", "cn"),
        ("Qwen/Qwen-Image", "cn"),
        ("Tongyi-MAI/Z-Image", "cn"),
        ("Tongyi-MAI/Z-Image-Turbo", "cn"),
        ("Tongyi-MAI/Z-Image-Turbo", "com"),
    ],
)
def test_a_size_of_too_many_pixels_is_refused_with_the_nearest_that_fits(
    model_id: str, site: Site
) -> None:
    model = catalogue.load().find(model_id, site)
    assert model.arguments({"image_size": "1920x1080"})["image_size"] == "1920x1080"
    with pytest.raises(InvalidInput, match=r"2073600\. The nearest size that fits is 1920x1080"):
        model.arguments({"image_size": "2048x1152"})


def test_a_side_outside_its_range_is_refused() -> None:
    model = catalogue.load().find("Tongyi-MAI/Z-Image", "cn")
    assert model.arguments({"image_size": "512x2048"})["image_size"] == "512x2048"
    with pytest.raises(InvalidInput, match="image_size: 500 is outside 512-2048"):
        model.arguments({"image_size": "500x1024"})


def test_a_number_that_is_chosen_from_a_list_goes_out_as_a_number() -> None:
    voice = catalogue.load().find("FunAudioLLM/CosyVoice2-0.5B", "cn")
    assert voice.arguments({"sample_rate": "24000"}) == {"sample_rate": 24000}
    with pytest.raises(InvalidInput, match="sample_rate"):
        voice.arguments({"sample_rate": "11025"})


def test_a_model_that_both_sites_have_is_read_as_the_chosen_site_has_it() -> None:
    here = catalogue.load().find("Qwen/Qwen-Image", "cn")
    there = catalogue.load().find("Qwen/Qwen-Image", "com")
    assert "batch_size" not in here.fields
    assert there.fields["batch_size"].maximum == 4


def test_a_model_of_the_other_site_alone_is_still_found() -> None:
    assert catalogue.load().find("black-forest-labs/FLUX.2-pro", "cn").site == "com"


def test_required_fields_are_sent_with_their_defaults() -> None:
    kolors = catalogue.load().find("Kwai-Kolors/Kolors", "cn")
    assert kolors.arguments({}) == {
        "image_size": "1024x1024",
        "batch_size": 1,
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
    }


def test_a_field_that_the_model_does_not_take_is_not_sent_but_reported() -> None:
    schnell = catalogue.load().find("black-forest-labs/FLUX.1-schnell", "cn")
    values: dict[str, Value] = {"num_inference_steps": 30, "negative_prompt": "blur"}
    assert schnell.arguments(values) == {"image_size": "1024x1024"}
    assert schnell.not_sent(values) == ["negative_prompt", "num_inference_steps"]


def test_an_unlisted_model_is_sent_what_the_user_set_as_it_is() -> None:
    model = catalogue.load().find("vendor/new", "cn")
    values: dict[str, Value] = {"guidance_scale": 999.0, "image_size": "3x3"}
    assert not model.listed
    assert model.arguments(values) == values
    assert model.not_sent(values) == []


def test_a_model_of_a_family_is_guessed_with_fields_and_without_what_is_a_model_s_own() -> None:
    known = catalogue.load()
    guess = known.guess("Qwen/Qwen-Image-Edit-2711", "cn")
    like = known.find("Qwen/Qwen-Image-Edit-2509", "cn")
    assert guess
    assert (guess.fields, guess.images, guess.tasks) == (like.fields, like.images, like.tasks)
    assert (guess.price, guess.context, guess.published, guess.thinking) == (None,) * 4
    assert (guess.listed, guess.is_free("cn"), guess.guessed_from) == (True, False, like.id)
    assert known.guess("vendor/new", "cn") is None


@pytest.mark.parametrize(
    "model_id",
    ["Qwen/Qwen3-300B", "zai-org/GLM-6", "moonshotai/Kimi-K3", "deepseek-ai/DeepSeek-V5"],
)
def test_a_new_model_is_told_to_think_or_not_only_if_the_user_says_so(model_id: str) -> None:
    guess = catalogue.load().guess(model_id, "cn")
    assert guess
    assert guess.arguments({}) == {}
    assert guess.arguments({"enable_thinking": "off"}) == {"enable_thinking": False}


@pytest.mark.parametrize(
    "model_id",
    [
        "Qwen/Qwen3-235B-A22B-Thinking-2507",
        "Qwen/Qwen3-Next-80B-A3B-Thinking",
        "Qwen/Qwen3-VL-235B-A22B-Thinking",
        "Qwen/Qwen3-Coder-480B-A35B",
    ],
)
def test_a_new_model_that_by_its_name_cannot_be_told_to_think_is_not_told(model_id: str) -> None:
    guess = catalogue.load().guess(model_id, "cn")
    assert guess
    assert "enable_thinking" not in guess.fields
    assert ("thinking_budget" in guess.fields) == ("Thinking" in model_id)
    assert guess.sees == ("VL" in model_id)


def test_the_answer_of_a_new_model_is_not_bounded_by_the_context_of_another() -> None:
    known = catalogue.load()
    guess = known.guess("Qwen/Qwen2.5-1B", "cn")
    assert guess
    assert known.find(guess.guessed_from, "cn").fields["max_tokens"].maximum == 32768
    assert guess.fields["max_tokens"].maximum == known.inputs["max_tokens"].maximum


def test_a_new_model_that_only_instructs_is_not_told_whether_to_think() -> None:
    instruct, thinks = (
        catalogue.load().guess(f"Qwen/Qwen3-300B{kind}", "cn") for kind in ("-Instruct-2712", "")
    )
    assert instruct
    assert thinks
    assert "enable_thinking" not in instruct.fields
    assert "enable_thinking" in thinks.fields


def test_a_model_is_free_if_every_price_of_the_list_is_0() -> None:
    known = catalogue.load()
    free = {model.id for model in known.models if model.is_free("cn")}
    assert {"Kwai-Kolors/Kolors", "Qwen/Qwen3.5-4B", "FunAudioLLM/SenseVoiceSmall"} <= free
    assert not {"Qwen/Qwen-Image", "FunAudioLLM/CosyVoice2-0.5B", "zai-org/GLM-4.5V"} & free
    assert not catalogue.unlisted("vendor/new").is_free("cn")


CUSTOM_SIZES = [
    model
    for model in catalogue.load().models
    if "image_size" in model.fields and model.fields["image_size"].custom
]


def test_there_are_models_of_custom_sizes() -> None:
    assert len(CUSTOM_SIZES) > 10


@pytest.mark.parametrize("model", CUSTOM_SIZES, ids=lambda model: f"{model.site} {model.id}")
@pytest.mark.parametrize("size", ["8000x8000", "8000x64", "16x16"])
def test_a_custom_size_is_bounded_whatever_the_model(model: catalogue.Model, size: str) -> None:
    with pytest.raises(InvalidInput):
        model.arguments({"image_size": size})


def test_a_custom_size_goes_where_the_model_takes_sizes() -> None:
    kolors = catalogue.load().find("Kwai-Kolors/Kolors", "cn")
    flux = catalogue.load().find("black-forest-labs/FLUX-1.1-pro", "com")
    assert kolors.size_arguments(CUSTOM, 900, 600) == {"image_size": "900x600"}
    assert flux.size_arguments(CUSTOM, 960, 640) == {"width": 960, "height": 640}
    assert flux.size_arguments("1024x768", 1, 1) == {"width": 1024, "height": 768}
    assert flux.size_arguments(AUTO, 960, 640) == {}


def test_sizes_are_sorted_by_shape_and_turned_where_any_is_accepted() -> None:
    kolors = catalogue.load().find("Kwai-Kolors/Kolors", "cn").fields["image_size"].choices
    assert kolors == (
        "1024x1024",
        *("1280x960", "1024x768", "1280x720", "1440x720"),
        *("960x1280", "768x1024", "720x1280", "720x1440"),
    )
    schnell = catalogue.load().find("black-forest-labs/FLUX.1-schnell", "com").fields["image_size"]
    assert not schnell.custom
    assert "1024x512" not in schnell.choices


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (1000, 1000, "1024x1024"),
        (600, 800, "960x1280"),
        (800, 600, "1280x960"),
        (100, 1000, "720x1440"),
    ],
)
def test_the_closest_size_is_the_one_of_the_closest_shape(
    width: int, height: int, size: str
) -> None:
    kolors = catalogue.load().find("Kwai-Kolors/Kolors", "cn")
    assert kolors.closest_size(width, height) == size


def test_a_landscape_is_not_crushed_into_a_square() -> None:
    find = catalogue.load().find
    assert find("Kwai-Kolors/Kolors", "cn").closest_size(1920, 1080) == "1280x720"
    assert find("stabilityai/stable-diffusion-2-1", "cn").closest_size(1920, 1080) == "1024x576"
    assert find("black-forest-labs/FLUX-1.1-pro", "com").closest_size(1920, 1080) == "1376x768"
    assert find("black-forest-labs/FLUX-1.1-pro", "com").closest_size(9000, 100) == "1440x256"


def test_an_aspect_ratio_takes_the_place_of_a_size() -> None:
    ultra = catalogue.load().find("black-forest-labs/FLUX-1.1-pro-Ultra", "com")
    assert ultra.arguments({}) == {"image_size": "1024x1024"}
    assert ultra.arguments({"aspect_ratio": "21:9"}) == {"aspect_ratio": "21:9"}
    with pytest.raises(InvalidInput, match="aspect_ratio: set this or image_size, not both"):
        ultra.arguments({"aspect_ratio": "21:9", "image_size": "1024x1024"})


def test_values_that_mean_not_set_are_left_out() -> None:
    values = {"num_inference_steps": 0, "guidance_scale": -1, "cfg": 4.0, "raw": False}
    assert catalogue.load().only_set(values) == {"cfg": 4.0}


def test_no_value_that_means_not_set_is_one_that_a_model_takes() -> None:
    all_models = catalogue.load()
    for model in all_models.models:
        for name, field in model.fields.items():
            unset = all_models.unset.get(name)
            if field.minimum is not None and isinstance(unset, int | float):
                assert unset < field.minimum, (model.id, name)
