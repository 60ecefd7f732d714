"""`POST /audio/speech` and `POST /audio/transcriptions`: text becomes sound and text again."""

import base64
import io
import wave
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, sound
from numpy.typing import NDArray

Generate = Callable[..., requests.Response]
Samples = NDArray[np.float64]

COSY = "FunAudioLLM/CosyVoice2-0.5B"
FISH = "fishaudio/fish-speech-1.4"
SENSE = "FunAudioLLM/SenseVoiceSmall"
TEXT = "The lighthouse is 40 metres high. 灯塔高四十米。"


def speak(simulator: Simulator, text: str = TEXT, **changes: Any) -> requests.Response:
    body = {"model": COSY, "input": text, "voice": f"{COSY}:anna", "response_format": "wav"}
    headers = {"Authorization": f"Bearer {simulator.key}"}
    url = f"{simulator.base_url}/audio/speech"
    content = {name: value for name, value in {**body, **changes}.items() if value is not None}
    return requests.post(url, json=content, headers=headers, timeout=20)


def transcribe(
    simulator: Simulator, content: bytes, model: str = SENSE, name: str = "a.wav"
) -> requests.Response:
    headers = {"Authorization": f"Bearer {simulator.key}"}
    url = f"{simulator.base_url}/audio/transcriptions"
    files = {"file": (name, content, "audio/wav")}
    return requests.post(url, data={"model": model}, files=files, headers=headers, timeout=20)


def samples_of(content: bytes) -> tuple[Samples, int]:
    with wave.open(io.BytesIO(content)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return data / 32768, file.getframerate()


def sample(seconds: float, rate: int = 8000) -> dict[str, str]:
    """Return a reference: a recording as a data URL, and its words."""
    content = sound.wav(bytes(2 * round(seconds * rate)), rate)
    return {"audio": f"data:audio/wav;base64,{base64.b64encode(content).decode()}", "text": "Hello"}


def resample(samples: Samples, rate: int, to: int) -> Samples:
    times = np.arange(int(len(samples) * to / rate)) * rate / to
    return np.interp(times, np.arange(len(samples)), samples)


def wav(samples: Samples, rate: int) -> bytes:
    return sound.wav(sound.to_int16(samples), rate)


# Speech


def test_speech_is_a_wav_of_the_default_rate(simulator: Simulator) -> None:
    answer = speak(simulator)
    samples, rate = samples_of(answer.content)
    assert (rate, answer.headers["Content-Type"]) == (44100, "application/octet-stream")
    assert np.abs(samples).max() > 0.2


def test_speech_comes_in_chunks(simulator: Simulator) -> None:
    headers = speak(simulator).headers
    assert (headers["Transfer-Encoding"], "Content-Length" in headers) == ("chunked", False)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 32000, 44100])
def test_the_sample_rate_is_as_requested(simulator: Simulator, rate: int) -> None:
    assert samples_of(speak(simulator, sample_rate=rate).content)[1] == rate


def test_pcm_is_the_wav_without_its_head(simulator: Simulator) -> None:
    pcm = speak(simulator, response_format="pcm").content
    assert len(pcm) > 10_000
    assert speak(simulator).content.endswith(pcm)


def test_longer_text_takes_longer(simulator: Simulator) -> None:
    short, long = (len(speak(simulator, "word " * count).content) for count in (2, 20))
    assert long > 3 * short


def test_speed_shortens_speech(simulator: Simulator) -> None:
    slow, fast = (len(speak(simulator, speed=speed).content) for speed in (1, 2))
    assert slow / fast == pytest.approx(2, rel=0.05)


def test_gain_makes_speech_louder(simulator: Simulator) -> None:
    quiet, loud = (
        np.abs(samples_of(speak(simulator, gain=gain).content)[0]).max() for gain in (-6, 6)
    )
    assert loud / quiet == pytest.approx(10 ** (12 / 20), rel=0.02)


