"""Text to speech and speech to text."""

from __future__ import annotations

from .base import ModelNode, Node, validate


class SiliconFlowTextToSpeech(Node):
    """`POST /audio/speech`, one request for each piece of a long text."""

    task = "text-to-speech"
    required = ("model", "input")
    optional = (
        "voice",
        "custom_voice",
        "response_format",
        "sample_rate",
        "speed",
        "gain",
        "custom_model",
        "extra_body",
        "max_tokens",
        "reference_audio",
        "reference_text",
        "reference_audio2",
        "reference_text2",
    )
    outputs = ("audio", "info")
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("AUDIO", "STRING")
    SEARCH_ALIASES = (
        "text to speech",
        "TTS",
        "voice",
        "CosyVoice",
        "MOSS",
        "dialogue",
        "voice cloning",
        "语音合成",
        "配音",
        "朗读",
        "对话",
    )

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls,
        input: str | None = None,  # noqa: A002 - the API's name
        model: str | None = None,
        custom_model: str | None = "",
        voice: str | None = None,
    ) -> bool | str:
        """Refuse an empty text, an unknown model or an unknown voice when it is queued."""
        return validate(cls.task, {"input": input}, model, custom_model, voice)


class SiliconFlowSpeechToText(ModelNode):
    """`POST /audio/transcriptions`, one request for each item of a batch."""

    task = "speech-to-text"
    required = ("audio", "model")
    optional = ("custom_model",)
    outputs = ("text", "texts", "info")
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("STRING", "STRING", "STRING")
    OUTPUT_IS_LIST = (False, True, False)
    SEARCH_ALIASES = (
        "speech to text",
        "ASR",
        "STT",
        "transcribe",
        "SenseVoice",
        "whisper",
        "语音识别",
        "语音转文字",
        "字幕",
        "转写",
    )
