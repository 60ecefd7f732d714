"""Text to Speech, Speech to Text and voices, from their inputs to the simulator and back."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator, sound
from comfyui_siliconflow.engine.services import current_settings
from comfyui_siliconflow.media import mp3 as pack
from comfyui_siliconflow.nodes.model_choices import own_voices
from comfyui_siliconflow.nodes.speech_nodes import SiliconFlowTextToSpeech
from comfyui_siliconflow.nodes.voice_nodes import SiliconFlowDeleteVoice
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.storage.model_lists import OwnVoice, change_voices
from comfyui_siliconflow.tasks import speech_tasks as speech_plan
from comfyui_siliconflow.tasks.sentences import pieces
from comfyui_siliconflow.tasks.speech_tasks import PIECE
from comfyui_siliconflow.tests.former_names import name_as_before
from hypothesis import given
from hypothesis import strategies as some

Run = Callable[..., dict[str, Any]]

SPEAK = "SiliconFlowTextToSpeech"
LISTEN = "SiliconFlowSpeechToText"
UPLOAD = "SiliconFlowUploadVoice"
COSY = "FunAudioLLM/CosyVoice2-0.5B"
FISH = "fishaudio/fish-speech-1.4"
HELLO = {"model": COSY, "input": "Hello there, my friend."}


def noise(items: int = 1, channels: int = 1, rate: int = 16000) -> dict[str, Any]:
    dice = torch.Generator().manual_seed(items * channels * rate)
    waveform = torch.rand(items, channels, rate // 4, generator=dice) - 0.5
    return {"waveform": waveform, "sample_rate": rate}


def test_a_text_becomes_an_audio(simulator: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(SPEAK, **HELLO, voice="anna")
    audio, info = outputs["audio"], outputs["info"]
    assert (audio["waveform"].ndim, audio["waveform"].dtype) == (3, torch.float32)
    assert audio["waveform"].shape[-1] / audio["sample_rate"] == pytest.approx(
        info["length"], abs=0.01
    )
    assert simulator.requests[0].body == {
        **HELLO,
        "voice": f"{COSY}:anna",
        "response_format": "wav",
    }


@pytest.mark.parametrize(
    ("kind", "rate", "comes"),
    [
        ("wav", "auto", 44100),
        ("wav", "8000", 8000),
        ("pcm", "auto", 44100),
        ("pcm", "16000", 16000),
    ],
)
@pytest.mark.usefixtures("simulator")
def test_every_plain_format_says_the_same_at_its_rate(
    outputs_of: Run, kind: str, rate: str, comes: int
) -> None:
    plain = outputs_of(SPEAK, **HELLO)["info"]["length"]
    outputs = outputs_of(SPEAK, **HELLO, response_format=kind, sample_rate=rate)
    assert outputs["audio"]["sample_rate"] == comes
    assert outputs["info"]["length"] == pytest.approx(plain, abs=0.01)


def test_a_long_text_is_spoken_in_pieces_and_joined(simulator: Simulator, outputs_of: Run) -> None:
    text = "".join(f"第{at}句话说完了。Then came sentence {at}. " for at in range(3 * PIECE // 32))
    outputs = outputs_of(SPEAK, model=COSY, input=text)
    spoken = [record.body["input"] for record in simulator.requests]
    assert sorted(spoken) == sorted(pieces(text, PIECE))
    assert outputs["info"]["pieces"] == len(spoken) >= 3
    assert all(len(piece) <= PIECE and piece.strip()[-1] in "。." for piece in spoken)
    lengths = [
        outputs_of(SPEAK, model=COSY, input=piece)["audio"]["waveform"].shape[-1]
        for piece in pieces(text, PIECE)
    ]
    assert outputs["audio"]["waveform"].shape[-1] == sum(lengths)
    assert len(simulator.requests) == len(spoken)


def test_an_instruction_goes_with_every_piece(simulator: Simulator, outputs_of: Run) -> None:
    outputs_of(
        SPEAK,
        model=COSY,
        input="Be glad. <|endofprompt|>" + "".join(f"So it is, {at}. " for at in range(100)),
    )
    bodies = [record.body["input"] for record in simulator.requests]
    assert len(bodies) == 2
    assert all(body.startswith("Be glad. <|endofprompt|>") for body in bodies)


def test_a_long_instruction_which_every_piece_would_pay_for_is_refused(
    simulator: Simulator, outputs_of: Run
) -> None:
    with pytest.raises(errors.InvalidInput, match="charged again with every part"):
        outputs_of(SPEAK, model=COSY, input="Be glad. " * 40 + "<|endofprompt|>" + "Hello. " * 99)
    assert simulator.requests == []


def test_a_long_instruction_goes_with_a_text_of_one_piece(
    simulator: Simulator, outputs_of: Run
) -> None:
    text = "Be glad. " * 40 + "<|endofprompt|>Hello"
    outputs_of(SPEAK, model=COSY, input=text)
    assert [record.body["input"] for record in simulator.requests] == [text]


def test_pcm_is_requested_at_a_rate_or_not_at_all(simulator: Simulator, outputs_of: Run) -> None:
    with pytest.raises(errors.InvalidInput, match="Choose wav"):
        outputs_of(SPEAK, model=FISH, input="Hello", response_format="pcm")
    assert simulator.requests == []
    outputs = outputs_of(SPEAK, model=COSY, input="Hello", response_format="pcm")
    assert simulator.requests[0].body["sample_rate"] == outputs["audio"]["sample_rate"]
    unlisted = {"model": COSY, "custom_model": "fishaudio/fish-speech-1.5"}
    outputs_of(SPEAK, **unlisted, input="Hello", response_format="pcm")
    assert simulator.requests[1].body["sample_rate"] == 44100


def test_a_model_without_speed_is_not_sent_one_and_info_says_so(
    simulator: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(SPEAK, model=FISH, input="Hello", speed=1.0, gain=3.0, sample_rate="8000")
    assert set(simulator.requests[0].body) == {"model", "input", "voice", "response_format"}
    assert outputs["info"]["not_sent"] == ["gain", "sample_rate"]


def test_a_model_that_the_catalogue_lacks_is_sent_what_was_set_and_no_more(
    simulator: Simulator, outputs_of: Run
) -> None:
    own = {"model": COSY, "custom_model": "fishaudio/fish-speech-1.5", "input": "Hello"}
    outputs_of(SPEAK, **own, speed=1.0, gain=0.0)
    outputs_of(SPEAK, **own, speed=1.5, gain=0.0)
    least, faster = (request.body for request in simulator.requests)
    assert set(least) == {"model", "input", "voice", "response_format"}
    assert set(faster) - set(least) == {"speed"}


def test_a_voice_of_one_s_own_takes_the_place_of_the_model_s(
    simulator: Simulator, outputs_of: Run
) -> None:
    voice = outputs_of(UPLOAD, audio=noise(), model=COSY, customName="me", text="Hello")["voice"]
    outputs_of(SPEAK, **HELLO, voice="anna", custom_voice=f" {voice} ")
    assert simulator.requests[-1].body["voice"] == voice


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"input": " \n"}, "input"),
        ({"voice": "nobody", "sample_rate": "48000"}, "sample_rate"),
        ({"response_format": "mp3", "sample_rate": "8000"}, "response_format"),
        ({"speed": 9.0}, "speed"),
        ({"model": "Qwen/Qwen2.5-7B-Instruct"}, "model"),
        ({"extra_body": '{"voice": "x"}'}, "extra_body"),
        ({"input": "x" * 2000 + "<|endofprompt|>Hello"}, "input"),
        ({"custom_voice": "alexx"}, "custom_voice"),
    ],
)
def test_nothing_is_sent_when_an_input_is_wrong(
    simulator: Simulator,
    outputs_of: Run,
    inputs: dict[str, Any],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(errors.InvalidInput) as caught:
        outputs_of(SPEAK, **{**HELLO, **inputs})
    assert caught.value.name == name
    assert simulator.requests == []


def test_a_sound_that_was_cut_off_is_an_error_and_its_siblings_are_kept(
    simulator: Simulator, outputs_of: Run
) -> None:
    simulator.fail(broken="short", on="speech")
    text = "".join(f"So it is, {at}. " for at in range(190))
    with pytest.raises(errors.PartialFailure, match="1 of 3 requests failed") as caught:
        outputs_of(SPEAK, model=COSY, input=text)
    assert "seed" not in str(caught.value)
    assert outputs_of(SPEAK, model=COSY, input=text)["info"]["pieces"] == 3
    assert len(simulator.requests) == 4


@pytest.mark.usefixtures("simulator")
def test_pieces_at_several_rates_are_joined(
    outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = sound.wav, itertools.count()

    def at_two_rates(data: bytes, rate: int, text: str) -> bytes:
        if next(calls):
            return real(data, rate, text)
        return real(np.frombuffer(data, "<i2")[::2].tobytes(), rate // 2, text)

    text = "".join(f"So it is, {at}. " for at in range(99))
    plain = outputs_of(SPEAK, model=COSY, input=text)["info"]["length"]
    monkeypatch.setattr(sound, "wav", at_two_rates)
    outputs = outputs_of(SPEAK, model=COSY, input=text, voice="anna")
    assert (outputs["audio"]["sample_rate"], outputs["info"]["pieces"]) == (44100, 2)
    samples = outputs["audio"]["waveform"].shape[-1]
    assert samples / 44100 == pytest.approx(outputs["info"]["length"], abs=0.01)
    assert outputs["info"]["length"] == pytest.approx(plain, abs=0.05)


def test_a_sound_whose_length_was_not_known_is_read(simulator: Simulator, outputs_of: Run) -> None:
    simulator.fail(broken="noise", on="speech")
    assert outputs_of(SPEAK, **HELLO)["info"]["length"] > 0


def test_the_same_text_is_free_the_second_time(simulator: Simulator, outputs_of: Run) -> None:
    first, second = outputs_of(SPEAK, **HELLO), outputs_of(SPEAK, **HELLO)
    assert torch.equal(first["audio"]["waveform"], second["audio"]["waveform"])
    assert len(simulator.charges) == 1


@pytest.mark.usefixtures("simulator")
def test_what_was_spoken_is_heard(outputs_of: Run) -> None:
    audio = outputs_of(SPEAK, **HELLO)["audio"]
    assert (
        outputs_of(LISTEN, audio=audio, model="FunAudioLLM/SenseVoiceSmall")["text"]
        == (HELLO["input"])
    )


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44100), (6, 96000)])
def test_every_item_of_a_batch_is_heard_whatever_its_channels_and_rate(
    simulator: Simulator, outputs_of: Run, channels: int, rate: int
) -> None:
    outputs = outputs_of(LISTEN, audio=noise(3, channels, rate), model="TeleAI/TeleSpeechASR")
    assert len(outputs["texts"]) == len(simulator.requests) == 3
    assert outputs["text"] == "\n".join(outputs["texts"])
    assert {record.status for record in simulator.requests} == {200}


@pytest.mark.parametrize(("rate", "heard"), [(8000, 8000), (44100, 16000), (48000, 16000)])
@pytest.mark.usefixtures("simulator")
def test_a_recording_goes_up_at_no_more_than_models_of_speech_hear(
    outputs_of: Run, rate: int, heard: int
) -> None:
    text = outputs_of(LISTEN, audio=noise(1, 2, rate), model="TeleAI/TeleSpeechASR")["text"]
    assert f"(0.2 seconds without words, {heard} Hz, 1 channel" in text


@pytest.fixture
def without_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)


@pytest.mark.usefixtures("without_encoder")
@pytest.mark.parametrize(
    ("rate", "seconds", "most"), [(1000, 3601, 3600), (44100, 1563, 1562), (8000, 3200, 3124)]
)
def test_a_recording_that_the_service_would_refuse_is_not_sent(
    simulator: Simulator, outputs_of: Run, rate: int, seconds: int, most: int
) -> None:
    long = {"waveform": torch.zeros(1, 1, 1).expand(1, 1, rate * seconds), "sample_rate": rate}
    with pytest.raises(
        errors.InvalidInput, match=f"is {seconds} s long; one request takes at most {most} s"
    ):
        outputs_of(LISTEN, audio=long, model="TeleAI/TeleSpeechASR")
    assert simulator.requests == []


@pytest.mark.parametrize(("seconds", "packs"), [(1562, False), (1563, True), (3600, True)])
def test_a_recording_is_packed_where_it_would_be_too_large_a_file(
    outputs_of: Run,
    simulator: Simulator,
    seconds: int,
    packs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = sound.packed("mp3", np.zeros(23_040), 44100, "It was a long speech.")
    monkeypatch.setattr(pack, "has_encoder", lambda: True)
    monkeypatch.setattr(pack, "to_mp3", lambda *_given: packed)
    long = {"waveform": torch.zeros(1, 1, 1).expand(1, 1, 1600 * seconds), "sample_rate": 1600}
    monkeypatch.setattr(speech_plan, "MAX_FILE_BYTES", speech_plan.MAX_FILE_BYTES // 10)
    text = outputs_of(LISTEN, audio=long, model="TeleAI/TeleSpeechASR")["text"]
    assert (text == "It was a long speech.") == packs
    assert len(simulator.requests) == 1


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Let every recording go up as the last of these MP3 files, as its encoder made it."""
    files = [sound.packed("mp3", np.zeros(23_040), 44100, words) for words in ("by one", "by two")]
    monkeypatch.setattr(pack, "has_encoder", lambda: True)
    monkeypatch.setattr(pack, "to_mp3", lambda *_given: files[-1])
    monkeypatch.setattr(speech_plan, "MAX_FILE_BYTES", 0)
    return files