def test_the_loudest_speech_is_not_clipped(simulator: Simulator) -> None:
    assert np.abs(samples_of(speak(simulator, gain=10).content)[0]).max() < 0.99


def test_voices_sound_different(simulator: Simulator) -> None:
    assert speak(simulator).content != speak(simulator, voice=f"{COSY}:alex").content


def test_a_reference_stands_in_for_a_voice(simulator: Simulator) -> None:
    assert speak(simulator, voice=None, references=[sample(1)]).status_code == 200


def test_a_reference_is_shorter_than_30_seconds(simulator: Simulator) -> None:
    for seconds, status in ((29.9, 200), (30, 400)):
        answer = speak(simulator, voice="", references=[sample(seconds)])
        assert (answer.status_code, "shorter" in answer.text) == (status, status == 400)


def test_another_reference_is_another_voice(simulator: Simulator) -> None:
    one, other = (
        speak(simulator, voice="", references=[sample(seconds)]).content for seconds in (1, 2)
    )
    assert one != other


@pytest.mark.parametrize(("kind", "rate"), [("mp3", 44100), ("mp3", 32000), ("opus", 48000)])
def test_a_compressed_file_is_of_its_kind(simulator: Simulator, kind: str, rate: int) -> None:
    content = speak(simulator, response_format=kind, sample_rate=rate).content
    assert sound.kind_of(content) == kind


@pytest.mark.parametrize(("kind", "rate"), [("mp3", 32000), ("mp3", 44100), ("opus", 48000)])
def test_a_compressed_file_is_a_tone_of_the_length_and_rate(
    simulator: Simulator, kind: str, rate: int
) -> None:
    content = speak(simulator, response_format=kind, sample_rate=rate).content
    with av.open(io.BytesIO(content), "r") as file:
        frames = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
        assert file.streams.audio[0].rate == rate
    heard = np.concatenate(frames)
    assert len(heard) / rate == pytest.approx(3.5, abs=1)
    assert 0.1 < np.abs(heard).max() < 0.4


def test_mp3_is_the_default(simulator: Simulator) -> None:
    assert sound.kind_of(speak(simulator, response_format=None).content) == "mp3"


@pytest.mark.parametrize(
    "changes",
    [
        {"input": ""},
        {"input": None},
        {"input": "x" * 128_001},
        {"voice": None},
        {"voice": "anna"},
        {"voice": f"{FISH}:anna"},
        {"voice": f"{COSY}:bob"},
        {"voice": "speech:mine:simulator:0000"},
        {"references": [{"audio": "https://a/b.mp3", "text": "x"}]},
        {"voice": "", "references": [{"audio": "https://a/b.mp3", "text": ""}]},
        {"voice": "", "references": [{"audio": "https://a/b.mp3"}]},
        {"voice": "", "references": [{"audio": "https://a/b.mp3", "text": "x", "name": "me"}]},
        {
            "voice": "",
            "references": [{"audio": "data:audio/wav;base64,UklGRgAAAABXQVZF", "text": "x"}],
        },
        {"voice": "", "references": [sample(1), sample(1)]},
        {"voice": "", "references": []},
        {"voice": ""},
        {"max_tokens": 2048},
        {"response_format": "flac"},
        {"sample_rate": 48000},
        {"sample_rate": 22050},
        {"response_format": "opus", "sample_rate": 44100},
        {"response_format": "mp3", "sample_rate": 16000},
        {"response_format": None, "sample_rate": 16000},
        {"speed": 0.2},
        {"speed": 4.1},
        {"gain": 10.1},
        {"gain": -11},
        {"pitch": 2},
    ],
)
def test_speech_that_breaks_a_rule_is_refused(simulator: Simulator, changes: Any) -> None:
    answer = speak(simulator, **changes)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)


def test_the_model_of_2024_takes_four_fields_alone(simulator: Simulator) -> None:
    four: dict[str, Any] = {"model": FISH, "voice": f"{FISH}:bella"}
    assert speak(simulator, **four).status_code == 200
    more: dict[str, Any] = {"speed": 1, "gain": 0, "sample_rate": 44100, "stream": True}
    for field, value in more.items():
        answer = speak(simulator, **{**four, field: value})
        assert (answer.status_code, field in answer.json()["message"]) == (400, True)


