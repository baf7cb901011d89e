"""Reads images for vision models, scales them down, and encodes them as data URLs."""

import io
import warnings
from base64 import b64decode, b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from seqit.errors import RowError, SeqitError

if TYPE_CHECKING:
    from PIL.Image import Image

_SENT_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
"""Formats that vision models accept; others are converted to PNG."""


def read_image(image: str) -> "Image":
    """Return the image of a path or data URL: decoded, upright, in RGB, on a white background.

    Raises RowError if it is not an image or is on another machine, SeqitError without Pillow.
    """
    if image.startswith(("http://", "https://")):
        raise RowError(f"the image {image!r} is not on this machine; fetch it first", "images")
    shown = repr(image if len(image) < 200 else f"{image[:60]}…")
    is_data = image.startswith("data:")
    if not is_data and not Path(image).is_file():
        raise RowError(f"the image {shown} is not there", "images")
    try:
        content = _decode_data_url(image) if is_data else Path(image).read_bytes()
        return _decode(content)
    except SeqitError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception for broken files
        problem = f"{type(error).__name__}: {error}"
        raise RowError(f"the image {shown} cannot be read ({problem})", "images") from None


def as_data_url(image: str, longest_side: int) -> str:
    """Return the image file of a path as a data URL; http(s) and data URLs are returned unchanged.

    An image whose longest side is more than `longest_side` pixels is scaled down; a smaller one is
    sent byte for byte. Raises RowError if the file is not an image, SeqitError without Pillow.
    """
    if image.startswith(("http://", "https://", "data:")):
        return image
    path = Path(image)
    if not path.is_file():
        raise RowError(f"the image {image!r} is not there", "images")
    try:
        kind, content = _prepare(path.read_bytes(), longest_side)
    except SeqitError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception for broken files
        problem = f"{type(error).__name__}: {error}"
        raise RowError(f"the image {image!r} cannot be read ({problem})", "images") from None
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _prepare(content: bytes, longest_side: int) -> tuple[str, bytes]:
    """Return the MIME type and the bytes to send."""
    pillow = _pillow()
    with pillow.open(io.BytesIO(content)) as image:
        format_name: str = image.format
        image.load()  # detects a truncated file here, before it is sent
        if max(image.size) <= longest_side and format_name in _SENT_FORMATS:
            return pillow.MIME[format_name], content
        format_name = "JPEG" if format_name == "JPEG" else "PNG"
        return pillow.MIME[format_name], _scale(image, longest_side, format_name)


def _decode(content: bytes) -> "Image":
    pillow = _pillow()
    from PIL import ImageOps

    with pillow.open(io.BytesIO(content)) as image:
        image.load()
        upright: Image = ImageOps.exif_transpose(image)
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        rgba = upright.convert("RGBA")
        background: Image = pillow.new("RGBA", rgba.size, "white")
        opaque: Image = pillow.alpha_composite(background, rgba).convert("RGB")
        return opaque


def _decode_data_url(url: str) -> bytes:
    head, _, body = url.partition(",")
    return b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)


def _scale(image: "Image", longest_side: int, format_name: str) -> bytes:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)  # EXIF orientation is lost in saving
    has_alpha = format_name != "JPEG" and "A" in upright.getbands()
    scaled = upright.convert("RGBA" if has_alpha else "RGB")
    scaled.thumbnail((longest_side, longest_side))
    file = io.BytesIO()
    scaled.save(file, format_name, quality=90)
    return file.getvalue()


@cache
def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise SeqitError("images need Pillow: pip install 'seqit[images]'") from None
    # Refuse decompression bombs, as Pillow's manual advises.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    return Image
