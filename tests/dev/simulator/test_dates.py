"""The service as it was on a day: what was published, retired and taken then."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import numpy as np
import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.models import DEFAULT_AS_OF, read_table
from PIL import Image

Generate = Callable[..., requests.Response]

KOLORS = {
    "model": "Kwai-Kolors/Kolors",
    "prompt": "a lighthouse",
    "image_size": "320x240",
    "num_inference_steps": 20,
    "guidance_scale": 7.5,
}
EDIT = {"model": "Qwen/Qwen-Image-Edit-2509", "prompt": "at night"}
TURBO = {"model": "Tongyi-MAI/Z-Image-Turbo", "prompt": "a lighthouse"}
WRITER, THINKER, ALWAYS = "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen3-8B", "THUDM/GLM-Z1-9B-0414"
FLASH = "deepseek-ai/DeepSeek-V4-Flash"
GONE = {
    "code": 20012,
    "message": "Model does not exist. Please check it carefully.",
    "data": None,
}


@pytest.fixture
def on() -> Iterator[Callable[..., Simulator]]:
    """Serve a site as it was on a day."""
    running: list[Simulator] = []

    def start(as_of: Any, site: str = "cn", **how: Any) -> Simulator:
        simulator = Simulator(as_of=as_of, site=site, **how)
        simulator.start()
        running.append(simulator)
        return simulator

    yield start
    for simulator in running:
        simulator.stop()


@pytest.fixture
def today(on: Callable[..., Simulator]) -> Simulator:
    return on("today")


def listed(simulator: Simulator, get: Generate, **query: str) -> set[str]:
    return {entry["id"] for entry in get(simulator, "/models", **query).json()["data"]}


def image_of(answer: requests.Response) -> Image.Image:
    content = requests.get(answer.json()["images"][0]["url"], timeout=20).content
    return Image.open(io.BytesIO(content))


# Days


def test_without_a_day_nothing_was_retired(simulator: Simulator, get: Generate) -> None:
    assert simulator.day.name == DEFAULT_AS_OF == "ever"
    rows = [row for row in read_table("chat") if "cn" in row["sites"]]
    assert any("retired" in row for row in rows)
    assert listed(simulator, get, sub_type="chat") == {row["id"] for row in rows}


@pytest.mark.parametrize("as_of", ["2024-12-01", date(2024, 12, 1)])
def test_a_day_is_a_date_or_its_text(on: Callable[..., Simulator], as_of: Any) -> None:
    assert on(as_of).day.date == date(2024, 12, 1)


@pytest.mark.parametrize("as_of", ["yesterday", "2024", "1.12.2024"])
def test_a_day_that_is_no_date_is_an_error(as_of: str) -> None:
    with pytest.raises(ValueError, match=as_of):
        Simulator(as_of=as_of)


def test_the_state_says_its_day(today: Simulator) -> None:
    state = requests.get(f"{today.origin}/_simulator/state", timeout=20).json()
    assert (state["as_of"], state["site"]) == ("today", "cn")


@pytest.mark.parametrize("table", ["images", "chat", "audio", "retrieval"])
def test_every_model_of_the_tables_has_a_day_a_site_and_a_source(table: str) -> None:
    content = read_table(table)
    rows = (
        content if isinstance(content, list) else [row for each in content.values() for row in each]
    )
    assert len(rows) > 3
    for row in rows:
        published = date.fromisoformat(row["published"])
        assert published < date.fromisoformat(row.get("retired", "9999-12-31")), row["id"]
        assert set(row["sites"]) <= {"cn", "com"}, row["id"]
        assert row["sites"], row["id"]
        assert row["source"], row["id"]


# Models


@pytest.mark.parametrize(
    ("as_of", "model", "there"),
    [
        ("2024-12-01", "black-forest-labs/FLUX.1-schnell", True),
        ("2025-03-05", "stabilityai/stable-diffusion-2-1", True),
        ("2025-03-06", "stabilityai/stable-diffusion-2-1", False),
        ("2025-08-03", "Qwen/Qwen-Image", False),
        ("2025-08-04", "Qwen/Qwen-Image", True),
        ("2026-09-29", "baidu/ERNIE-Image-Turbo", True),
        ("2026-09-30", "baidu/ERNIE-Image-Turbo", False),
        ("2026-09-10", "nex-agi/Nex-N2-Pro", True),
        ("2026-09-11", "nex-agi/Nex-N2-Pro", False),
        ("2026-06-10", "netease-youdao/bce-embedding-base_v1", True),
        ("2026-06-11", "netease-youdao/bce-embedding-base_v1", False),
        ("2024-12-15", "FunAudioLLM/CosyVoice2-0.5B", False),
        ("2024-12-16", "FunAudioLLM/CosyVoice2-0.5B", True),
        ("today", "fishaudio/fish-speech-1.4", False),
        ("today", "Tongyi-MAI/Z-Image", True),
        ("today", "Qwen/Qwen3.8-27B", True),
        ("today", "fnlp/MOSS-TTSD-v0.5", True),
    ],
)
def test_a_model_is_there_from_its_first_day_until_its_last(
    on: Callable[..., Simulator], get: Generate, as_of: str, model: str, there: bool
) -> None:
    assert (model in listed(on(as_of), get)) == there


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/images/generations", {"model": "black-forest-labs/FLUX.1-schnell", "prompt": "x"}),
        ("/chat/completions", {"model": "Qwen/Qwen2-7B-Instruct"}),
        ("/audio/speech", {"model": "fishaudio/fish-speech-1.5", "input": "x"}),
        ("/embeddings", {"model": "netease-youdao/bce-embedding-base_v1", "input": "x"}),
        ("/rerank", {"model": "netease-youdao/bce-reranker-base_v1", "query": "x"}),
    ],
)
def test_a_retired_model_does_not_exist(
    today: Simulator, post: Generate, path: str, body: Any
) -> None:
    answer = post(today, path, body)
    assert (answer.status_code, answer.json()) == (400, GONE)


def test_the_models_of_video_have_sub_types(today: Simulator, get: Generate) -> None:
    assert listed(today, get, sub_type="image-to-video") == {"Wan-AI/Wan2.2-I2V-A14B"}
    assert listed(today, get, type="image", sub_type="text-to-image")


def test_listing_the_models_distinguishes_a_good_key_from_a_bad_one(
    today: Simulator, get: Generate
) -> None:
    bad = requests.get(
        f"{today.base_url}/models", headers={"Authorization": "Bearer sk-no"}, timeout=20
    )
    assert (get(today, "/models").status_code, bad.status_code) == (200, 401)
    assert today.charges == []


# The account


@pytest.mark.parametrize("site", ["cn", "com"])
@pytest.mark.parametrize(("as_of", "status"), [("2026-08-13", 200), ("2026-08-14", 410)])
def test_the_balance_could_be_requested_until_it_was_retired(
    on: Callable[..., Simulator], get: Generate, site: str, as_of: str, status: int
) -> None:
    assert get(on(as_of, site), "/user/info").status_code == status


def test_there_never_was_another_call_for_the_balance(today: Simulator, get: Generate) -> None:
    assert get(today, "/user/balance").status_code == 404


@pytest.mark.parametrize(("site", "status"), [("cn", 403), ("com", 402)])
@pytest.mark.parametrize("balance", ["0", "-1"])
def test_without_money_free_models_are_refused_too(
    on: Callable[..., Simulator], chat: Generate, site: str, status: int, balance: str
) -> None:
    answer = chat(on("today", site, balance=balance), "x", model=THINKER)
    assert (answer.status_code, answer.json()["code"]) == (status, 30001)


def test_a_balance_below_the_price_is_insufficient(
    on: Callable[..., Simulator], generate: Generate
) -> None:
    simulator = on("today", balance="0.09")
    assert generate(simulator, TURBO).json()["code"] == 30001
    assert generate(simulator, KOLORS).status_code == 200


# Images


def test_batch_size_was_taken_until_it_was_removed(
    on: Callable[..., Simulator], generate: Generate
) -> None:
    answer = generate(on("2026-09-29"), KOLORS, batch_size=2)
    assert len(answer.json()["images"]) == 2


def test_batch_size_is_refused_since_it_was_removed(
    on: Callable[..., Simulator], generate: Generate
) -> None:
    answer = generate(on("2026-09-30"), KOLORS, batch_size=1)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert "batch_size" in answer.json()["message"]


def test_a_removed_batch_size_can_be_ignored_instead(
    on: Callable[..., Simulator], generate: Generate
) -> None:
    simulator = on("today", removed_fields="ignore")
    answer = generate(simulator, KOLORS, batch_size=4)
    assert len(answer.json()["images"]) == simulator.charges[0].pictures == 1
    assert simulator.requests[0].body["batch_size"] == 4


def test_the_international_site_still_takes_batch_size(
    on: Callable[..., Simulator], generate: Generate
) -> None:
    body = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    assert generate(on("today", "com"), body, batch_size=2).status_code == 200


def test_an_unknown_way_with_removed_fields_is_an_error() -> None:
    with pytest.raises(ValueError, match="removed_fields"):
        Simulator(removed_fields="keep")  # type: ignore[arg-type]


def marked(simulator: Simulator, **headers: str) -> np.ndarray[Any, Any]:
    """Return the corner of an image in which a mark would be."""
    answer = requests.post(
        f"{simulator.base_url}/images/generations",
        json={**KOLORS, "seed": 5, "image_size": "640x640"},
        headers={"Authorization": f"Bearer {simulator.key}", **headers},
        timeout=20,
    )
    return np.asarray(image_of(answer).crop((400, 0, 640, 100)), int)


def test_an_image_bears_a_visible_mark_since_it_must(on: Callable[..., Simulator]) -> None:
    before, after = marked(on("2026-09-29")), marked(on("2026-09-30"))
    assert np.abs(before - after).max() > 100


def test_a_header_leaves_the_mark_out(on: Callable[..., Simulator]) -> None:
    simulator, before = on("today"), marked(on("2026-09-29"))
    assert np.array_equal(before, marked(simulator, **{"X-Enable-Watermark": "0"}))
    assert not np.array_equal(before, marked(simulator, **{"X-Enable-Watermark": "1"}))
    assert [record.watermark_off for record in simulator.requests[::2]] == [True, False]


def test_the_international_site_draws_no_mark(
    on: Callable[..., Simulator], generate: Generate
) -> None:
    body = {**TURBO, "image_size": "512x512", "seed": 1}
    assert image_of(generate(on("today", "com"), body)) == image_of(
        generate(on("2026-01-01", "com"), body)
    )


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("Kwai-Kolors/Kolors", {}),
        ("Qwen/Qwen-Image", {}),
        ("Tongyi-MAI/Z-Image", {}),
        ("Tongyi-MAI/Z-Image-Turbo", {}),
    ],
)
def test_too_many_pixels_are_refused_without_a_code(
    today: Simulator, generate: Generate, model: str, fields: Any
) -> None:
    body = {"model": model, "prompt": "x", **fields}
    assert generate(today, body, image_size="1920x1080").status_code == 200
    answer = generate(today, body, image_size="1921x1080")
    assert answer.status_code == 400
    assert answer.json() == {"message": "width * height should not exceed 2073600"}


@pytest.mark.parametrize(("as_of", "status"), [("today", 200), ("ever", 400)])
def test_the_newer_edit_model_takes_cfg(
    on: Callable[..., Simulator], generate: Generate, red_square: str, as_of: str, status: int
) -> None:
    assert generate(on(as_of), EDIT, image=red_square, cfg=4).status_code == status


@pytest.mark.parametrize(("as_of", "status"), [("today", 200), ("ever", 400)])
def test_ultra_takes_a_negative_prompt(
    on: Callable[..., Simulator], generate: Generate, as_of: str, status: int
) -> None:
    body = {"model": "black-forest-labs/FLUX-1.1-pro-Ultra", "prompt": "x"}
    simulator = on(as_of, "com")
    assert (
        generate(simulator, body, negative_prompt="fog", image_size="320x240").status_code == status
    )


def test_the_answer_has_both_lists_and_when_it_was_created(
    today: Simulator, generate: Generate
) -> None:
    odd, even = (generate(today, KOLORS, seed=seed).json() for seed in (1, 2))
    assert set(even) == {"images", "data", "created", "timings", "seed"}
    assert even["images"] == even["data"]
    assert set(odd) - set(even) == {"shared_id"}


def test_the_document_of_2024_shows_one_list(
    on: Callable[..., Simulator], generate: Generate
) -> None:
    answer = generate(on("2024-12-01"), KOLORS, batch_size=1)
    assert set(answer.json()) == {"images", "timings", "seed"}


# Chat


@pytest.mark.parametrize(("as_of", "status"), [("2025-12-31", 400), ("2026-01-01", 200)])
def test_more_than_ten_messages_are_taken_since_2026(
    on: Callable[..., Simulator], chat: Generate, as_of: str, status: int
) -> None:
    messages = [{"role": "user", "content": "x"}] * 30
    assert chat(on(as_of), "", messages=messages).status_code == status


@pytest.mark.parametrize(("max_tokens", "status"), [(4096, 200), (32768, 200), (32769, 400)])
def test_max_tokens_is_bounded_by_the_context(
    today: Simulator, chat: Generate, max_tokens: int, status: int
) -> None:
    assert chat(today, "x", model=WRITER, max_tokens=max_tokens).status_code == status


def test_max_tokens_was_4096_at_most_in_2024(on: Callable[..., Simulator], chat: Generate) -> None:
    assert chat(on("2024-12-01"), "x", model=WRITER, max_tokens=4097).status_code == 400


@pytest.mark.parametrize("model", [WRITER, ALWAYS])
def test_a_model_without_both_ways_refuses_enable_thinking(
    today: Simulator, chat: Generate, model: str
) -> None:
    answer = chat(today, "x", model=model, enable_thinking=False)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert answer.json()["message"].endswith("does not support parameter `enable_thinking`.")


@pytest.mark.parametrize(("model", "field"), [(WRITER, "thinking_budget"), (ALWAYS, "min_p")])
def test_a_newer_field_is_refused_by_a_model_without_it(
    today: Simulator, chat: Generate, model: str, field: str
) -> None:
    for name, status in ((model, 400), (THINKER, 200)):
        answer = chat(today, "x", model=name, **{field: {"thinking_budget": 128}.get(field, 0.1)})
        assert answer.status_code == status


@pytest.mark.parametrize("thinks", [True, False])
def test_a_model_with_both_ways_thinks_as_set(
    today: Simulator, chat: Generate, thinks: bool
) -> None:
    answer = chat(today, "x", model=THINKER, enable_thinking=thinks).json()
    assert ("reasoning_content" in answer["choices"][0]["message"]) == thinks


def test_with_a_small_max_tokens_all_of_it_is_thought(today: Simulator, chat: Generate) -> None:
    (choice,) = chat(today, "x", model=THINKER, max_tokens=8).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert choice["message"]["reasoning_content"]


@pytest.mark.parametrize(("budget", "status"), [(127, 400), (128, 200), (32768, 200), (32769, 400)])
def test_thinking_budget_has_its_range(
    today: Simulator, chat: Generate, budget: int, status: int
) -> None:
    assert chat(today, "x", model=THINKER, thinking_budget=budget).status_code == status


@pytest.mark.parametrize(
    ("model", "effort", "status"),
    [(FLASH, "high", 200), (FLASH, "max", 200), (FLASH, "low", 400), (THINKER, "high", 400)],
)
def test_reasoning_effort_is_for_the_model_that_has_it(
    today: Simulator, chat: Generate, model: str, effort: str, status: int
) -> None:
    assert chat(today, "x", model=model, reasoning_effort=effort).status_code == status


@pytest.mark.parametrize(("min_p", "status"), [(0, 200), (1, 200), (1.1, 400)])
def test_min_p_has_its_range(today: Simulator, chat: Generate, min_p: float, status: int) -> None:
    assert chat(today, "x", model=THINKER, min_p=min_p).status_code == status


def test_at_most_128_tools_are_taken(today: Simulator, chat: Generate) -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    statuses = [chat(today, "x", tools=[tool] * count).status_code for count in (128, 129)]
    assert statuses == [200, 400]


def test_a_conversation_longer_than_the_context_is_refused(
    today: Simulator, chat: Generate
) -> None:
    answer = chat(today, "字" * 32769, model=WRITER)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert answer.json()["message"].startswith("number of input tokens (32769) has exceeded")


def test_each_chunk_of_a_stream_says_what_was_used(today: Simulator, chat: Generate) -> None:
    content = chat(today, "x", stream=True).content.decode()
    events = [json.loads(line[6:]) for line in content.split("\n\n") if "{" in line]
    written = [event["usage"]["completion_tokens"] for event in events]
    assert written == sorted(written)
    assert written[0] == 0 < written[-1]


@pytest.mark.parametrize("model", ["Qwen/Qwen3.5-4B", "PaddlePaddle/PaddleOCR-VL-1.5"])
def test_a_free_model_that_sees_is_shown_an_image(
    today: Simulator, chat: Generate, red_square: str, model: str
) -> None:
    content = [{"type": "image_url", "image_url": {"url": red_square}}]
    answer = chat(today, content, model=model, max_tokens=2000).json()
    assert "mostly red" in answer["choices"][0]["message"]["content"]


def test_a_video_can_be_shown(today: Simulator, chat: Generate) -> None:
    video = {"url": "https://example.com/a.mp4", "fps": 2, "max_frames": 16}
    answer = chat(
        today, [{"type": "video_url", "video_url": video}], model="Qwen/Qwen3-VL-32B-Instruct"
    )
    assert "video_url https://example.com/a.mp4" in answer.text


# Speech


@pytest.mark.parametrize(("count", "status"), [(1, 200), (2, 200), (3, 400)])
def test_two_speakers_have_a_reference_each(
    today: Simulator, post: Generate, count: int, status: int
) -> None:
    reference = {"audio": "https://example.com/a.wav", "text": "Hello"}
    body = {
        "model": "fnlp/MOSS-TTSD-v0.5",
        "input": "[S1]Hello[S2]Good evening",
        "voice": "",
        "references": [reference] * count,
        "max_tokens": 2048,
    }
    assert post(today, "/audio/speech", body).status_code == status


def test_the_dialogue_model_has_voices(today: Simulator, post: Generate) -> None:
    model = "fnlp/MOSS-TTSD-v0.5"
    body = {"model": model, "input": "[S1]Hello", "voice": f"{model}:alex"}
    assert post(today, "/audio/speech", body).status_code == 200


# Embeddings and rerank


@pytest.mark.parametrize(
    ("model", "size", "status"),
    [
        ("Qwen/Qwen3-Embedding-8B", 4096, 200),
        ("Qwen/Qwen3-Embedding-8B", 1000, 400),
        ("Qwen/Qwen3-Embedding-4B", 2048, 200),
        ("Qwen/Qwen3-Embedding-4B", 4096, 400),
        ("Qwen/Qwen3-Embedding-0.6B", 1024, 200),
        ("Qwen/Qwen3-Embedding-0.6B", 2048, 400),
        ("BAAI/bge-m3", 1024, 400),
    ],
)
def test_a_model_offers_its_own_lengths(
    today: Simulator, post: Generate, model: str, size: int, status: int
) -> None:
    answer = post(today, "/embeddings", {"model": model, "input": "x", "dimensions": size})
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == 20015


def test_images_and_texts_share_the_vectors_of_a_model_that_sees(
    today: Simulator, post: Generate, red_square: str
) -> None:
    given = [{"image": red_square}, {"text": "mostly red"}, "a stock market"]
    body = {"model": "Qwen/Qwen3-VL-Embedding-8B", "input": given}
    answer = post(today, "/embeddings", body).json()["data"]
    red, same, other = (np.array(entry["embedding"]) for entry in answer)
    assert red @ same > red @ other


@pytest.mark.parametrize("given", [{"text": "x"}, {"image": "https://example.com/a.png"}])
def test_a_model_that_only_reads_takes_texts_alone(
    today: Simulator, post: Generate, given: Any
) -> None:
    answer = post(today, "/embeddings", {"model": "BAAI/bge-m3", "input": [given]})
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)


def test_images_can_be_ranked(today: Simulator, post: Generate, red_square: str) -> None:
    documents = [{"text": "the stock market"}, {"image": red_square}]
    body = {"model": "Qwen/Qwen3-VL-Reranker-8B", "query": "red", "documents": documents}
    results = post(today, "/rerank", {**body, "return_documents": True}).json()["results"]
    assert (results[0]["index"], "image" in results[0]["document"]) == (1, True)


@pytest.mark.parametrize(
    ("model", "field", "value", "status"),
    [
        ("Qwen/Qwen3-Reranker-8B", "instruction", "Rank by mood", 200),
        ("Qwen/Qwen3-Reranker-8B", "max_chunks_per_doc", 8, 400),
        ("Qwen/Qwen3-Reranker-8B", "overlap_tokens", 8, 400),
        ("BAAI/bge-reranker-v2-m3", "instruction", "Rank by mood", 400),
        ("BAAI/bge-reranker-v2-m3", "overlap_tokens", 8, 200),
    ],
)
def test_a_reranker_takes_its_own_fields(  # noqa: PLR0917 - four of them are the case
    today: Simulator, post: Generate, model: str, field: str, value: Any, status: int
) -> None:
    body = {"model": model, "query": "x", "documents": ["x"], field: value}
    assert post(today, "/rerank", body).status_code == status
