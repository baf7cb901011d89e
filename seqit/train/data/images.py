"""The images of rows in training: read when a batch needs them, never kept."""

import json
from typing import TYPE_CHECKING, Any

from seqit.errors import RowError, SeqitError
from seqit.llm.images import read_image
from seqit.train.data.dataset import Example

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 32
"""Pixels of a blank image's side: few, and more than any model's patch."""


def images_of(row: Example) -> "list[Image]":
    """Return a row's images, in RGB; raises SeqitError where one has gone since it was prepared."""
    try:
        return [read_image(image) for image in row.images]
    except RowError as error:
        raise SeqitError(
            f"row {row.row_id}: {error}; it could be read when the rows were prepared. Put it "
            "back, and go on with --resume"
        ) from None


def settings_of(processor: Any) -> str:
    """Return what decides how a processor turns images into numbers."""
    return json.dumps(processor.image_processor.to_dict(), sort_keys=True, default=str)


def blank_image() -> Any:
    """Return a black image."""
    from PIL import Image

    return Image.new("RGB", (SIDE, SIDE))
