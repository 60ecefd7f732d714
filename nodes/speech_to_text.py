"""A text from speech."""

from __future__ import annotations

from .base import ModelNode


class SiliconFlowSpeechToText(ModelNode):
    """`POST /audio/transcriptions`, once for each item of a batch."""

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
        "语音识别",
        "转写",
    )
