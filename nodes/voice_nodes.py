"""Custom voices of the account: upload, list, delete."""

from __future__ import annotations

from ..siliconflow.catalogue import NO_VOICE
from .base import LookupNode, Node, validate


class SiliconFlowUploadVoice(Node):
    """`POST /uploads/audio/voice`."""

    task = "voice"
    required = ("audio", "model", "customName", "text")
    optional = ("custom_model",)
    outputs = ("voice", "info")
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("STRING", "STRING")
    SEARCH_ALIASES = ("voice cloning", "custom voice", "克隆音色", "声音克隆")

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls,
        text: str | None = None,
        customName: str | None = None,  # noqa: N803 - the API's name
        model: str | None = None,
        custom_model: str | None = "",
    ) -> bool | str:
        """Refuse empty texts and an unknown model when the workflow is queued."""
        return validate(cls.task, {"customName": customName, "text": text}, model, custom_model)


class SiliconFlowVoices(LookupNode):
    """`GET /audio/voice/list`, free."""

    task = "voices"
    optional = ("refresh",)
    outputs = ("voices", "text")
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("STRING", "STRING")
    OUTPUT_IS_LIST = (True, False)
    SEARCH_ALIASES = ("list voices", "音色列表")


class SiliconFlowDeleteVoice(Node):
    """`POST /audio/voice/deletions`, free."""

    task = "delete-voice"
    required = ("uri",)
    optional = ("voice",)
    outputs = ("voice",)
    CATEGORY = "SiliconFlow/Audio"
    RETURN_TYPES = ("STRING",)
    OUTPUT_NODE = True
    SEARCH_ALIASES = ("remove voice", "删除音色")

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls, uri: str | None = None, voice: str | None = NO_VOICE
    ) -> bool | str:
        """Refuse to delete no voice when the workflow is queued."""
        return validate(cls.task, {"uri": uri if voice == NO_VOICE else None})
