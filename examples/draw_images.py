"""Draw the two images of examples/vqa.jsonl: python examples/draw_images.py

Standard library alone. Every shape is a polygon, filled line by line on a canvas that is four
times as large as the image; averaging it down smooths the edges.
"""

import math
import struct
import zlib
from pathlib import Path

WIDTH, HEIGHT = 320, 240
SCALE = 4

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]

WHITE: Colour = (250, 250, 247)
RED: Colour = (200, 55, 48)
YELLOW: Colour = (250, 204, 72)


class Canvas:
    """A picture in the making; coordinates are those of the finished image."""

    def __init__(self) -> None:
        self.rows = [bytearray(WIDTH * SCALE * 3) for _ in range(HEIGHT * SCALE)]

    def polygon(self, points: Points, colour: Colour) -> None:
        corners = [(x * SCALE, y * SCALE) for x, y in points]
        edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
        top = max(0, math.floor(min(y for _, y in corners)))
        bottom = min(HEIGHT * SCALE, math.ceil(max(y for _, y in corners)))
        for line in range(top, bottom):
            middle = line + 0.5
            crossings = sorted(
                x1 + (middle - y1) * (x2 - x1) / (y2 - y1)
                for (x1, y1), (x2, y2) in edges
                if (y1 <= middle) != (y2 <= middle)
            )
            for left, right in zip(crossings[::2], crossings[1::2], strict=True):
                start = min(max(round(left), 0), WIDTH * SCALE)
                end = min(max(round(right), 0), WIDTH * SCALE)
                self.rows[line][3 * start : 3 * end] = bytes(colour) * (end - start)

    def box(self, left: float, top: float, width: float, height: float, colour: Colour) -> None:
        right, bottom = left + width, top + height
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        angles = [math.tau * i / 90 for i in range(90)]
        self.polygon(
            [(x + width * math.cos(a) / 2, y + height * math.sin(a) / 2) for a in angles], colour
        )

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.ellipse(x, y, 2 * radius, 2 * radius, colour)

    def crescent(self, x: float, y: float, radius: float, colour: Colour) -> None:
        half = [math.pi * (0.35 + i / 45) for i in range(46)]
        outer = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in half]
        tip, end = outer[0], outer[-1]
        centre = ((tip[0] + end[0]) / 2 + radius / 2, (tip[1] + end[1]) / 2 - radius / 4)
        reach = math.dist(centre, tip)
        first = math.atan2(tip[1] - centre[1], tip[0] - centre[0])
        last = math.atan2(end[1] - centre[1], end[0] - centre[0]) % math.tau
        turns = [last + (first - last) * i / 45 for i in range(46)]
        inner = [(centre[0] + reach * math.cos(a), centre[1] + reach * math.sin(a)) for a in turns]
        self.polygon(outer + inner, colour)

    def sky(self, top: Colour, bottom: Colour, bands: int, horizon: float) -> None:
        height = horizon / bands
        for band in range(bands):
            part = band / (bands - 1)
            mixed = [round(a + (b - a) * part) for a, b in zip(top, bottom, strict=True)]
            self.box(0, band * height, WIDTH, height, (mixed[0], mixed[1], mixed[2]))

    def png(self) -> bytes:
        """Return the image as a PNG file: 8 bits a channel, no alpha (RFC 2083)."""
        lines = []
        for top in range(0, HEIGHT * SCALE, SCALE):
            block = self.rows[top : top + SCALE]
            line = bytearray([0])
            for left in range(0, WIDTH * SCALE * 3, SCALE * 3):
                cell = [row[left : left + SCALE * 3] for row in block]
                line += bytes(sum(sum(row[c::3]) for row in cell) // SCALE**2 for c in range(3))
            lines.append(bytes(line))
        header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
        data = zlib.compress(b"".join(lines), 9)
        chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def house() -> Canvas:
    """A red house with a blue door beside an apple tree, on a sunny day."""
    canvas = Canvas()
    canvas.sky((120, 190, 238), (214, 238, 250), 24, 200)
    canvas.circle(270, 46, 24, YELLOW)
    for x, y in ((62, 42), (180, 62)):
        canvas.circle(x, y, 13, WHITE)
        canvas.circle(x + 18, y - 5, 17, WHITE)
        canvas.circle(x + 38, y, 13, WHITE)
        canvas.box(x, y, 38, 13, WHITE)
    canvas.ellipse(70, 235, 420, 120, (126, 186, 96))
    canvas.ellipse(250, 245, 400, 120, (104, 168, 82))
    canvas.box(126, 92, 14, 34, (130, 74, 60))  # chimney
    canvas.box(52, 128, 98, 72, RED)
    canvas.polygon([(42, 130), (101, 84), (160, 130)], (92, 62, 58))
    canvas.box(90, 158, 24, 42, (48, 96, 178))
    canvas.circle(109, 180, 2, YELLOW)
    for left in (62, 122):
        canvas.box(left, 144, 20, 20, WHITE)
        canvas.box(left + 2, 146, 16, 16, (160, 212, 240))
        canvas.box(left + 9, 146, 2, 16, WHITE)
        canvas.box(left + 2, 153, 16, 2, WHITE)
    canvas.polygon([(92, 200), (112, 200), (138, 240), (82, 240)], (222, 204, 166))
    canvas.polygon([(234, 150), (246, 150), (250, 208), (230, 208)], (122, 84, 54))
    for x, y, radius in ((218, 138, 24), (262, 138, 24), (240, 114, 30), (240, 142, 26)):
        canvas.circle(x, y, radius, (58, 130, 66))
    for x, y in ((220, 124), (246, 104), (264, 132), (238, 140), (214, 148)):
        canvas.circle(x, y, 5, RED)
        canvas.box(x - 0.6, y - 8, 1.2, 4, (92, 62, 40))
    return canvas


def harbour() -> Canvas:
    """Three sailing boats pass a striped lighthouse in the evening, under a crescent moon."""
    canvas = Canvas()
    canvas.sky((44, 52, 110), (248, 172, 118), 37, 148)
    canvas.crescent(60, 44, 20, (252, 240, 200))
    canvas.box(0, 148, WIDTH, 92, (36, 84, 128))
    for x, y, width in (
        (30, 166, 44),
        (130, 160, 36),
        (200, 190, 50),
        (40, 212, 60),
        (150, 224, 44),
    ):
        canvas.ellipse(x + width / 2, y, width, 2.4, (92, 140, 176))
    boats = ((58, 184, 0.9, WHITE), (128, 206, 1.15, YELLOW), (192, 172, 0.7, RED))
    for x, y, size, sail in boats:
        _boat(canvas, x, y, size, sail)
    canvas.ellipse(290, 190, 120, 60, (74, 70, 82))
    for stripe in range(6):
        upper, lower = 11 + stripe * 1.2, 11 + (stripe + 1) * 1.2
        top = 76 + stripe * 16
        canvas.polygon(
            [
                (282 - upper, top),
                (282 + upper, top),
                (282 + lower, top + 16),
                (282 - lower, top + 16),
            ],
            RED if stripe % 2 else WHITE,
        )
    canvas.box(267, 72, 30, 5, (52, 50, 62))
    canvas.box(274, 58, 16, 14, YELLOW)
    canvas.polygon([(271, 58), (282, 46), (293, 58)], RED)
    return canvas


def _boat(canvas: Canvas, x: float, y: float, size: float, sail: Colour) -> None:
    def at(*points: tuple[float, float]) -> Points:
        return [(x + size * dx, y + size * dy) for dx, dy in points]

    canvas.polygon(at((-1, -58), (1, -58), (1, 0), (-1, 0)), (70, 50, 44))
    canvas.polygon(at((3, -56), (3, -6), (28, -6)), sail)
    canvas.polygon(at((-3, -46), (-3, -6), (-20, -6)), sail)
    canvas.polygon(at((-26, -2), (32, -2), (22, 12), (-18, 12)), (112, 66, 44))


def main() -> None:
    folder = Path(__file__).parent / "images"
    folder.mkdir(exist_ok=True)
    for name, scene in (("house.png", house), ("harbour.png", harbour)):
        (folder / name).write_bytes(scene().png())


if __name__ == "__main__":
    main()
