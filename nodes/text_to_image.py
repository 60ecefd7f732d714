"""Pictures from a prompt."""

from __future__ import annotations

from .base import ImageNode


class SiliconFlowTextToImage(ImageNode):
    """`POST /images/generations` without a picture."""

    task = "text-to-image"
    required = ("model", "prompt")
    optional = (
        "negative_prompt",
        "image_size",
        "width",
        "height",
        "batch_size",
        "seed",
        "num_inference_steps",
        "guidance_scale",
        "cfg",
        "aspect_ratio",
        "output_format",
        "prompt_enhancement",
        "prompt_upsampling",
        "safety_tolerance",
        "raw",
        "custom_model",
        "extra_body",
    )
    SEARCH_ALIASES = ("text to image", "txt2img", "t2i", "Qwen-Image", "Kolors", "FLUX", "文生图")
