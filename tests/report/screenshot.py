"""Looks at report pages with a real browser, where there is one.

screenshot.py WRITE_PAGES: makes the test pages, then for some of them, in light and in dark:
the browser must parse the drawings that the file holds, report nothing to its console, and draw
something on paper of the right brightness. Exits 77 (skipped) with the reason without a browser.
"""
import re
import struct
import sys
import zlib

from browser import check_pages, console, run

PAGES = ("two_features", "one_feature", "digits", "warnings", "constant_one", "kde_four",
         "tsne_one", "tsne_two", "tsne_three", "tsne_play", "tsne_part", "tsne_many")
WIDTH, HEIGHT, SCALE = 1180, 2600, 0.35


def pixels(path):
    """Rows of an 8-bit RGB or RGBA PNG without interlace, as lists of bytes."""
    data = path.read_bytes()
    at, packed, width, channels = 8, b"", 0, 0
    while at < len(data):
        (size,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        chunk = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, _, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunk)
            assert (depth, interlace) == (8, 0) and colour in (2, 6), "an unusual PNG"
            channels = 3 if colour == 2 else 4
        elif kind == b"IDAT":
            packed += chunk
        at += size + 12
    raw, stride = zlib.decompress(packed), width * channels
    before, rows = bytearray(stride), []
    for start in range(0, len(raw), stride + 1):
        row = bytearray(raw[start + 1:start + 1 + stride])
        unfilter(raw[start], row, before, channels)
        rows.append(row)
        before = row
    return rows, channels


def unfilter(kind, row, above, channels):
    for i in range(len(row)):
        left = row[i - channels] if i >= channels else 0
        if kind == 1:
            add = left
        elif kind == 2:
            add = above[i]
        elif kind == 3:
            add = (left + above[i]) // 2
        elif kind == 4:
            corner = above[i - channels] if i >= channels else 0
            guess = left + above[i] - corner
            add = min((left, above[i], corner), key=lambda v: abs(guess - v))
        else:
            return
        row[i] = (row[i] + add) & 255


def check_picture(path, dark):
    rows, channels = pixels(path)
    counts = {}
    for row in rows:
        for i in range(0, len(row), channels):
            colour = bytes(row[i:i + 3])
            counts[colour] = counts.get(colour, 0) + 1
    total = sum(counts.values())
    paper, most = max(counts.items(), key=lambda item: item[1])
    problems = []
    if most > 0.97 * total or len(counts) < 50:
        problems.append(f"looks blank: {len(counts)} colours, {100 * most / total:.1f} % paper")
    if (sum(paper) < 3 * 128) != dark:
        problems.append(f"paper {tuple(paper)} in {'dark' if dark else 'light'} mode")
    return problems


def check(browser, folder, page):
    problems = []
    dom = run(browser, folder, page.as_uri(), "--dump-dom")
    source = page.read_text(encoding="utf-8")
    tree = dom.stdout.decode("utf-8")
    for tag in ("svg", "path", "text", "table", "section"):
        expected, found = (len(re.findall(rf"<{tag}\b", text)) for text in (source, tree))
        if expected != found:
            problems.append(f"{found} <{tag}> of {expected} arrive in the document")
    problems += console(dom.stderr)
    for dark in (False, True):
        picture = folder / f"{page.stem}.png"
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        shot = run(browser, folder, page.as_uri(), f"--screenshot={picture}", "--hide-scrollbars",
                   f"--window-size={WIDTH},{HEIGHT}", f"--force-device-scale-factor={SCALE}",
                   *scheme)
        problems += console(shot.stderr)
        problems += check_picture(picture, dark) if picture.exists() else ["no picture was made"]
    return problems


if __name__ == "__main__":
    sys.exit(check_pages(sys.argv[1], PAGES, check))
