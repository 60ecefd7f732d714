"""A language model: it writes, and sees pictures if it has eyes."""

from __future__ import annotations

from .node import Node, refusal
from .widgets import CONVERSATION


class SiliconFlowChat(Node):
    """`POST /chat/completions`, as a stream."""

    task = "chat"
    required = ("model", "prompt")
    optional = (
        "image",
        "image2",
        "image3",
        "image4",
        "conversation",
        "system_prompt",
        "max_tokens",
        "temperature",
        "seed",
        "response_format",
        "detail",
        "top_p",
        "top_k",
        "frequency_penalty",
        "stop",
        "custom_model",
        "extra_body",
    )
    outputs = ("text", "texts", "reasoning", "conversation", "info")
    CATEGORY = "SiliconFlow/Text"
    RETURN_TYPES = ("STRING", "STRING", "STRING", CONVERSATION, "STRING")
    OUTPUT_IS_LIST = (False, True, False, False, False)
    SEARCH_ALIASES = (
        "chat",
        "LLM",
        "VLM",
        "caption",
        "translate",
        "prompt",
        "Qwen",
        "对话",
        "反推",
    )

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls, prompt: str | None = None, model: str | None = None, custom_model: str | None = ""
    ) -> bool | str:
        """Refuse an empty prompt and an unknown model when the graph is queued: nothing is paid."""
        return refusal(cls.task, {"prompt": prompt}, model, custom_model)
