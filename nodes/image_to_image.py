"""A new picture from a picture and a prompt."""

from __future__ import annotations

from .base import ImageNode


class SiliconFlowImageToImage(ImageNode):
    """`POST /images/generations` with the picture to start from, frame by frame."""

    task = "image-to-image"
    required = ("image", "model", "prompt")
    optional = (
        "negative_prompt",
        "image_size",
        "width",
        "height",
        "batch_size",
        "seed",
        "num_inference_steps",
        "guidance_scale",
        "aspect_ratio",
        "output_format",
        "prompt_upsampling",
        "safety_tolerance",
        "raw",
        "image_prompt_strength",
        "custom_model",
        "extra_body",
    )
    SEARCH_ALIASES = ("image to image", "img2img", "i2i", "Kolors", "FLUX", "图生图")
