"""Chat with a language model; vision models also accept images."""

from __future__ import annotations

from .base import PromptNode
from .widgets import CONVERSATION


class SiliconFlowChat(PromptNode):
    """`POST /chat/completions`, streamed."""

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
        "enable_thinking",
        "thinking_budget",
        "reasoning_effort",
        "min_p",
        "json_schema",
        "max_images",
    )
    outputs = ("text", "texts", "reasoning", "conversation", "info")
    CATEGORY = "SiliconFlow/Text"
    RETURN_TYPES = ("STRING", "STRING", "STRING", CONVERSATION, "STRING")
    OUTPUT_IS_LIST = (False, True, False, False, False)
    SEARCH_ALIASES = (
        "chat",
        "LLM",
        "VLM",
        "vision",
        "caption",
        "translate",
        "prompt",
        "Qwen",
        "DeepSeek",
        "GLM",
        "Kimi",
        "对话",
        "大模型",
        "反推",
        "看图",
        "翻译",
    )
