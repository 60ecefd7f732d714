"""Speech from a text."""

from __future__ import annotations

from .node import Node, refusal


class SiliconFlowTextToSpeech(Node):
    """`POST /audio/speech`, once for each piece of a long text."""

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
    )
    outputs = ("audio", "info")
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("AUDIO", "STRING")
    SEARCH_ALIASES = ("text to speech", "TTS", "voice", "CosyVoice", "语音合成", "配音", "朗读")

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls,
        input: str | None = None,  # noqa: A002 - the API's name
        model: str | None = None,
        custom_model: str | None = "",
    ) -> bool | str:
        """Refuse an empty text and an unknown model when the graph is queued: nothing is paid."""
        return refusal(cls.task, {"input": input}, model, custom_model)
