"""Text to Speech of today: dialogues of two speakers, and voices that are cloned on the fly."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator, sound
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks.sentences import SPEAKER, turns
from comfyui_siliconflow.tasks.speech_tasks import PIECE, REFERENCE_RATE, plan_speech
from hypothesis import given
from hypothesis import strategies as some

Run = Callable[..., dict[str, Any]]

SPEAK = "SiliconFlowTextToSpeech"
COSY = "FunAudioLLM/CosyVoice2-0.5B"
MOSS = "fnlp/MOSS-TTSD-v0.5"
FISH = "fishaudio/fish-speech-1.4"
TALK = {"model": MOSS, "input": "[S1]Good morning.[S2]Is it?"}
HELLO = {"model": COSY, "input": "Hello there."}


def recording(seconds: float = 1.0, rate: int = 16000, items: int = 1, seed: int = 1) -> Any:
    dice = torch.Generator().manual_seed(seed)
    waveform = torch.rand(items, 1, round(rate * seconds), generator=dice) - 0.5
    return {"waveform": waveform, "sample_rate": rate}


FIRST = {"reference_audio": recording(), "reference_text": "What I say."}
SECOND = {"reference_audio2": recording(seed=2), "reference_text2": "What you say."}


def body_of(**inputs: Any) -> Any:
    """Return the body of the one request that a node of these inputs would send."""
    [request] = plan_speech(inputs, Settings()).requests
    return request.body


# Dialogues


def test_a_dialogue_is_spoken_with_its_marks(today: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(SPEAK, **TALK, voice="claire")
    assert outputs["info"]["length"] > 0
    assert today.requests[0].body == {
        **TALK,
        "voice": f"{MOSS}:claire",
        "response_format": "wav",
    }


def test_each_piece_of_a_long_dialogue_begins_with_the_mark_of_its_speaker(
    today: Simulator, outputs_of: Run
) -> None:
    long = "".join(
        f"[S1]Number {n} is what I count. [S2]I hear the number {n}. " for n in range(40)
    )
    monologue = "[S1]" + "And then I said one more thing. " * 60
    outputs = outputs_of(SPEAK, model=MOSS, input=long + monologue)
    spoken = [record.body["input"] for record in today.requests]
    assert outputs["info"]["pieces"] == len(spoken) >= 4
    assert all(SPEAKER.match(piece) and len(piece) <= PIECE for piece in spoken)
    assert sum(piece.startswith("[S1]And then") for piece in spoken) >= 2


@given(
    some.lists(
        some.tuples(some.sampled_from(["[S1]", "[S2]"]), some.text("ab. 。\n", max_size=60)),
        min_size=1,
        max_size=9,
    )
)
def test_every_word_of_a_dialogue_is_said_once_and_by_its_speaker(
    said: list[tuple[str, str]],
) -> None:
    pieces = turns("".join(mark + words for mark, words in said), 20)
    assert all(len(piece) <= 20 and SPEAKER.match(piece) for piece in pieces)
    assert said_by_each("".join(pieces)) == said_by_each("".join(map("".join, said)))


def said_by_each(dialogue: str) -> list[tuple[str, str]]:
    """Return each visible character with the mark of its speaker."""
    parts = [(f"[S{part[0]}", part[2:]) for part in dialogue.split("[S")[1:]]
    return [(mark, letter) for mark, words in parts for letter in words if not letter.isspace()]


def test_what_stands_before_the_first_mark_stays_without_one() -> None:
    assert turns("Intro. [S1]Hello there.[S2]Yes.", 24) == ["Intro. [S1]Hello there.", "[S2]Yes."]


def test_a_model_of_one_speaker_is_not_sent_a_dialogue(today: Simulator, outputs_of: Run) -> None:
    with pytest.raises(errors.InvalidInput, match=f"would read the marks aloud.*{MOSS}") as caught:
        outputs_of(SPEAK, **{**TALK, "model": COSY})
    assert caught.value.name == "input"
    assert today.requests == []


def test_a_number_of_tokens_is_sent_to_the_model_that_takes_it(
    today: Simulator, outputs_of: Run
) -> None:
    assert outputs_of(SPEAK, **TALK, max_tokens=4096)["info"]["not_sent"] == []
    assert outputs_of(SPEAK, **HELLO, max_tokens=4096)["info"]["not_sent"] == ["max_tokens"]
    assert [record.body.get("max_tokens") for record in today.requests] == [4096, None]


def test_the_service_s_own_number_of_tokens_leaves_a_request_as_it_was_before() -> None:
    assert body_of(**TALK, max_tokens=2048) == body_of(**TALK)


# Cloning


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_a_recording_and_its_text_stand_in_for_the_voice(
    today: Simulator, outputs_of: Run, rate: int
) -> None:
    heard = recording(2, rate)
    outputs_of(SPEAK, **HELLO, voice="anna", reference_audio=heard, reference_text=" Me. ")
    body = today.requests[0].body
    [reference] = body["references"]
    assert (body["voice"], reference["text"]) == ("", "Me.")
    head, _, data = reference["audio"].partition(",")
    sent = sound.read_wav(base64.b64decode(data))
    assert (head, sent.rate) == ("data:audio/wav;base64", min(rate, REFERENCE_RATE))
    assert sent.seconds == pytest.approx(2, abs=0.01)


def test_each_speaker_of_a_dialogue_is_cloned(today: Simulator, outputs_of: Run) -> None:
    outputs_of(SPEAK, **TALK, **FIRST, **SECOND)
    references = today.requests[0].body["references"]
    assert [each["text"] for each in references] == ["What I say.", "What you say."]
    assert references[0]["audio"] != references[1]["audio"]


def test_every_piece_of_a_long_text_is_spoken_in_the_cloned_voice(
    today: Simulator, outputs_of: Run
) -> None:
    outputs_of(SPEAK, model=COSY, input="".join(f"So it goes, {n}. " for n in range(160)), **FIRST)
    bodies = [record.body for record in today.requests]
    assert len(bodies) >= 3
    assert all(body["references"] == bodies[0]["references"] for body in bodies)


def test_the_same_voice_is_free_the_second_time_and_another_is_not(
    today: Simulator, outputs_of: Run
) -> None:
    for more in ({}, {}, {"reference_audio": recording(seed=3)}, {"reference_text": "Other."}):
        outputs_of(SPEAK, **HELLO, **{**FIRST, **more})
    assert len(today.charges) == 3


def test_two_of_the_longest_recordings_are_less_than_4_megabytes() -> None:
    longest = recording(29.9, 48000)
    inputs = {**TALK, **FIRST, **SECOND, "reference_audio": longest, "reference_audio2": longest}
    assert sum(len(each["audio"]) for each in body_of(**inputs)["references"]) < 4_000_000


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no text": ({**HELLO, **FIRST, "reference_text": " "}, "reference_text", "needs both"),
    "no recording": ({**HELLO, "reference_text": "Me"}, "reference_audio", "none is connected"),
    "no second recording": (
        {**TALK, **FIRST, "reference_text2": "You"},
        "reference_audio2",
        "none is connected",
    ),
    "the second alone": ({**TALK, **SECOND}, "reference_audio", "the voice of .S1. here too"),
    "a voice too": ({**HELLO, **FIRST, "custom_voice": "speech:me"}, "custom_voice", "not both"),
    "too long": (
        {**HELLO, **FIRST, "reference_audio": recording(30, 8000)},
        "reference_audio",
        "is 30.0 s long; it must be shorter than 30 s",
    ),
    "two recordings": (
        {**HELLO, **FIRST, "reference_audio": recording(items=2)},
        "reference_audio",
        "has 2 recordings",
    ),
    "no sound": ({**HELLO, **FIRST, "reference_audio": 1}, "reference_audio", "is not an AUDIO"),
    "one speaker": ({**HELLO, **FIRST, **SECOND}, "reference_audio2", f"can .{MOSS}."),
    "no cloning": (
        {"model": FISH, "input": "Hi", **FIRST},
        "reference_audio",
        f"can .{COSY}, {MOSS}.",
    ),
    "two voices of one text": (
        {"model": MOSS, "input": "[S1]Good morning. Is it?", **FIRST, **SECOND},
        "input",
        "in front of what each of the two speakers says",
    ),
    "marks alone": ({**TALK, "input": "[S1] [S2]"}, "input", "must not be empty"),
    "by extra_body": ({**HELLO, "extra_body": '{"references": []}'}, "extra_body", "references"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_sent_of_a_voice_that_would_be_another(
    today: Simulator, outputs_of: Run, case: str
) -> None:
    inputs, name, words = REFUSED[case]
    with pytest.raises(errors.InvalidInput, match=words) as caught:
        outputs_of(SPEAK, **inputs)
    assert caught.value.name == name
    assert today.requests == []


def test_a_text_that_is_hidden_at_a_model_is_not_sent_and_info_says_so(
    today: Simulator, outputs_of: Run
) -> None:
    told = outputs_of(SPEAK, **HELLO, reference_text2="of the model before")
    assert told["info"]["not_sent"] == ["reference_text2"]
    assert "references" not in today.requests[0].body


def test_a_model_that_the_catalogue_lacks_is_sent_a_recording_without_its_text() -> None:
    own = {**HELLO, "custom_model": "vendor/own"}
    [reference] = body_of(**own, reference_audio=recording())["references"]
    assert set(reference) == {"audio"}


# Sample rates


@pytest.mark.parametrize(
    ("kind", "rate", "nearest"),
    [
        ("wav", 48000, 44100),
        ("pcm", 48000, 44100),
        ("mp3", 8000, 32000),
        ("mp3", 48000, 44100),
        ("opus", 44100, 48000),
    ],
)
@pytest.mark.parametrize("model", [COSY, MOSS])
def test_a_rate_that_a_format_lacks_is_refused_with_the_nearest_that_it_has(  # noqa: PLR0917
    today: Simulator,
    outputs_of: Run,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    kind: str,
    rate: int,
    nearest: int,
) -> None:
    monkeypatch.setattr("comfyui_siliconflow.media.audio_files.has_decoder", lambda _kind: True)
    with pytest.raises(errors.InvalidInput, match=f"The nearest is {nearest}") as caught:
        outputs_of(SPEAK, model=model, input="Hi", response_format=kind, sample_rate=str(rate))
    assert caught.value.name == "sample_rate"
    assert today.requests == []
