"""What the nodes of speech ask for, and what they make of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..engine.endpoint import ApiRequest, ApiResult, Endpoint, OnText, as_file, from_file
from ..engine.progress import start_of
from ..media import audio_files as audio
from ..media import mp3 as pack
from ..media.audio_files import Sound
from ..media.media_error import MediaError
from ..siliconflow.catalogue import AUTO, Model
from ..siliconflow.client import Client
from ..siliconflow.errors import InvalidInput, RequestError
from ..siliconflow.fields import require_text
from ..siliconflow.http.multipart import File
from ..siliconflow.resources import audio as speech
from ..siliconflow.resources.audio import Transcription, UploadedVoice
from ..storage.settings import Settings
from ..strings.text import Text
from .plan import Plan, chosen_model, extra_body, set_values, without_pictures
from .results import Results
from .sentences import pieces

PIECE = 1000
"""Characters of one request for speech. The API takes 128,000, which it would speak for hours:
the answer would be paid, and then end in a timeout."""
INSTRUCTED = "<|endofprompt|>"
"""What stands before it tells some models how to speak: it goes with every piece."""
LONGEST_INSTRUCTION = 200
PCM_RATE = 44100
LONGEST_SOUND = 3600
LARGEST_FILE = 50_000_000 - 1000
"""Seconds and bytes of a recording that the API transcribes, less what a file has around it. The
documents name no limit for the recording of a voice: no larger file goes up for that either."""
FIELDS = ("response_format", "sample_rate", "speed", "gain")
_RESERVED = frozenset({"model", "input", "voice", "response_format", "sample_rate", "stream"})
Inputs = Mapping[str, Any]


def speech_plan(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Text to Speech, and cut a long text into requests."""
    model = chosen_model("text-to-speech", inputs, settings.site)
    text = str(inputs.get("input", ""))
    require_text(text, "input")
    values = {"response_format": "wav", **set_values(inputs, FIELDS)}
    kind = str(values["response_format"])
    _check_decoder(kind)
    _check_rate(model, kind, str(values.get("sample_rate", AUTO)))
    if kind == "pcm":
        _check_rate_is_told(model)
        values.setdefault("sample_rate", PCM_RATE)
    if "sample_rate" in values:
        values["sample_rate"] = int(values["sample_rate"])
    meant = values if model.listed else _changed(values)
    body = {"model": model.id, "voice": _voice(model, inputs), **model.arguments(meant)}
    body |= extra_body(str(inputs.get("extra_body", "")), _RESERVED)
    rate = int(body.get("sample_rate", PCM_RATE))
    bodies = [{**body, "input": piece} for piece in _spoken(text, model)]
    not_sent = model.not_sent(_changed(values))
    return without_pictures(model, bodies, _speaking(kind, rate), not_sent)


def speech_outputs(came: Results) -> tuple[Text, tuple[dict[str, Any], str]]:
    """Join the pieces to one AUDIO."""
    sounds: list[Sound] = came.items
    joined = audio.join(sounds)
    seconds = round(sum(sound.seconds for sound in sounds), 2)
    info = came.info(length=seconds, sample_rate=joined["sample_rate"], pieces=len(sounds))
    rate = joined["sample_rate"]
    return Text(f"{seconds:.1f} s at {rate} Hz", f"{seconds:.1f} 秒，{rate} Hz"), (joined, info)


