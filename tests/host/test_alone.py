"""Each node of words, speech and the account runs alone in ComfyUI, and gives what it should."""

from __future__ import annotations

import csv
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, sound
from comfyui_siliconflow.tests.host.comfy import Comfy

Json = dict[str, Any]
Outputs = Callable[..., list[list[str]]]

COSY = "FunAudioLLM/CosyVoice2-0.5B"
RATE = 44100
CAPTIONS = "the stock market\na cat on a mat\na dog in the rain"


@pytest.fixture
def outputs(comfy: Comfy) -> Outputs:
    """Run one node alone, with a Preview as Text for each of these outputs; gives what they show.

    One more input may be a recording: a file of ComfyUI's input folder.
    """

    def run(node: str, places: Sequence[int], recording: Path | None = None, **inputs: Any) -> Any:
        audio = {"audio": ["2", 0]} if recording else {}
        prompt = {"1": {"class_type": f"SiliconFlow{node}", "inputs": {**inputs, **audio}}}
        if recording:
            prompt["2"] = {"class_type": "LoadAudio", "inputs": {"audio": recording.name}}
        shows = {f"{at + 10}": ["1", at] for at in places}
        for name, source in shows.items():
            prompt[name] = {"class_type": "PreviewAny", "inputs": {"source": source}}
        ended = comfy.run(prompt)
        assert ended.status == "success", ended.entry["status"]
        return [ended.entry["outputs"][name]["text"] for name in shows]

    return run


@pytest.fixture
def speak(comfy: Comfy, service: Simulator) -> Callable[[str], Path]:
    """Put a recording of the service's own voice, which says this, into ComfyUI's input folder."""

    def spoken(text: str) -> Path:
        values = {"model": COSY, "input": text, "voice": f"{COSY}:anna", "response_format": "wav"}
        headers = {"Authorization": f"Bearer {service.key}"}
        url = f"{service.base_url}/audio/speech"
        file = comfy.folder / "input" / f"{secrets.token_hex(6)}.wav"
        file.write_bytes(requests.post(url, json=values, headers=headers, timeout=10).content)
        return file

    return spoken


@pytest.fixture
def voice(service: Simulator) -> str:
    """Return a voice that the account has."""
    silence = sound.wav(bytes(2 * RATE), RATE)
    answer = requests.post(
        f"{service.base_url}/uploads/audio/voice",
        headers={"Authorization": f"Bearer {service.key}"},
        data={"model": COSY, "customName": f"voice-{secrets.token_hex(4)}", "text": "Hello"},
        files={"file": ("audio.wav", silence, "audio/wav")},
        timeout=10,
    )
    return str(answer.json()["uri"])


def uris(service: Simulator) -> set[str]:
    return {voice["uri"] for voice in service.voices}


def sent(service: Simulator) -> Json:
    """Return the last request with a body; the balance, requested after a run, has none."""
    return next(record.body for record in reversed(service.requests) if record.body)


def named() -> str:
    """Return a name that nothing had before."""
    return secrets.token_hex(4)


def test_chat_answers_in_words_and_reports_them(service: Simulator, outputs: Outputs) -> None:
    prompt = f"Tell me of kite {named()}"
    model = "Qwen/Qwen2.5-7B-Instruct"
    [[text], [info]] = outputs("Chat", (0, 4), model=model, prompt=prompt, seed=7)
    assert prompt in text
    assert json.loads(info)["model"] == sent(service)["model"] == model


def test_text_to_speech_gives_a_sound_of_its_length(comfy: Comfy, service: Simulator) -> None:
    said = f"Kite {named()}"
    values = {"model": COSY, "input": said, "sample_rate": "24000"}
    ended = comfy.run(
        {
            "1": {"class_type": "SiliconFlowTextToSpeech", "inputs": values},
            "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "a"}},
            "3": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
        }
    )
    assert ended.status == "success", ended.entry["status"]
    assert sent(service)["input"] == said
    [saved] = ended.entry["outputs"]["2"]["audio"]
    head = (ended.folder / saved["type"] / saved["subfolder"] / saved["filename"]).read_bytes()[:26]
    info = json.loads(ended.entry["outputs"]["3"]["text"][0])
    rate, samples = (
        int.from_bytes(head[18:21], "big") >> 4,
        int.from_bytes(head[21:26], "big") & (1 << 36) - 1,
    )
    assert (head[:4], rate, info["sample_rate"]) == (b"fLaC", 24000, 24000)
    assert samples / rate == pytest.approx(info["length"], abs=0.01)
    assert info["length"] > 1


@pytest.mark.usefixtures("service")
def test_speech_to_text_hears_what_was_said(outputs: Outputs, speak: Callable[[str], Path]) -> None:
    said = f"A red kite, number {named()}"
    model = "FunAudioLLM/SenseVoiceSmall"
    [[text], texts, [info]] = outputs("SpeechToText", (0, 1, 2), speak(said), model=model)
    assert (text, texts, json.loads(info)["texts"]) == (said, [said], [said])


@pytest.mark.usefixtures("service")
def test_a_long_recording_goes_up_packed(comfy: Comfy, outputs: Outputs) -> None:
    """As a WAV it would be larger than the service takes."""
    file = comfy.folder / "input" / f"{secrets.token_hex(6)}.wav"
    file.write_bytes(sound.wav(bytes(2 * 16000 * 1600), 16000))
    [[text]] = outputs("SpeechToText", (0,), file, model="FunAudioLLM/SenseVoiceSmall")
    assert text.startswith("(mp3, 12")