def test_a_packed_recording_is_named_by_its_samples_whatever_packs_it(
    simulator: Simulator, outputs_of: Run, packed: list[bytes]
) -> None:
    model = "TeleAI/TeleSpeechASR"
    outputs_of(LISTEN, audio=noise(), model=model)
    packed.pop()
    again = outputs_of(LISTEN, audio=noise(), model=model)
    assert (again["text"], len(simulator.requests)) == ("by two", 1)
    slower = {**noise(), "sample_rate": 8000}
    quieter = {**noise(), "waveform": noise()["waveform"] * 0.5}
    for number, other in enumerate((slower, quieter), 2):
        assert outputs_of(LISTEN, audio=other, model=model)["text"] == "by one"
        assert len(simulator.requests) == number


def test_a_packed_recording_that_was_paid_under_the_name_of_its_file_is_found(
    simulator: Simulator, outputs_of: Run, packed: list[bytes]
) -> None:
    inputs = {"audio": noise(), "model": "TeleAI/TeleSpeechASR"}
    outputs_of(LISTEN, **inputs)
    file = f"sha256:{hashlib.sha256(packed[-1]).hexdigest()}"
    name_as_before("audio/transcriptions", {"model": inputs["model"], "file": file})
    outputs_of(LISTEN, **inputs)
    packed.pop()
    assert outputs_of(LISTEN, **inputs)["text"] == "by two"
    assert len(simulator.requests) == 1