def transcription_plan(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Speech to Text: one request for each item of the batch."""
    model = chosen_model("speech-to-text", inputs, settings.site)
    sounds = _sounds(inputs)
    for place, sound in enumerate(sounds, 1):
        _check_length(place, sound)
    bodies = [{"model": model.id, "file": _heard(sound)} for sound in sounds]
    plan = without_pictures(model, bodies, _TRANSCRIBING)
    told = [_SOUND.format(seconds=f"{sound.seconds:.1f}") for sound in sounds]
    asks = (replace(ask, about=about) for ask, about in zip(plan.asks, told, strict=True))
    return replace(plan, asks=tuple(asks))


def transcription_outputs(came: Results) -> tuple[Text, tuple[str, list[str], str]]:
    """Give what was heard: together, and one by one."""
    heard = [found.text for found in came.items]
    if not any(text.strip() for text in heard):
        came.note(Text("Nothing was heard.", "没有识别到语音。"))
    text = "\n".join(heard)
    return Text(start_of(text), start_of(text)), (text, heard, came.info(texts=heard))


def voice_plan(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Upload Voice."""
    model = chosen_model("voice", inputs, settings.site)
    for name in ("customName", "text"):
        require_text(str(inputs.get(name, "")), name)
    sounds = _sounds(inputs)
    if len(sounds) > 1:
        several = len(sounds)
        raise InvalidInput(
            "audio",
            Text(
                f"has {several} recordings, a voice is made of one",
                f"有 {several} 段录音，只能用一段",
            ),
        )
    _check_size(sounds[0])
    named = {name: str(inputs[name]).strip() for name in ("customName", "text")}
    body = {"model": model.id, **named, "file": _file(sounds[0])}
    return without_pictures(model, [body], _UPLOADING)


def voice_outputs(came: Results) -> tuple[Text, tuple[str, str]]:
    """Give the name that the voice was given."""
    [found] = came.items
    return Text(found.uri, found.uri), (found.uri, came.info(uri=found.uri))


def _check_decoder(kind: str) -> None:
    if not audio.has_decoder(kind):
        raise InvalidInput(
            "response_format",
            Text(
                f"{kind} cannot be decoded here: PyAV, which ComfyUI brings, is not installed."
                " Choose wav or pcm",
                f"此处无法解码 {kind}：没有安装 ComfyUI 自带的 PyAV。请选择 wav 或 pcm",
            ),
        )


def _check_rate(model: Model, kind: str, rate: str) -> None:
    known = model.rates.get(kind)
    if rate != AUTO and known and int(rate) not in known:
        listed = ", ".join(map(str, known))
        raise InvalidInput(
            "sample_rate",
            Text(
                f"{kind} comes at {listed}, not at {rate}", f"{kind} 支持 {listed}，不支持 {rate}"
            ),
        )


def _check_rate_is_told(model: Model) -> None:
    """Refuse PCM, which names no rate itself, of a model that cannot be asked for one."""
    if model.listed and "sample_rate" not in model.fields:
        raise InvalidInput(
            "response_format",
            Text(
                f"pcm does not tell its rate, and {model.id} cannot be asked for one: choose wav",
                f"pcm 不含采样率，而 {model.id} 不能指定采样率：请选择 wav",
            ),
        )


def _voice(model: Model, inputs: Inputs) -> str:
    """Give the voice as the service calls it: one of the account's own, or one of the model's."""
    own = str(inputs.get("custom_voice", "")).strip()
    return own or f"{model.id}:{inputs.get('voice', 'alex')}"


def _changed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what stands as it was made: nobody set it, so a model may well not know it."""
    return {
        name: value
        for name, value in values.items()
        if name not in _AS_MADE or value != _AS_MADE[name]
    }


_AS_MADE = {"speed": 1, "gain": 0}


def _spoken(text: str, model: Model) -> list[str]:
    told, mark, rest = text.partition(INSTRUCTED)
    head, rest = (told + mark, rest) if mark else ("", text)
    require_text(rest, "input")
    most = min(PIECE, model.limits.get("characters", PIECE)) - len(head)
    if len(rest) > most and len(head) > LONGEST_INSTRUCTION:
        raise InvalidInput(
            "input",
            Text(
                f"its instruction has {len(head)} characters, at most {LONGEST_INSTRUCTION} go"
                " with a text of several pieces: it is charged anew with every piece",
                f"开头的指令有 {len(head)} 个字符；文本需要分段时最多 {LONGEST_INSTRUCTION} 个："
                "每一段都会为它再次计费",
            ),
        )
    return [head + piece for piece in pieces(rest, most)]


def _sounds(inputs: Inputs) -> list[Sound]:
    try:
        return audio.to_sounds(inputs.get("audio"))
    except MediaError as error:
        raise InvalidInput("audio", error.text) from None


def _check_length(place: int, sound: Sound) -> None:
    """Refuse what the service would: longer than it takes, or too large a file by then."""
    packs = _fits_unpacked(sound) or pack.has_encoder()
    most = LONGEST_SOUND if packs else int(_longest_unpacked(sound))
    if sound.seconds > most:
        raise InvalidInput(
            "audio",
            Text(
                f"recording {place} lasts {sound.seconds:.0f} s, at most {most} s go into one"
                " request: cut it into parts",
                f"第 {place} 段录音长 {sound.seconds:.0f} 秒，单次请求最多 {most} 秒：请先切成几段",
            ),
        )


def _check_size(sound: Sound) -> None:
    """Refuse a recording for a voice that is too large a file: it goes up as it is."""
    most = LARGEST_FILE // (2 * sound.rate)
    if sound.seconds > most:
        raise InvalidInput(
            "audio",
            Text(
                f"the recording lasts {sound.seconds:.0f} s, at most {most} s of {sound.rate} Hz go"
                " up: some seconds of clear speech are enough for a voice",
                f"录音长 {sound.seconds:.0f} 秒，{sound.rate} Hz 时最多上传 {most} 秒："
                "创建音色只需几秒清晰的语音",
            ),
        )


def _longest_unpacked(sound: Sound) -> float:
    """Give the seconds of such a recording that a WAV holds which is not too large."""
    return LARGEST_FILE / (2 * min(sound.rate, audio.SPEECH_RATE))


def _fits_unpacked(sound: Sound) -> bool:
    return sound.seconds <= _longest_unpacked(sound)


def _heard(sound: Sound) -> File:
    """Give the file of a recording that models of speech listen to."""
    heard = audio.for_speech(sound)
    if _fits_unpacked(sound):
        return _file(heard)
    return File("audio.mp3", "audio/mpeg", pack.to_mp3(heard.waveform, heard.rate))


def _file(sound: Sound) -> File:
    return File("audio.wav", "audio/wav", audio.to_wav(sound))


def _speak(client: Client, order: ApiRequest, _hear: OnText) -> ApiResult:
    found = speech.create_speech(client, order.body)
    return ApiResult((found.content,), None, None, found.trace_id, found.seconds)


def _speaking(kind: str, rate: int) -> Endpoint:
    def decode(content: bytes, _most_pixels: int) -> Sound:
        return audio.decode(content, kind, rate)

    return Endpoint(speech.SPEECH_PATH, _speak, decode, Text("the sound", "音频"), _PARTS)


def _transcribe(client: Client, order: ApiRequest, _hear: OnText) -> ApiResult:
    return as_file(speech.transcribe(client, order.body))


def _upload(client: Client, order: ApiRequest, _hear: OnText) -> ApiResult:
    return as_file(speech.upload_voice(client, order.body))


def _was_deleted(client: Client, found: UploadedVoice) -> bool:
    """Tell whether a voice of an earlier run is not on the account any more."""
    try:
        return found.uri not in {voice.uri for voice in speech.list_voices(client)}
    except RequestError:
        return False  # where voices cannot be listed, what was kept counts


_SOUND = Text("sound, {seconds} s", "音频，{seconds} 秒")
_PARTS = Text("parts of the speech", "语音片段")
_TRANSCRIBING = Endpoint(
    speech.TRANSCRIPTIONS_PATH,
    _transcribe,
    from_file(Transcription),
    Text("the text", "文字"),
    Text("texts", "文字"),
)
_UPLOADING = Endpoint(
    speech.UPLOAD_PATH,
    _upload,
    from_file(UploadedVoice),
    Text("the voice", "音色"),
    is_gone=_was_deleted,
)
