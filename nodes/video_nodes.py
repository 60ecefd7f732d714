"""The video nodes. Both use `POST /video/submit` and `POST /video/status`."""

from __future__ import annotations

from .base import PromptNode
from .widgets import BACKGROUND


class VideoNode(PromptNode):
    """A node that returns generated videos, one item of a list each."""

    outputs = ("video", "seed", "info")
    CATEGORY = "SiliconFlow/Video"
    RETURN_TYPES = ("VIDEO", "INT", "STRING")
    OUTPUT_IS_LIST = (True, False, False)


class SiliconFlowTextToVideo(VideoNode):
    """Generate a video from a prompt."""

    task = "text-to-video"
    required = ("model", "prompt")
    optional = ("negative_prompt", "image_size", "seed", "custom_model", "extra_body", BACKGROUND)
    SEARCH_ALIASES = ("text to video", "txt2vid", "t2v", "Wan", "clip", "文生视频", "视频")


class SiliconFlowImageToVideo(VideoNode):
    """Generate a video from its first frame, one request for each frame of a batch."""

    task = "image-to-video"
    required = ("image", "model", "prompt")
    optional = ("negative_prompt", "image_size", "seed", "custom_model", "extra_body", BACKGROUND)
    SEARCH_ALIASES = ("image to video", "img2vid", "i2v", "Wan", "animate", "图生视频", "动画")