@pytest.mark.usefixtures("simulator")
def test_the_longest_recording_that_goes_up_is_taken(outputs_of: Run) -> None:
    long = {"waveform": torch.zeros(1, 1, 1).expand(1, 1, 16000 * 1562), "sample_rate": 16000}
    outputs = outputs_of(LISTEN, audio=long, model="TeleAI/TeleSpeechASR")
    assert outputs["info"]["notes"] == ["No speech was recognized."]


def test_the_same_recording_is_free_the_second_time_and_another_is_not(
    simulator: Simulator, outputs_of: Run
) -> None:
    """The name of a request covers the files in it."""
    for audio in (noise(), noise(), noise(rate=8000)):
        outputs_of(LISTEN, audio=audio, model="FunAudioLLM/SenseVoiceSmall")
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(
    "audio", [None, torch.zeros(1, 1, 8), {"waveform": torch.zeros(1, 1, 0), "sample_rate": 8000}]
)
def test_what_is_no_recording_is_not_sent(
    simulator: Simulator, outputs_of: Run, audio: Any
) -> None:
    for node, more in ((LISTEN, {}), (UPLOAD, {"customName": "me", "text": "Hello"})):
        model = COSY if node == UPLOAD else "FunAudioLLM/SenseVoiceSmall"
        with pytest.raises(errors.InvalidInput, match="audio"):
            outputs_of(node, audio=audio, model=model, **more)
    assert simulator.requests == []


