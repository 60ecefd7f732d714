"""Voices of the account's own: made of a recording, listed, deleted."""

from __future__ import annotations

from .node import Node, refusal


class SiliconFlowUploadVoice(Node):
    """`POST /uploads/audio/voice`."""

    task = "voice"
    required = ("audio", "model", "customName", "text")
    optional = ("custom_model",)
    outputs = ("voice", "info")
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("STRING", "STRING")
    SEARCH_ALIASES = ("voice cloning", "custom voice", "音色", "声音克隆")

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls,
        text: str | None = None,
        customName: str | None = None,  # noqa: N803 - the API's name
        model: str | None = None,
        custom_model: str | None = "",
    ) -> bool | str:
        """Refuse empty texts and an unknown model when the graph is queued: nothing is sent."""
        return refusal(cls.task, {"customName": customName, "text": text}, model, custom_model)


class SiliconFlowVoices(Node):
    """`GET /audio/voice/list`, which costs nothing."""

    task = "voices"
    optional = ("refresh",)
    outputs = ("voices", "text")
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("STRING", "STRING")
    OUTPUT_IS_LIST = (True, False)
    OUTPUT_NODE = True
    SEARCH_ALIASES = ("list voices", "音色列表")


class SiliconFlowDeleteVoice(Node):
    """`POST /audio/voice/deletions`, which costs nothing."""

    task = "delete-voice"
    required = ("uri",)
    outputs = ("voice",)
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("STRING",)
    OUTPUT_NODE = True
    SEARCH_ALIASES = ("remove voice", "删除音色")

    @classmethod
    def VALIDATE_INPUTS(cls, uri: str | None = None) -> bool | str:  # noqa: N802
        """Refuse an empty name when the graph is queued."""
        return refusal(cls.task, {"uri": uri})