# Transcriptions


@pytest.mark.parametrize("model", [SENSE, "TeleAI/TeleSpeechASR"])
def test_speech_is_heard_as_the_text_it_was_made_from(simulator: Simulator, model: str) -> None:
    answer = transcribe(simulator, speak(simulator).content, model)
    assert answer.json() == {"text": TEXT}


@pytest.mark.parametrize("speed", [0.25, 0.8, 1.3, 4])
def test_speech_of_any_speed_is_heard(simulator: Simulator, speed: float) -> None:
    content = speak(simulator, "Slow or fast", speed=speed, sample_rate=8000).content
    assert transcribe(simulator, content).json()["text"] == "Slow or fast"


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_speech_that_was_resampled_is_recognised(simulator: Simulator, rate: int) -> None:
    samples, made = samples_of(speak(simulator).content)
    speak(simulator, "Something else, said after it")
    content = wav(resample(samples, made, rate), rate)
    assert transcribe(simulator, content).json()["text"] == TEXT


def test_speech_that_was_made_elsewhere_is_described(simulator: Simulator) -> None:
    samples, rate = samples_of(speak(simulator).content)
    with Simulator() as other:
        text = transcribe(other, wav(samples, rate)).json()["text"]
    assert "seconds without words, 44100 Hz, 1 channel" in text


@pytest.mark.parametrize("kind", ["mp3", "opus"])
def test_a_compressed_file_carries_its_text(simulator: Simulator, kind: str) -> None:
    content = speak(simulator, response_format=kind).content
    assert transcribe(simulator, content).json()["text"] == TEXT


def test_silence_has_no_words(simulator: Simulator) -> None:
    assert transcribe(simulator, wav(np.zeros(16000), 16000)).json()["text"] == ""


def test_a_tone_is_described(simulator: Simulator) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    text = transcribe(simulator, wav(tone, 16000)).json()["text"]
    assert text == "(2.0 seconds without words, 16000 Hz, 1 channel, mostly 440 Hz)"


@pytest.mark.parametrize("content", [b"", b"hello, I am no sound", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_sound_is_refused(simulator: Simulator, content: bytes) -> None:
    assert transcribe(simulator, content).status_code == 400


def test_a_recording_of_more_than_an_hour_is_refused(simulator: Simulator) -> None:
    content = sound.wav(bytes(2 * 100 * 3601), 100)
    assert transcribe(simulator, content).status_code == 400


def test_a_file_of_more_than_50_megabytes_is_refused(simulator: Simulator) -> None:
    content = sound.wav(bytes(50 * 1024 * 1024), 44100)
    assert transcribe(simulator, content).status_code == 413


def test_a_file_must_be_a_file(simulator: Simulator, post: Generate) -> None:
    form = {"model": (None, SENSE), "file": (None, "speech.wav")}
    answer = post(simulator, "/audio/transcriptions", files=form)
    assert (answer.status_code, "file" in answer.json()["message"]) == (400, True)


def test_a_file_must_come_in_a_form(simulator: Simulator, post: Generate) -> None:
    answer = post(simulator, "/audio/transcriptions", {"model": SENSE, "file": "speech.wav"})
    assert (answer.status_code, "multipart" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("model", ["", COSY])
def test_only_models_that_hear_transcribe(simulator: Simulator, model: str) -> None:
    assert transcribe(simulator, b"x", model).json()["code"] == 20012


def test_the_state_describes_a_file_without_its_bytes(simulator: Simulator) -> None:
    content = speak(simulator).content
    transcribe(simulator, content)
    state = requests.get(f"{simulator.origin}/_simulator/state", timeout=20).json()
    assert state["requests"][-1]["body"]["file"] == f"<a.wav, audio/wav, {len(content)} bytes>"
