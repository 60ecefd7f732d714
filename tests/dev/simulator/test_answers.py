"""What a good request is answered with."""

import base64
import io
from collections.abc import Callable
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from PIL import Image

Generate = Callable[..., requests.Response]


def fetch(answer: requests.Response, index: int = 0) -> requests.Response:
    return requests.get(answer.json()["images"][index]["url"], timeout=20)


def test_the_answer_has_the_documented_shape(simulator: Simulator, generate: Generate) -> None:
    answer = generate(simulator).json()
    assert set(answer) == {"images", "timings", "seed"}
    assert [set(image) for image in answer["images"]] == [{"url"}]
    assert set(answer["timings"]) == {"inference"}


@pytest.mark.parametrize("seed", [0, 42, 9_999_999_999])
def test_a_given_seed_comes_back(simulator: Simulator, generate: Generate, seed: int) -> None:
    assert generate(simulator, seed=seed).json()["seed"] == seed


def test_without_a_seed_each_request_gets_one_of_its_own(
    simulator: Simulator, generate: Generate
) -> None:
    seeds = {generate(simulator).json()["seed"] for _ in range(4)}
    assert len(seeds) == 4
    assert all(0 <= seed <= 9_999_999_999 for seed in seeds)


def test_a_batch_is_as_many_different_images(simulator: Simulator, generate: Generate) -> None:
    answer = generate(simulator, batch_size=4, seed=1)
    assert len({fetch(answer, index).content for index in range(4)}) == 4


def test_an_image_needs_no_key(simulator: Simulator, generate: Generate) -> None:
    assert fetch(generate(simulator)).status_code == 200


def test_an_image_is_a_png_of_the_size_that_was_requested(
    simulator: Simulator, generate: Generate
) -> None:
    content = fetch(generate(simulator, image_size="720x480"))
    image = Image.open(io.BytesIO(content.content))
    assert (content.headers["Content-Type"], image.format, image.size) == (
        "image/png",
        "PNG",
        (720, 480),
    )


@pytest.mark.parametrize(("output_format", "kind"), [("png", "PNG"), ("jpeg", "JPEG")])
def test_the_output_format_is_as_requested(
    sites: dict[str, Simulator], generate: Generate, output_format: str, kind: str
) -> None:
    body = {"model": "black-forest-labs/FLUX.2-pro", "prompt": "x", "output_format": output_format}
    answer = fetch(generate(sites["com"], body))
    assert (answer.headers["Content-Type"], Image.open(io.BytesIO(answer.content)).format) == (
        f"image/{output_format}",
        kind,
    )


def test_a_url_is_valid_for_an_hour(simulator: Simulator, clock: Any, generate: Generate) -> None:
    answer = generate(simulator)
    clock.now += 3599
    assert fetch(answer).status_code == 200
    clock.now += 1
    assert fetch(answer).status_code == 403


def test_an_image_long_expired_is_forgotten(
    simulator: Simulator, clock: Any, generate: Generate
) -> None:
    answer = generate(simulator)
    clock.now += 3 * 3600
    generate(simulator)
    assert fetch(answer).status_code == 404


def test_an_image_can_be_given_as_base64(simulator: Simulator, generate: Generate) -> None:
    simulator.answer = "b64_json"
    (image,) = generate(simulator).json()["images"]
    assert set(image) == {"b64_json"}
    assert Image.open(io.BytesIO(base64.b64decode(image["b64_json"]))).size == (320, 240)


def test_an_image_can_be_given_as_a_data_url(simulator: Simulator, generate: Generate) -> None:
    simulator.answer = "data_url"
    head, data = generate(simulator).json()["images"][0]["url"].split(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (320, 240)


@pytest.mark.parametrize("lists", [("images",), ("data",), ("images", "data"), ()])
def test_the_images_can_be_listed_under_other_names(
    simulator: Simulator, generate: Generate, lists: tuple[str, ...]
) -> None:
    simulator.answer_lists = lists
    answer = generate(simulator).json()
    assert set(answer) == {*lists, "timings", "seed"}
    assert len({str(answer[name]) for name in lists}) == min(1, len(lists))


def test_an_unknown_way_of_answering_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="answer"):
        simulator.answer = "carrier pigeon"


def test_an_unknown_list_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="answer_lists"):
        simulator.answer_lists = ("pictures",)
