"""Texts that people do not type, but other nodes and programs produce, in every text input."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine.services import current_settings, job_history_for
from comfyui_siliconflow.nodes.base import Node
from comfyui_siliconflow.siliconflow.errors import BadRequest, InvalidInput
from comfyui_siliconflow.storage.settings import InvalidSettings, Settings
from comfyui_siliconflow.strings.text import well_formed
from comfyui_siliconflow.tasks.speech_tasks import plan_speech
from comfyui_siliconflow.tests.waiting import pack_threads, until
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

DRAW, SPEAK = "SiliconFlowTextToImage", "SiliconFlowTextToSpeech"
HALF = "\ud83d"
ODD = (HALF, "a\0b", "\x1b[31m\x07\x7f", "\u202eabc\u200f", "\r\n\t", "\ufeff", "\ufffe", "🙂" * 9)
TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
IMAGE = torch.zeros(1, 32, 32, 3)
GIVEN: dict[str, dict[str, Any]] = {
    "SiliconFlowTextToImage": {"image_size": "custom", "width": 64, "height": 64},
    "SiliconFlowImageToImage": {"image_size": "custom", "width": 64, "height": 64, "image": IMAGE},
    "SiliconFlowImageEdit": {"image": IMAGE},
    "SiliconFlowChat": {"model": "Qwen/Qwen2.5-7B-Instruct"},
}
SOUND = {"waveform": torch.zeros(1, 1, 16000), "sample_rate": 16000}
GOES_WITH: dict[str, dict[str, Any]] = {"reference_text": {"reference_audio": SOUND}}


def text_inputs(node: type[Node]) -> list[str]:
    groups = node.INPUT_TYPES()
    fields = {**groups["required"], **groups["optional"]}
    return [name for name, (kind, _) in fields.items() if kind == "STRING"]


CASES = [
    (node_id, name) for node_id, node in NODE_CLASS_MAPPINGS.items() for name in text_inputs(node)
]


def inputs_of(node_id: str) -> dict[str, Any]:
    """Return inputs with which a node succeeds."""
    groups = NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()
    values: dict[str, Any] = {}
    for name, (kind, options) in groups["required"].items():
        if kind == "IMAGE":
            values[name] = IMAGE
        elif kind == "AUDIO":
            values[name] = SOUND
        else:
            values[name] = "cat" if kind == "STRING" else options["default"]
    return {**values, **GIVEN.get(node_id, {})}


def run(node_id: str, name: str, words: str) -> tuple[Any, ...]:
    node = NODE_CLASS_MAPPINGS[node_id]()
    inputs = {**inputs_of(node_id), **GOES_WITH.get(name, {}), name: words}
    if getattr(node, "INPUT_IS_LIST", False):
        inputs = {key: [value] for key, value in inputs.items()}
    outputs: tuple[Any, ...] = asyncio.run(node.execute(**inputs))
    return outputs


def error_of(node_id: str, name: str, words: str) -> InvalidInput | BadRequest | None:
    try:
        run(node_id, name, words)
    except (InvalidInput, BadRequest) as error:
        return error
    return None


@pytest.fixture(scope="module")
def started() -> Iterator[Simulator]:
    """Serve the site of today for all examples."""
    with Simulator(site="cn", as_of="today", balance="100000") as simulator:
        yield simulator


@pytest.mark.parametrize(("node_id", "name"), CASES)
def test_any_text_is_sent_or_refused_by_the_name_of_its_input(
    started: Simulator, use: Callable[[Simulator], None], node_id: str, name: str
) -> None:
    use(started)

    @settings(
        max_examples=8,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(TEXTS)
    def try_out(words: str) -> None:
        error = error_of(node_id, name, words)
        if isinstance(error, InvalidInput):
            assert error.name == name
        elif error:  # a model, a voice, a field that the service does not have
            assert name in {"custom_model", "custom_voice", "uri", "extra_body"}, error

    for words in ODD:
        try_out = example(words)(try_out)
    try_out()


LONG = "a cat on a mat. " * (1 << 16)
"""A mebibyte."""


@pytest.mark.parametrize(
    ("node_id", "name"), [case for case in CASES if case != ("SiliconFlowTextToSpeech", "input")]
)
def test_a_mebibyte_of_text_is_sent_or_refused_by_the_name_of_its_input(
    started: Simulator, use: Callable[[Simulator], None], node_id: str, name: str
) -> None:
    use(started)
    error = error_of(node_id, name, LONG)
    assert len(str(error)) < 1000
    if isinstance(error, InvalidInput):  # else the service refuses it: too many tokens
        assert error.name == name


def test_a_text_of_a_mebibyte_is_cut_into_pieces_for_speech() -> None:
    plan = plan_speech({**inputs_of(SPEAK), "input": LONG}, Settings())
    assert "".join(request.body["input"] for request in plan.requests) == LONG


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_half_an_emoji_is_replaced_with_a_note(
    started: Simulator, use: Callable[[Simulator], None], name: str
) -> None:
    use(started)
    _, _, info, *_ = run(DRAW, name, f"a cat {HALF} and 🙂")
    assert started.generations[-1].body[name] == "a cat \ufffd and 🙂"
    assert [note for note in json.loads(info)["notes"] if note.startswith(f"{name}: half")]


def test_the_halves_of_an_emoji_that_two_nodes_cut_and_joined_are_one_again(
    started: Simulator, use: Callable[[Simulator], None]
) -> None:
    use(started)
    run(DRAW, "prompt", "\ud83d" + "\ude42")
    assert started.generations[-1].body["prompt"] == "🙂"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (r'{"negative_prompt": "\ud83d"}', "\ufffd"),
        (r'{"negative_prompt": "x\uDE42\uD83D\uDE42"}', "x\ufffd🙂"),
        (r'{"negative_prompt": "\\ud83d"}', r"\ud83d"),
        (f'{{"negative_prompt": "{HALF}"}}', "\ufffd"),
    ],
)
def test_half_an_emoji_in_extra_body_is_replaced_however_it_is_written(
    started: Simulator, use: Callable[[Simulator], None], written: str, sent: str
) -> None:
    use(started)
    _, _, info, *_ = run(DRAW, "extra_body", written)
    assert started.generations[-1].body["negative_prompt"] == sent
    assert any("half a character" in note for note in json.loads(info)["notes"]) is (
        "\ufffd" in sent
    )


def test_a_text_with_half_an_emoji_in_the_list_of_a_node_is_replaced(
    started: Simulator, use: Callable[[Simulator], None]
) -> None:
    use(started)
    node = NODE_CLASS_MAPPINGS["SiliconFlowEmbeddings"]()
    inputs = {**inputs_of("SiliconFlowEmbeddings"), "texts": ["a", f"b{HALF}"]}
    asyncio.run(node.execute(**{k: v if k == "texts" else [v] for k, v in inputs.items()}))
    assert started.requests[-1].body["input"] == ["a", "b\ufffd", "cat"]


def test_a_workflow_with_half_an_emoji_is_kept_for_its_job(
    started: Simulator, use: Callable[[Simulator], None]
) -> None:
    use(started)
    node = NODE_CLASS_MAPPINGS[DRAW]()
    asyncio.run(
        node.execute(
            **inputs_of(DRAW), extra_pnginfo={"workflow": {"nodes": [], "title": f"x{HALF}"}}
        )
    )
    until(lambda: not pack_threads())
    history = job_history_for(current_settings())
    [job] = history.since(0)
    assert json.loads(history.workflow(job.id) or b"") == {"nodes": [], "title": "x\ufffd"}


def test_settings_with_half_an_emoji_are_refused_in_words_that_can_be_shown(
    write_settings: Callable[..., Path],
) -> None:
    write_settings(**{HALF: 1})
    with pytest.raises(InvalidSettings) as caught:
        current_settings()
    assert str(caught.value) == well_formed(str(caught.value))


@pytest.mark.parametrize("name", ["seed", "top_n"])
def test_a_number_in_extra_body_that_is_none_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run("SiliconFlowRerank", "extra_body", json.dumps({name: "two"}))
    assert caught.value.name == name


def test_an_endless_number_in_extra_body_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1e999 is not JSON"):
        run(DRAW, "extra_body", '{"x": 1e999}')
