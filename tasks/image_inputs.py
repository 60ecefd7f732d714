"""What all tasks check of an IMAGE that is connected."""

from __future__ import annotations

import torch

from ..media.image_files import check_image
from ..media.media_error import MediaError
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model
from ..siliconflow.errors import InvalidInput
from ..strings.text import text


def require_image(name: str, image: torch.Tensor) -> None:
    """Raise `InvalidInput` for an input that is no IMAGE `[B,H,W,C]` with something in it."""
    try:
        check_image(image)
    except MediaError as error:
        raise InvalidInput(name, error.text) from None


def require_sight(name: str, model: Model, task: str) -> None:
    """Raise `InvalidInput` for an input with images if a listed model accepts none."""
    if model.listed and not model.sees:
        other = next(known.id for known in catalogue.load().of_task(task) if known.sees)
        raise InvalidInput(name, text("task.sees_no_images", model=model.id, other=other))
