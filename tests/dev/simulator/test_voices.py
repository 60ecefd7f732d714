"""Voices: uploaded, listed, spoken with, deleted."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, sound

Generate = Callable[..., requests.Response]

COSY = "FunAudioLLM/CosyVoice2-0.5B"
SAMPLE = sound.wav(bytes(32000), 16000)
DATA_URL = f"data:audio/wav;base64,{base64.b64encode(SAMPLE).decode()}"
WORDS = {"model": COSY, "customName": "my-voice", "text": "What I say"}
UPLOAD = "/uploads/audio/voice"


def as_form(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: (None, value) for name, value in fields.items()}


def as_file(content: bytes = SAMPLE) -> dict[str, Any]:
    return {"file": ("me.wav", content, "audio/wav")}


def delete(simulator: Simulator, post: Generate, uri: str) -> requests.Response:
    return post(simulator, "/audio/voice/deletions", {"uri": uri})


@pytest.mark.parametrize(
    "how",
    [
        {"data": WORDS, "files": as_file()},
        {"files": as_form({**WORDS, "audio": DATA_URL})},
        {"body": {**WORDS, "audio": DATA_URL}},
    ],
    ids=["file", "base64 in a form", "base64 in JSON"],
)
def test_a_voice_can_be_uploaded(simulator: Simulator, post: Generate, how: Any) -> None:
    answer = post(simulator, UPLOAD, **how)
    assert set(answer.json()) == {"uri"}
    assert answer.json()["uri"].startswith("speech:my-voice:")


def test_an_uploaded_voice_is_listed(simulator: Simulator, post: Generate, get: Generate) -> None:
    uri = post(simulator, UPLOAD, data=WORDS, files=as_file()).json()["uri"]
    assert get(simulator, "/audio/voice/list").json() == {"result": [{**WORDS, "uri": uri}]}


def test_the_list_may_bear_its_documented_name(simulator: Simulator, get: Generate) -> None:
    simulator.voice_lists = ("results",)
    assert get(simulator, "/audio/voice/list").json() == {"results": []}


def test_an_uploaded_voice_can_speak(simulator: Simulator, post: Generate) -> None:
    uri = post(simulator, UPLOAD, data=WORDS, files=as_file()).json()["uri"]
    body = {"model": COSY, "input": "Hello", "voice": uri, "response_format": "wav"}
    assert post(simulator, "/audio/speech", body).status_code == 200


def test_a_voice_speaks_for_its_own_model_alone(simulator: Simulator, post: Generate) -> None:
    uri = post(simulator, UPLOAD, data=WORDS, files=as_file()).json()["uri"]
    body = {"model": "fishaudio/fish-speech-1.5", "input": "Hello", "voice": uri}
    assert post(simulator, "/audio/speech", body).status_code == 400


def test_a_deleted_voice_is_gone(simulator: Simulator, post: Generate) -> None:
    uri = post(simulator, UPLOAD, data=WORDS, files=as_file()).json()["uri"]
    assert delete(simulator, post, uri).status_code == 200
    assert simulator.voices == []
    assert delete(simulator, post, uri).status_code == 400


def test_voices_cost_nothing(simulator: Simulator, post: Generate) -> None:
    post(simulator, UPLOAD, data=WORDS, files=as_file())
    assert simulator.charges == []


def test_a_voice_whose_answer_was_lost_is_kept_all_the_same(
    simulator: Simulator, post: Generate
) -> None:
    simulator.fail(504, on="voice_upload", made=True)
    assert post(simulator, UPLOAD, data=WORDS, files=as_file()).status_code == 504
    assert len(simulator.voices) == 1


@pytest.mark.parametrize("missing", ["model", "customName", "text"])
def test_a_required_part_must_be_there(simulator: Simulator, post: Generate, missing: str) -> None:
    words = {name: value for name, value in WORDS.items() if name != missing}
    answer = post(simulator, UPLOAD, data=words, files=as_file())
    assert (answer.status_code, missing in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize(
    "how",
    [
        {"files": as_form(WORDS)},
        {"data": {**WORDS, "audio": DATA_URL}, "files": as_file()},
        {"data": WORDS, "files": as_file(b"no sound at all")},
        {"files": as_form({**WORDS, "audio": "UklGRg=="})},
        {"files": as_form({**WORDS, "audio": "data:audio/wav;base64,?"})},
        {"files": as_form({**WORDS, "file": "me.wav"})},
        {"data": WORDS},
        {"data": {**WORDS, "customName": ""}, "files": as_file()},
    ],
)
def test_an_upload_that_breaks_a_rule_is_refused(
    simulator: Simulator, post: Generate, how: Any
) -> None:
    answer = post(simulator, UPLOAD, **how)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert simulator.voices == []


def test_a_form_without_its_boundary_is_refused(simulator: Simulator) -> None:
    headers = {"Authorization": f"Bearer {simulator.key}", "Content-Type": "multipart/form-data"}
    answer = requests.post(simulator.base_url + UPLOAD, data=b"x", headers=headers, timeout=20)
    assert answer.status_code == 400


def test_a_model_that_hears_has_no_voices(simulator: Simulator, post: Generate) -> None:
    words = {**WORDS, "model": "FunAudioLLM/SenseVoiceSmall"}
    assert post(simulator, UPLOAD, data=words, files=as_file()).json()["code"] == 20012


def test_a_deletion_needs_a_uri(simulator: Simulator, post: Generate) -> None:
    assert post(simulator, "/audio/voice/deletions", {}).status_code == 400
