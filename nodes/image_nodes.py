"""The image nodes. All use `POST /images/generations`."""

from __future__ import annotations

from typing import Any

from ..siliconflow.errors import InvalidInput
from ..strings.text import text
from .base import PromptNode
from .widgets import BACKGROUND

FITTING = ("mask", "mask_margin", "mask_feather", "mask_each", "result_size", "fit")
"""What part of an image is sent, and how the result is laid back."""
_NOTHING = object()
"""Of an input that a workflow leaves out: one that another node provides is `None` in a check."""


class ImageNode(PromptNode):
    """A node that returns generated images."""

    outputs = ("images", "seed", "info", "image_list", "mask", "parameters")
    CATEGORY = "SiliconFlow/Image"
    RETURN_TYPES = ("IMAGE", "INT", "STRING", "IMAGE", "MASK", "STRING")
    OUTPUT_IS_LIST = (False, False, False, True, False, False)


class ImageInputNode(ImageNode):
    """A node that starts from images: connected ones, or ones that the service fetches."""

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802, PLR0913, PLR0917 - what ComfyUI asks of it
        cls,
        prompt: str | None = None,
        model: str | None = None,
        custom_model: str | None = "",
        seed: int | None = None,
        image: Any = _NOTHING,
        references: Any = _NOTHING,
        image_urls: str | None = "",
    ) -> bool | str:
        """Refuse a workflow without an image when it is queued, besides the rest."""
        checked = super().VALIDATE_INPUTS(prompt, model, custom_model, seed)
        is_connected = image is not _NOTHING or references is not _NOTHING or image_urls is None
        if checked is not True or is_connected or str(image_urls).strip():
            return checked
        return str(InvalidInput("image", text("task.image_missing")))


class SiliconFlowTextToImage(ImageNode):
    """Generate images from a prompt."""

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
        BACKGROUND,
    )
    SEARCH_ALIASES = (
        "text to image",
        "txt2img",
        "t2i",
        "qwen image",
        "Kolors",
        "FLUX",
        "Z-Image",
        "文生图",
        "画图",
    )


class SiliconFlowImageToImage(ImageInputNode):
    """Generate images from an image and a prompt, one request for each frame of a batch."""

    task = "image-to-image"
    required = ("model", "prompt")
    optional = (
        "image",
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
        *FITTING,
        "image_urls",
        BACKGROUND,
    )
    SEARCH_ALIASES = ("image to image", "img2img", "i2i", "Kolors", "FLUX", "图生图", "重绘")


class SiliconFlowImageEdit(ImageInputNode):
    """Edit one to three images following a prompt, one request for each frame of a batch."""

    task = "image-edit"
    required = ("model", "prompt")
    optional = (
        "image",
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
        *FITTING,
        "references",
        "batch_means",
        "image_urls",
        BACKGROUND,
    )
    SEARCH_ALIASES = (
        "image edit",
        "inpaint",
        "mask",
        "局部重绘",
        "edit",
        "qwen image edit",
        "Kontext",
        "图像编辑",
        "改图",
        "修图",
        "P图",
    )