def test_upload_voice_makes_a_voice_of_a_recording(
    service: Simulator, outputs: Outputs, speak: Callable[[str], Path]
) -> None:
    name = f"voice-{named()}"
    values = {"model": COSY, "customName": name, "text": "A red kite"}
    [[uri]] = outputs("UploadVoice", (0,), speak(f"A red kite {name}"), **values)
    assert {"uri": uri, **values} in service.voices


def test_voices_lists_those_of_the_account(
    service: Simulator, outputs: Outputs, voice: str
) -> None:
    [voices, [text]] = outputs("Voices", (0, 1), refresh=secrets.randbelow(10**9))
    assert voice in voices
    assert set(voices) == uris(service)
    assert {item["uri"] for item in json.loads(text)["voices"]} == set(voices)


def test_delete_voice_deletes_that_one(service: Simulator, outputs: Outputs, voice: str) -> None:
    others = uris(service) - {voice}
    assert outputs("DeleteVoice", (0,), uri=voice) == [[voice]]
    assert uris(service) == others


@pytest.mark.usefixtures("service")
def test_embeddings_tell_how_alike_texts_are(outputs: Outputs) -> None:
    texts = [f"a cat {named()}", "the stock market", "a cat"]
    node_outputs = outputs("Embeddings", (2, 3, 4), model="BAAI/bge-m3", input="\n".join(texts))
    [info], [table], scores = node_outputs
    assert json.loads(info)["closest"][0]["closest"] == 2
    rows = list(csv.reader(table.splitlines()))
    assert rows[0] == ["", *texts]
    assert [float(number) for number in rows[1][1:]] == pytest.approx(
        [float(score) for score in scores], abs=1e-3
    )
    assert float(scores[0]) == pytest.approx(1)


@pytest.mark.usefixtures("service")
def test_rerank_puts_the_text_that_answers_first(outputs: Outputs) -> None:
    values = {"model": "BAAI/bge-reranker-v2-m3", "query": "a dog", "documents": CAPTIONS}
    [best], texts, scores, indices = outputs("Rerank", (0, 1, 2, 3), **values)
    assert best == texts[0] == "a dog in the rain"
    assert [CAPTIONS.splitlines()[int(index)] for index in indices] == texts
    assert [float(score) for score in scores] == sorted(map(float, scores), reverse=True)


def test_account_gives_the_balance_as_a_number(service: Simulator, outputs: Outputs) -> None:
    refresh = secrets.randbelow(10**9)
    [[balance], [status], [info]] = outputs("Account", (0, 1, 2), refresh=refresh)
    assert float(balance) == float(service.balance)
    assert status == json.loads(info)["status"] == "normal"


@pytest.mark.usefixtures("service")
def test_models_lists_those_of_a_kind(outputs: Outputs) -> None:
    values = {"type": "audio", "sub_type": "all", "refresh": secrets.randbelow(10**9)}
    [models, [text]] = outputs("Models", (0, 1), **values)
    assert "FunAudioLLM/SenseVoiceSmall" in models
    assert "Kwai-Kolors/Kolors" not in models
    assert text.splitlines() == models


@pytest.mark.parametrize(
    ("node", "nothing"),
    [
        ("Models", {"on": "models", "body": {"data": []}}),
        ("Voices", {"on": "voice_list", "body": {"result": []}}),
    ],
)
def test_an_empty_list_is_no_error_and_what_is_connected_does_not_run(
    comfy: Comfy, service: Simulator, node: str, nothing: Any
) -> None:
    service.fail(200, **nothing)
    charges = len(service.charges)
    linked = {"model": COSY, "input": named(), "custom_voice": ["1", 0]}
    heard = comfy.listen(
        {
            "1": {"class_type": f"SiliconFlow{node}", "inputs": {"refresh": 1}},
            "2": {"class_type": "SiliconFlowTextToSpeech", "inputs": linked},
            "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 1]}},
            "4": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
        },
        until={"execution_success"},
    )
    assert heard.data("execution_error") == []
    assert "4" in {event["node"] for event in heard.data("executed")}
    assert "3" not in {event["node"] for event in heard.data("executed")}
    assert len(service.charges) == charges


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("Chat", {"prompt": "Hi"}),
        ("TextToSpeech", {"input": "Hi"}),
        ("Embeddings", {"input": "Hi"}),
        ("Rerank", {"query": "Hi", "documents": "Hi"}),
    ],
)
def test_a_model_that_is_in_no_list_is_refused_before_anything_runs(
    comfy: Comfy, service: Simulator, node: str, inputs: Json
) -> None:
    before = posted(service)
    node_of_prompt = {
        "class_type": f"SiliconFlow{node}",
        "inputs": {"model": "Gone/Model", **inputs},
    }
    shown = {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    answer = comfy.post("/prompt", {"prompt": {"1": node_of_prompt, "2": shown}})
    assert answer.status_code == 400
    (first, *_) = answer.json()["node_errors"]["1"]["errors"]
    assert '"Gone/Model" is not in the list' in first["details"]
    assert posted(service) == before


def posted(service: Simulator) -> int:
    """Return how many requests came that are not lookups, which may follow an earlier run."""
    return sum(record.method == "POST" for record in service.requests)
