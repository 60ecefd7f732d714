"""Text to Speech, Speech to Text, Upload Voice: texts and recordings to requests, and back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..comfyui.host import Caller
from ..engine.endpoint import (
    ApiRequest,
    ApiResult,
    Endpoint,
    FileContent,
    OnText,
    ResultKind,
    json_kind,
)
from ..engine.job import Plan, Results, plan_of_bodies
from ..engine.model_refresh import note_voices
from ..engine.progress import start_of
from ..engine.run import Inputs, run
from ..engine.services import current_settings
from ..engine.threads import in_thread
from ..media import audio_files, mp3
from ..media.audio_files import Sound
from ..media.media_error import MediaError
from ..siliconflow import catalogue
from ..siliconflow.catalogue import (
    AUTO,
    OWN_VOICE,
    Model,
    Usage,
    chosen_model,
    extra_body,
    merged,
    require_text,
    set_values,
)
from ..siliconflow.client import Client
from ..siliconflow.errors import InvalidInput, RequestError
from ..siliconflow.http.bodies import File
from ..siliconflow.resources import audio as audio_api
from ..siliconflow.resources.audio import Transcription, UploadedVoice
from ..storage.ledger import ResponseMetadata
from ..storage.model_lists import OwnVoice
from ..storage.settings import Settings
from ..strings.text import Text, text
from .sentences import SPEAKER, pieces, turns

PIECE = 1000
"""Characters of one request for speech. The API takes 128,000, which it would speak for hours:
the answer would be paid, and then end in a timeout."""
INSTRUCTION_END = "<|endofprompt|>"
"""What stands before it tells some models how to speak: it goes with every piece."""
MAX_INSTRUCTION = 200
PCM_RATE = 44100
MAX_SECONDS = 3600
MAX_FILE_BYTES = 50_000_000 - 1000
"""Seconds and bytes of a recording that the API transcribes, less what a file has around it. The
documents name no limit for the recording of a voice: no larger file goes up for that either."""
FIELDS = ("response_format", "sample_rate", "speed", "gain")
REFERENCES = {"reference_audio": "reference_text", "reference_audio2": "reference_text2"}
"""The inputs of a voice to clone: a recording, and what is said in it. A model takes as many as it
has fields for their texts."""
REFERENCE_RATE = 24_000
"""Hz of a recording that a voice is cloned from, the rate of the models themselves: two of 30 s are
less than the 4 MB that some gateways let pass (service-2026: "4 MB a request")."""
REFERENCE_SECONDS = 30
"""What a recording must be shorter than where the catalogue does not know."""
_NEUTRAL = {"speed": 1, "gain": 0, "max_tokens": 2048}
_RESERVED = frozenset(
    {"model", "input", "voice", "references", "response_format", "sample_rate", "stream"}
)


async def text_to_speech(inputs: Inputs, caller: Caller) -> tuple[dict[str, Any], str]:
    """Return the outputs of Text to Speech: one AUDIO, info (JSON)."""
    prepare = partial(plan_speech, inputs)
    return await run("text-to-speech", inputs, caller, prepare, speech_outputs)


async def speech_to_text(inputs: Inputs, caller: Caller) -> tuple[str, list[str], str]:
    """Return the outputs of Speech to Text: the text, the text of each recording, info (JSON)."""
    prepare = partial(plan_transcription, inputs)
    return await run("speech-to-text", inputs, caller, prepare, transcription_outputs)


async def upload_voice(inputs: Inputs, caller: Caller) -> tuple[str, str]:
    """Return the outputs of Upload Voice: the ID of the voice, info (JSON)."""
    uri, info = await run("voice", inputs, caller, partial(plan_voice, inputs), voice_outputs)
    model = chosen_model("voice", inputs, current_settings().site).id
    new = OwnVoice(uri, str(inputs["customName"]).strip(), model)
    await in_thread(
        partial(note_voices, lambda known: [*(each for each in known if each.uri != uri), new])
    )
    return uri, info


def plan_speech(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Text to Speech, and cut a long text into requests."""
    model = chosen_model("text-to-speech", inputs, settings.site)
    words = str(inputs.get("input", ""))
    require_text(words, "input")
    values = {"response_format": "wav", **set_values(inputs, FIELDS)}
    file_format = str(values["response_format"])
    _check_format(model, file_format, str(values.get("sample_rate", AUTO)))
    if file_format == "pcm":
        values.setdefault("sample_rate", PCM_RATE)
    if "sample_rate" in values:
        values["sample_rate"] = int(values["sample_rate"])
    # The service's own number of tokens is not sent: such a request was always made without.
    max_tokens = _without_neutral(set_values(inputs, ("max_tokens",)))
    changed = {**_without_neutral(values), **max_tokens}
    body = {
        "model": model.id,
        **model.arguments({**values, **max_tokens} if model.listed else changed),
    }
    body = merged(body, extra_body(inputs, _RESERVED))
    said = _pieces(words, model)
    voice = _voice(inputs, model)
    body |= voice
    if model.listed and len(voice.get("references", ())) > max(1, len(set(SPEAKER.findall(words)))):
        raise InvalidInput("input", text("task.two_voices", audio=[*REFERENCES][-1]))
    bodies = [{**body, "input": piece} for piece in said]
    rate = int(body.get("sample_rate", PCM_RATE))
    unsent = model.not_sent({**changed, **set_values(inputs, REFERENCES.values())})
    return plan_of_bodies(model, bodies, _speech(file_format, rate), unsent)


