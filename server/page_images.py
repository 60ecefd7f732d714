"""The saved images and videos of jobs: thumbnails, played, copied to ComfyUI's input folder."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from ..comfyui import host
from ..engine.services import current_settings
from ..media.media_error import MediaError, TooManyPixels
from ..media.previews import thumbnail
from ..media.video_files import SUFFIX, poster
from ..storage import atomic_files as files
from ..strings.text import text
from .ledger_access import page_job_history
from .page_http import Failed, File, Json, NotFound, PageRequest, TooLarge

THUMBNAIL_SIDE = 256
_CONTENT_TYPES = {".png": "png", ".jpg": "jpeg", ".webp": "webp", ".gif": "gif"}


def read_thumbnail(request: PageRequest) -> File:
    """Return a job's image as a small JPEG."""
    max_pixels = int(current_settings().most_megapixels * 1_000_000)
    file = _file(request)
    try:
        image = poster(file, max_pixels) if file.suffix == SUFFIX else _read(file)
        content = thumbnail(image, THUMBNAIL_SIDE, max_pixels)
    except TooManyPixels as error:
        raise TooLarge(text("server.image_too_large", reason=error.text)) from None
    except (MediaError, OSError):
        raise NotFound(text("server.image_gone")) from None
    return File(content, "image/jpeg", immutable=True)


def read_image(request: PageRequest) -> File:
    """Return a job's image as it was saved."""
    file = _file(request)
    if file.suffix not in _CONTENT_TYPES:
        raise NotFound(text("server.image_gone"))
    return File(_read(file), f"image/{_CONTENT_TYPES[file.suffix]}", immutable=True)


def play_video(request: PageRequest) -> File:
    """Return a job's video, which the page plays from wherever it is asked to."""
    file = _file(request)
    if file.suffix != SUFFIX:
        raise NotFound(text("server.image_gone"))
    return File(file, "video/mp4", immutable=True)


def copy_to_input(request: PageRequest) -> Json:
    """Copy a job's image to ComfyUI's input folder, and return what a Load Image node needs.

    The copy belongs to the user: it stays when the saved results are cleared. It is in no folder of
    its own: the lists of Load Image nodes have no files of folders, and the page marks as missing
    what is on no list.
    """
    file, folder = _file(request), host.input_directory()
    if folder is None:
        raise NotFound(text("server.no_input_folder"))
    place = int(request.params["place"]) + 1
    name = f"siliconflow-{request.params['id'][:12]}-{place}{file.suffix}"
    try:
        saved = file.open("rb")
    except OSError:
        raise NotFound(text("server.image_gone")) from None
    try:
        with saved:  # a video is never in memory as a whole
            files.write(folder / name, partial(shutil.copyfileobj, saved))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Failed(text("server.copy_failed", reason=reason)) from None
    return {"name": name, "subfolder": "", "type": "input"}


def _file(request: PageRequest) -> Path:
    place = request.params["place"]
    is_number = place.isascii() and place.isdigit() and len(place) < 6
    with page_job_history() as jobs:
        file = jobs.file_path(request.params["id"], int(place)) if is_number else None
    if file is None:
        raise NotFound(text("server.image_gone"))
    return file


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise NotFound(text("server.image_gone")) from None
