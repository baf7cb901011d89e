"""Images for vision models: read where they lie, made no larger than asked, sent as data URLs."""

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

_SENT = ("JPEG", "PNG", "GIF", "WEBP")
"""Formats that vision models read; others are sent as PNG."""


def read_image(image: str) -> "Image":
    """Return an image by its path or data URL: decoded, upright, in RGB.

    What is transparent becomes white. Raises RowError where it is no image, or lies on another
    machine, and SeqitError where Pillow is missing.
    """
    if image.startswith(("http://", "https://")):
        raise RowError(f"the image {image!r} is not on this machine; fetch it first", "images")
    shown = repr(image if len(image) < 200 else f"{image[:60]}…")
    is_data = image.startswith("data:")
    if not is_data and not Path(image).is_file():
        raise RowError(f"the image {shown} is not there", "images")
    try:
        content = _of_data_url(image) if is_data else Path(image).read_bytes()
        return _opened(content)
    except SeqitError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they like over broken files
        problem = f"{type(error).__name__}: {error}"
        raise RowError(f"the image {shown} cannot be read ({problem})", "images") from None


def as_data_url(image: str, longest_side: int) -> str:
    """Return an image's path as a data URL; http(s) and data URLs are returned as they are.

    An image whose longest side, in pixels, is greater is scaled down; a smaller one is sent byte
    for byte. Raises RowError for a file that is no image, SeqitError where Pillow is missing.
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
    except Exception as error:  # Pillow's decoders raise whatever they like over broken files
        problem = f"{type(error).__name__}: {error}"
        raise RowError(f"the image {image!r} cannot be read ({problem})", "images") from None
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _prepare(content: bytes, longest_side: int) -> tuple[str, bytes]:
    """Return the MIME type and the bytes to send."""
    pillow = _pillow()
    with pillow.open(io.BytesIO(content)) as image:
        form: str = image.format
        image.load()  # a file that was cut off is found out here, not by the server
        if max(image.size) <= longest_side and form in _SENT:
            return pillow.MIME[form], content
        form = "JPEG" if form == "JPEG" else "PNG"
        return pillow.MIME[form], _scaled(image, longest_side, form)


def _opened(content: bytes) -> "Image":
    pillow = _pillow()
    from PIL import ImageOps

    with pillow.open(io.BytesIO(content)) as image:
        image.load()
        upright: Image = ImageOps.exif_transpose(image)
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        layer = upright.convert("RGBA")
        ground: Image = pillow.new("RGBA", layer.size, "white")
        plain: Image = pillow.alpha_composite(ground, layer).convert("RGB")
        return plain


def _of_data_url(url: str) -> bytes:
    head, _, body = url.partition(",")
    return b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)


def _scaled(image: "Image", longest_side: int, form: str) -> bytes:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)  # the turn that a camera noted is lost in saving
    plain = upright.convert("RGB" if form == "JPEG" or "A" not in upright.getbands() else "RGBA")
    plain.thumbnail((longest_side, longest_side))
    file = io.BytesIO()
    plain.save(file, form, quality=90)
    return file.getvalue()


@cache
def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise SeqitError("images need Pillow: pip install 'seqit[images]'") from None
    # A file of few bytes may unpack to gigabytes: refuse it, as Pillow's manual advises.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    return Image