@pytest.mark.parametrize(
    "inputs", [{"customName": " "}, {"text": ""}, {"audio": noise(2)}], ids=str
)
def test_a_voice_needs_a_name_its_words_and_one_recording(
    simulator: Simulator, outputs_of: Run, inputs: dict[str, Any]
) -> None:
    values = {"audio": noise(), "model": COSY, "customName": "me", "text": "Hello", **inputs}
    with pytest.raises(errors.InvalidInput):
        outputs_of(UPLOAD, **values)
    assert simulator.requests == []


def test_a_recording_that_is_too_large_for_a_voice_is_not_sent(
    simulator: Simulator, outputs_of: Run
) -> None:
    long = {"waveform": torch.zeros(1, 1, 1).expand(1, 2, 44100 * 1200), "sample_rate": 44100}
    with pytest.raises(errors.InvalidInput, match="is 1200 s long; at 44100 Hz at most 566 s"):
        outputs_of(UPLOAD, audio=long, model=COSY, customName="me", text="Hello")
    assert simulator.requests == []


def test_the_longest_recording_goes_up_for_a_voice(simulator: Simulator, outputs_of: Run) -> None:
    long = {"waveform": torch.zeros(1, 1, 1).expand(1, 1, 44100 * 566), "sample_rate": 44100}
    outputs_of(UPLOAD, audio=long, model=COSY, customName="me", text="Hello")
    assert len(simulator.voices) == 1