def speech_outputs(results: Results) -> tuple[Text, tuple[dict[str, Any], str]]:
    """Return the line that the node shows, and the pieces joined to one AUDIO."""
    sounds: list[Sound] = results.items
    joined = audio_files.join(sounds)
    seconds = round(sum(sound.seconds for sound in sounds), 2)
    rate = joined["sample_rate"]
    info = results.info(length=seconds, sample_rate=rate, pieces=len(sounds))
    return text("run.speech_done", seconds=f"{seconds:.1f}", rate=rate), (joined, info)


def plan_transcription(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Speech to Text: one request for each item of the batch."""
    model = chosen_model("speech-to-text", inputs, settings.site)
    sounds = _sounds(inputs)
    for number, sound in enumerate(sounds, 1):
        fits = _fits_as_wav(sound) or mp3.has_encoder()
        limit = MAX_SECONDS if fits else int(_max_wav_seconds(sound))
        if sound.seconds > limit:
            raise InvalidInput(
                "audio",
                text(
                    "task.recording_too_long",
                    number=number,
                    seconds=f"{sound.seconds:.0f}",
                    limit=limit,
                ),
            )
    bodies = [{"model": model.id, "file": _file_for_speech(sound)} for sound in sounds]
    plan = plan_of_bodies(model, bodies, _TRANSCRIPTION)
    labels = (text("task.recording", seconds=f"{sound.seconds:.1f}") for sound in sounds)
    requests = (
        replace(request, label=label) for request, label in zip(plan.requests, labels, strict=True)
    )
    return replace(plan, requests=tuple(requests))


def transcription_outputs(results: Results) -> tuple[Text, tuple[str, list[str], str]]:
    """Return the line that the node shows, and what was heard: together, and one by one."""
    texts = [transcription.text for transcription in results.items]
    if not any(item.strip() for item in texts):
        results.note(text("task.nothing_heard"))
    joined = "\n".join(texts)
    return Text(start_of(joined)), (joined, texts, results.info(texts=texts))


def plan_voice(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Upload Voice."""
    model = chosen_model("voice", inputs, settings.site)
    names = ("customName", "text")
    for name in names:
        require_text(str(inputs.get(name, "")), name)
    sound = _one_sound(inputs, "audio")
    limit = MAX_FILE_BYTES // (2 * sound.rate)  # it goes up as it is
    if sound.seconds > limit:
        raise InvalidInput(
            "audio",
            text(
                "task.voice_too_long",
                seconds=f"{sound.seconds:.0f}",
                limit=limit,
                rate=sound.rate,
            ),
        )
    words = {name: str(inputs[name]).strip() for name in names}
    body = {"model": model.id, **words, "file": _wav(sound)}
    return plan_of_bodies(model, [body], _UPLOAD)


def voice_outputs(results: Results) -> tuple[Text, tuple[str, str]]:
    """Return the line that the node shows, and the ID that the voice was given."""
    [uploaded] = results.items
    return Text(uploaded.uri), (uploaded.uri, results.info(uri=uploaded.uri))


def _check_format(model: Model, file_format: str, rate: str) -> None:
    """Raise `InvalidInput` for a format or a rate that the model lacks or nobody can decode."""
    if not audio_files.has_decoder(file_format):
        raise InvalidInput("response_format", text("task.no_decoder", format=file_format))
    rates = model.rates.get(file_format)
    if rate != AUTO and rates and int(rate) not in rates:
        raise InvalidInput(
            "sample_rate",
            text(
                "task.other_rate",
                format=file_format,
                rates=", ".join(map(str, rates)),
                rate=rate,
                nearest=min(rates, key=lambda other: abs(other - int(rate))),
            ),
        )
    # PCM does not say its rate, so the model must be one that can be asked for one.
    if file_format == "pcm" and model.listed and "sample_rate" not in model.fields:
        raise InvalidInput("response_format", text("task.pcm_rate", model=model.id))


def _without_neutral(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what changes nothing: nobody set it, so a model may well not know it."""
    return {
        name: value
        for name, value in values.items()
        if name not in _NEUTRAL or value != _NEUTRAL[name]
    }


def _voice(inputs: Inputs, model: Model) -> dict[str, Any]:
    """Return who speaks: recordings to clone, the user's own voice, or one of the model's."""
    own = str(inputs.get("custom_voice", "")).strip()
    references = _references(inputs, model)
    if references and own:
        raise InvalidInput("custom_voice", text("task.voice_and_reference"))
    if references:
        return {"voice": "", "references": references}
    if own and model.listed and ":" not in own:
        raise InvalidInput("custom_voice", text("task.not_a_voice", voice=own[:80], model=model.id))
    listed = str(inputs.get("voice", "alex"))
    return {"voice": own or (listed if listed.startswith(OWN_VOICE) else f"{model.id}:{listed}")}


def _references(inputs: Inputs, model: Model) -> list[dict[str, str]]:
    """Return the recordings to clone and their texts, as `references` of a request.

    What a model cannot use is refused, for it would speak in another voice, and be paid for that.
    """
    references: list[dict[str, str]] = []
    for number, (name, text_name) in enumerate(REFERENCES.items(), 1):
        words, is_taken = str(inputs.get(text_name, "")).strip(), text_name in model.fields
        if inputs.get(name) is None:
            if words and (is_taken or not model.listed):
                raise InvalidInput(name, text("task.reference_missing", text=text_name))
            continue
        if model.listed and not is_taken:
            raise InvalidInput(name, _other_models("task.not_cloned", model, text_name))
        if model.listed and not words:
            raise InvalidInput(text_name, text("task.reference_text", audio=name))
        if len(references) < number - 1:
            raise InvalidInput(next(iter(REFERENCES)), text("task.first_reference", audio=name))
        sound = _one_sound(inputs, name)
        limit = model.limits.get("reference_seconds", REFERENCE_SECONDS)
        if sound.seconds >= limit:
            seconds = f"{sound.seconds:.1f}"
            raise InvalidInput(name, text("task.long_reference", seconds=seconds, limit=limit))
        wav = audio_files.to_wav(audio_files.for_speech(sound, REFERENCE_RATE))
        url = f"data:audio/wav;base64,{base64.b64encode(wav).decode()}"
        references.append({"audio": url, **({"text": words} if words else {})})
    return references


def _other_models(key: str, model: Model, field: str) -> Text:
    """Return a message that a model cannot do what those with a field can."""
    others = (
        other.id
        for other in catalogue.load().of_task("text-to-speech")
        if field in other.fields and not other.is_retired
    )
    return text(key, model=model.id, others=", ".join(others))


def _pieces(words: str, model: Model) -> list[str]:
    """Cut a text into what one request speaks, each with the instruction that it begins with."""
    speakers = set(SPEAKER.findall(words))
    if model.listed and len(speakers) > model.limits.get("speakers", 1):
        raise InvalidInput("input", _other_models("task.one_speaker", model, "reference_text2"))
    instruction, mark, rest = words.partition(INSTRUCTION_END)
    head, rest = (instruction + mark, rest) if mark else ("", words)
    require_text(SPEAKER.sub("", rest), "input")
    size = min(PIECE, model.limits.get("characters", PIECE)) - len(head)
    if len(rest) <= size:
        return [words]
    if len(head) > MAX_INSTRUCTION:
        raise InvalidInput(
            "input", text("task.long_instruction", n=len(head), limit=MAX_INSTRUCTION)
        )
    cut = turns if speakers else pieces
    return [head + piece for piece in cut(rest, size)]


def _sounds(inputs: Inputs, name: str = "audio") -> list[Sound]:
    try:
        return audio_files.to_sounds(inputs.get(name))
    except MediaError as error:
        raise InvalidInput(name, error.text) from None


def _one_sound(inputs: Inputs, name: str) -> Sound:
    """Return the recording that a voice is made from. Raises `InvalidInput` if there are more."""
    sounds = _sounds(inputs, name)
    if len(sounds) > 1:
        raise InvalidInput(name, text("task.several_recordings", n=len(sounds)))
    return sounds[0]


def _max_wav_seconds(sound: Sound) -> float:
    """Return the seconds of such a recording that fit into a WAV for models of speech."""
    return MAX_FILE_BYTES / (2 * min(sound.rate, audio_files.SPEECH_RATE))


def _fits_as_wav(sound: Sound) -> bool:
    return sound.seconds <= _max_wav_seconds(sound)


def _file_for_speech(sound: Sound) -> File:
    """Return a recording as models of speech hear it: WAV, or MP3 if that is too large."""
    reduced = audio_files.for_speech(sound)
    if _fits_as_wav(sound):
        return _wav(reduced)
    content = mp3.to_mp3(reduced.waveform, reduced.rate)
    return File("audio.mp3", "audio/mpeg", content, audio_files.digest_of_samples(reduced))


def _wav(sound: Sound) -> File:
    return File("audio.wav", "audio/wav", audio_files.to_wav(sound))


def _speech(file_format: str, rate: int) -> Endpoint:
    """Return the endpoint of speech in one format; `rate` is that of PCM, which does not say it."""

    def load(content: bytes, _max_pixels: int) -> Sound:
        return audio_files.decode(content, file_format, rate)

    kind = ResultKind("audio", load)
    return Endpoint(audio_api.SPEECH_PATH, kind, _speak, "speech", usage=_spoken)


def _spoken(body: Mapping[str, Any]) -> Usage:
    return {"kilobyte": len(str(body["input"]).encode())}


def _speak(client: Client, request: ApiRequest, _on_text: OnText) -> ApiResult:
    response = audio_api.create_speech(client, request.body)
    metadata = ResponseMetadata(response.trace_id, seconds=response.seconds)
    return ApiResult([FileContent(response.content)], metadata)


def _transcribe(client: Client, request: ApiRequest, _on_text: OnText) -> ApiResult:
    transcription = audio_api.transcribe(client, request.body)
    metadata = ResponseMetadata(transcription.trace_id, seconds=transcription.seconds)
    return ApiResult([transcription], metadata)


def _upload(client: Client, request: ApiRequest, _on_text: OnText) -> ApiResult:
    uploaded = audio_api.upload_voice(client, request.body)
    metadata = ResponseMetadata(uploaded.trace_id, seconds=uploaded.seconds)
    return ApiResult([uploaded], metadata)


def _was_deleted(client: Client, uploaded: UploadedVoice) -> bool:
    """Return whether a voice of an earlier run is not on the account any more."""
    try:
        return uploaded.uri not in {voice.uri for voice in audio_api.list_voices(client)}
    except RequestError:
        return False  # where voices cannot be listed, what is saved counts


_TRANSCRIPTION = Endpoint(
    audio_api.TRANSCRIPTIONS_PATH, json_kind("text", Transcription), _transcribe, "transcription"
)
_UPLOAD = Endpoint(
    audio_api.UPLOAD_PATH,
    json_kind("voice", UploadedVoice),
    _upload,
    "voice",
    is_gone=_was_deleted,
    usage=lambda _body: {"kilobyte": 0},
)
