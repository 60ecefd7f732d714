"""One to three pictures, changed or combined as the prompt says."""

from __future__ import annotations

from .base import ImageNode


class SiliconFlowImageEdit(ImageNode):
    """`POST /images/generations` with an edit model, frame by frame."""

    task = "image-edit"
    required = ("image", "model", "prompt")
    optional = (
        "image2",
        "image3",
        "negative_prompt",
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
        "custom_model",
        "extra_body",
    )
    SEARCH_ALIASES = ("image edit", "edit", "Qwen-Image-Edit", "Kontext", "图像编辑", "改图")