def test_a_voice_is_made_once_and_made_again_after_it_was_deleted(
    simulator: Simulator, outputs_of: Run
) -> None:
    made = {"audio": noise(), "model": COSY, "customName": "me", "text": "Hello"}
    first, second = outputs_of(UPLOAD, **made), outputs_of(UPLOAD, **made)
    assert first["voice"] == second["voice"]
    assert outputs_of("SiliconFlowVoices")["voices"] == [first["voice"]]
    outputs_of("SiliconFlowDeleteVoice", uri=first["voice"])
    assert outputs_of("SiliconFlowVoices")["voices"] == []
    third = outputs_of(UPLOAD, **made)
    assert third["voice"] != first["voice"]
    assert third["info"]["notes"] == []
    uploads = [record for record in simulator.requests if record.path.endswith("/voice")]
    assert len(uploads) == 2


def test_where_voices_cannot_be_listed_the_one_that_is_kept_counts(
    simulator: Simulator, outputs_of: Run
) -> None:
    made = {"audio": noise(), "model": COSY, "customName": "me", "text": "Hello"}
    first = outputs_of(UPLOAD, **made)
    simulator.fail(404, on="voice_list")
    assert outputs_of(UPLOAD, **made)["voice"] == first["voice"]


@given(some.text(some.sampled_from("ab。！？.!?,，; \n"), max_size=300), some.integers(1, 40))
def test_pieces_are_short_enough_and_lose_no_word(text: str, most: int) -> None:
    parts = pieces(text, most)
    assert all(len(piece) <= most for piece in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One two. Three four. Five six seven", ["One two. Three four. ", "Five six seven"]),
        (
            "今天下雨了。我们在家里看书，然后睡觉。明天再去",
            ["今天下雨了。我们在家里看书，然后睡觉。", "明天再去"],
        ),
        (
            "He said “Go.” Then he went away",
            ["He said “Go.” ", "Then he went away"],
        ),
        (
            "pi is 3.14159265358979323846264338327950",
            ["pi is ", "3.14159265358979323846", "264338327950"],
        ),
    ],
)
def test_a_text_is_cut_where_one_would_breathe(text: str, ends: list[str]) -> None:
    assert pieces(text, 22) == ends


