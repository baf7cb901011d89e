"""Images in training: loaded when a batch needs them, never cached."""

import json
from typing import TYPE_CHECKING, Any

from seqit.errors import RowError, SeqitError
from seqit.llm.images import read_image
from seqit.train.data.dataset import Example

if TYPE_CHECKING:
    from PIL.Image import Image

BLANK_SIDE = 32
"""Side of a blank image in pixels: small, but larger than any model's patch."""


def load_images(example: Example) -> "list[Image]":
    """Return the images of an example in RGB; raises SeqitError if one cannot be read any more."""
    try:
        return [read_image(image) for image in example.images]
    except RowError as error:
        raise SeqitError(
            f"row {example.row_id}: {error}; it could be read when the rows were prepared. "
            "Restore it, then continue with --resume"
        ) from None


def image_processor_settings(processor: Any) -> str:
    """Return everything that decides how a processor encodes images, as JSON."""
    return json.dumps(processor.image_processor.to_dict(), sort_keys=True, default=str)


def blank_image() -> Any:
    """Return a black image."""
    from PIL import Image

    return Image.new("RGB", (BLANK_SIDE, BLANK_SIDE))
