"""The image nodes. All use `POST /images/generations`."""

from __future__ import annotations

from .base import PromptNode


class ImageNode(PromptNode):
    """A node that returns generated images."""

    outputs = ("images", "seed", "info")
    CATEGORY = "SiliconFlow/Image"
    RETURN_TYPES = ("IMAGE", "INT", "STRING")


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


class SiliconFlowImageToImage(ImageNode):
    """Generate images from an image and a prompt, one request for each frame of a batch."""

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
    SEARCH_ALIASES = ("image to image", "img2img", "i2i", "Kolors", "FLUX", "图生图", "重绘")


class SiliconFlowImageEdit(ImageNode):
    """Edit one to three images following a prompt, one request for each frame of a batch."""

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
    SEARCH_ALIASES = (
        "image edit",
        "edit",
        "qwen image edit",
        "Kontext",
        "图像编辑",
        "改图",
        "修图",
        "P图",
    )