@pytest.mark.parametrize("whole", ["3.14159", "1,000,000", "12:30:45", "https://kite.org"])
@pytest.mark.parametrize("most", range(20, 44))
def test_a_number_or_an_address_is_not_cut_apart(whole: str, most: int) -> None:
    parts = pieces(f"Some words before that, {whole} then some more words after it", most)
    assert any(whole in piece for piece in parts)


@pytest.mark.parametrize("short", ["e.g.", "i.e.", "Dr.", "Mrs.", "J.", "U.S."])
def test_a_dot_that_shortens_a_word_ends_no_sentence(short: str) -> None:
    text = f"That was all. And then came, {short} Smith with more to say about it"
    assert pieces(text, 38) == ["That was all. And then came, ", text[29:]]


@pytest.mark.parametrize("closing", ["”", "’", "」", "』", "）", "）”", ")", '"', "'", "】", "》"])
@pytest.mark.parametrize("most", range(8, 16))
def test_what_closes_a_sentence_stays_with_it(closing: str, most: int) -> None:
    parts = pieces(f"他们一起说：今天下雨了。{closing}然后都回家睡觉去了，明天再来。", most)
    assert not any(piece[0] in closing for piece in parts)


def test_a_sentence_that_fills_a_piece_to_its_last_character_is_whole() -> None:
    assert pieces("One two. Three four.   Five six", 20) == ["One two. Three four.", "   Five six"]


def test_own_voices_are_offered_once_they_are_known_and_speak_by_their_id(
    simulator: Simulator, outputs_of: Run
) -> None:
    assert own_voices() == ()
    words = {"customName": "narrator", "text": "One two"}
    uri = outputs_of(UPLOAD, audio=noise(), model=COSY, **words)["voice"]
    assert own_voices() == (OwnVoice(uri, "narrator", COSY),)
    assert SiliconFlowTextToSpeech.VALIDATE_INPUTS(input="Hello", voice=uri) is True
    outputs_of(SPEAK, model=COSY, input="Hello", voice=uri)
    assert simulator.requests[-1].body["voice"] == uri
    outputs_of("SiliconFlowDeleteVoice", uri="", voice=uri)
    assert own_voices() == ()


@pytest.mark.usefixtures("simulator")
def test_voices_that_were_uploaded_elsewhere_are_offered_after_they_were_listed(
    outputs_of: Run,
) -> None:
    uploaded = outputs_of(UPLOAD, audio=noise(), model=COSY, customName="b", text="Two")["voice"]
    change_voices(host.data_directory(), current_settings().account, lambda _: ())
    assert own_voices() == ()
    assert outputs_of("SiliconFlowVoices")["voices"] == [uploaded]
    assert own_voices() == (OwnVoice(uploaded, "b", COSY),)


def test_a_voice_that_nobody_has_is_refused_before_anything_is_sent() -> None:
    said = SiliconFlowTextToSpeech.VALIDATE_INPUTS(input="Hello", voice="nobody")
    assert str(said).startswith("voice: this model does not support nobody")
    assert str(SiliconFlowDeleteVoice.VALIDATE_INPUTS(uri="", voice="none")).startswith("voice ID")
    assert SiliconFlowDeleteVoice.VALIDATE_INPUTS(uri="", voice="speech:a") is True
