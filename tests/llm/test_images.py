"""Images for vision models: reading, scaling and data URLs."""

import io
import sys
from base64 import b64decode

import pytest

from seqit.errors import RowError, SeqitError
from seqit.llm import images
from seqit.llm.images import as_data_url, read_image
from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.request import Request, Sampling


@pytest.fixture
def pillow():
    return pytest.importorskip("PIL.Image", reason="Pillow (seqit[images]) is not installed")


@pytest.fixture
def opened(pillow):
    """Return the MIME type, the bytes and the image of a data URL."""

    def read(url):
        kind, _, content = url.partition(";base64,")
        raw = b64decode(content)
        return kind.removeprefix("data:"), raw, pillow.open(io.BytesIO(raw))

    return read


@pytest.mark.parametrize("url", ["https://a.b/c.png", "http://a.b/c", "data:image/png;base64,AA=="])
def test_urls_stay_as_they_are(url):
    assert as_data_url(url, 10) == url


def test_a_missing_file_is_reported(tmp_path):
    for name in ("none.png", ""):
        with pytest.raises(RowError, match="is not there"):
            as_data_url(str(tmp_path / name), 10)


def test_without_pillow_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "PIL", None)
    images._pillow.cache_clear()
    with pytest.raises(SeqitError, match=r"pip install 'seqit\[images\]'"):
        as_data_url(str(tmp_path / "a.png"), 10)
    part = {"type": "image", "image": str(tmp_path / "a.png")}
    request = Request([{"role": "user", "content": [part]}], Sampling(), 1)
    failed = OpenAIBackend("m", base_url="http://localhost").build_body(request)
    assert (failed.reason, failed.fatal) == ("config", True)


def test_a_small_image_is_sent_byte_for_byte(tmp_path, pillow, opened):
    for format_name in ("PNG", "JPEG", "GIF", "WEBP"):
        path = tmp_path / f"a.{format_name}"
        pillow.new("RGB", (40, 30), "red").save(path, format_name)
        kind, raw, _ = opened(as_data_url(str(path), 40))
        assert (kind, raw) == (f"image/{format_name.lower()}", path.read_bytes())


@pytest.mark.parametrize(
    ("mode", "format_name", "sent_format"),
    [
        ("RGB", "JPEG", "JPEG"),
        ("CMYK", "JPEG", "JPEG"),
        ("RGBA", "PNG", "PNG"),
        ("P", "GIF", "PNG"),
        ("L", "BMP", "PNG"),
        ("1", "TIFF", "PNG"),
    ],
)
def test_a_large_image_is_scaled_down(tmp_path, pillow, opened, mode, format_name, sent_format):
    path = tmp_path / "a"
    pillow.new(mode, (400, 200)).save(path, format_name)
    kind, _, image = opened(as_data_url(str(path), 100))
    assert (kind, image.size) == (f"image/{sent_format.lower()}", (100, 50))
    assert image.mode == ("RGBA" if mode == "RGBA" else "RGB")


def test_other_formats_are_sent_as_png(tmp_path, pillow, opened):
    pillow.new("RGB", (4, 2), "blue").save(tmp_path / "a.bmp")
    kind, _, image = opened(as_data_url(str(tmp_path / "a.bmp"), 100))
    assert (kind, image.size, image.getpixel((0, 0))) == ("image/png", (4, 2), (0, 0, 255))


def test_exif_orientation_is_applied(tmp_path, pillow, opened):
    image = pillow.new("RGB", (400, 200))
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by 90°
    image.save(tmp_path / "a.jpg", exif=exif)
    assert opened(as_data_url(str(tmp_path / "a.jpg"), 100))[2].size == (50, 100)


def test_a_file_that_is_not_an_image_or_truncated_is_reported(tmp_path, pillow):
    file = io.BytesIO()
    pillow.effect_noise((60, 60), 50).save(file, "PNG")
    (tmp_path / "cut.png").write_bytes(file.getvalue()[:-500])
    (tmp_path / "text.png").write_text("no image")
    for name in ("cut.png", "text.png"):
        with pytest.raises(RowError, match=rf"{name}' cannot be read"):
            as_data_url(str(tmp_path / name), 1000)


def test_a_decompression_bomb_is_refused(tmp_path, pillow, monkeypatch):
    pillow.new("1", (400, 400)).save(tmp_path / "a.png")
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 100_000)
    with pytest.raises(RowError, match="cannot be read"):
        as_data_url(str(tmp_path / "a.png"), 100)


# --- reading for a model in this process ------------------------------------------------------


def test_an_image_is_read_upright_and_in_rgb(tmp_path, pillow):
    path = tmp_path / "turned.jpg"
    exif = pillow.Exif()
    exif[0x0112] = 6  # rotated by 90°
    pillow.new("L", (40, 30), 200).save(path, exif=exif)
    image = read_image(str(path))
    assert (image.mode, image.size) == ("RGB", (30, 40))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode, tmp_path, pillow):
    path = tmp_path / "a.png"
    clear = pillow.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.convert(mode).save(path, **({"transparency": 0} if mode == "P" else {}))
    assert read_image(str(path)).getpixel((1, 1)) == (255, 255, 255)


def test_a_data_url_is_read(tmp_path, pillow):
    path = tmp_path / "a.png"
    pillow.new("RGB", (5, 4), "blue").save(path)
    assert read_image(as_data_url(str(path), 9)).getpixel((0, 0)) == (0, 0, 255)
    for url in ("data:image/png;base64,????", "data:image/png,abc", "data:"):
        with pytest.raises(RowError, match="cannot be read"):
            read_image(url)


def test_an_image_that_cannot_be_read_is_reported(tmp_path, pillow, monkeypatch):
    with pytest.raises(RowError, match="is not on this machine; fetch it first"):
        read_image("https://example.com/a.png")
    with pytest.raises(RowError, match="is not there"):
        read_image(str(tmp_path / "none.png"))
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(RowError, match="cannot be read"):
        read_image(str(tmp_path / "a.png"))
    pillow.new("RGB", (60, 60)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(RowError, match="DecompressionBomb"):
        read_image(str(tmp_path / "bomb.png"))
