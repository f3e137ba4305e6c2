"""Uses the pages of embeddings with a real browser, where there is one.

viewer.py WRITE_PAGES: makes the test pages, opens copies of them that hold a second script
(viewer.js, which the copy's policy knows), and compares what the page answers with the positions
that it holds. Exits 77 (skipped) with the reason without a browser.
"""
import array
import base64
import hashlib
import html
import json
import pathlib
import re
import sys

from browser import check_pages, console, run

PAGES = {"tsne_one": 12, "tsne_two": 1234, "tsne_three": 77, "tsne_play": 590, "tsne_part": 30000,
         "tsne_many": 3999}
HANDS = (pathlib.Path(__file__).parent / "viewer.js").read_text(encoding="utf-8")
# A browser without a screen draws when it likes.
FRAMES = "requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 15);"


def with_hands(page):
    for script in (FRAMES, HANDS):
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
        page = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    page = page.replace("<body>", f"<body><script>{FRAMES}</script>", 1)
    return page.replace("</body>", f"<script>{HANDS}</script></body>")


def numbers(kind, text):
    return array.array(kind, base64.b64decode(text))


def who(data, row):
    """What the page should say about a row, from the positions that it holds."""
    i = numbers("I", data["rows"]).index(row) if "rows" in data else row
    frame, q = data["frames"][-1], data["dimensions"]
    at = numbers("H", frame["at"])[i * q:i * q + q]
    place = [low + value / 65535 * (high - low)
             for value, low, high in zip(at, frame["low"], frame["high"])]
    label = ""
    if "labels" in data:
        label = f" · label {data['labels'][numbers('H', data['group'])[i]]}"
    words = ", ".join(f"{value:.4g}".replace("-", "−") for value in place)
    return f"row {row}{label} · ({words})"


def check(browser, folder, page):
    row = PAGES[page.stem]
    text = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="map-data">(.*?)</script>', text, re.S).group(1))
    copy = folder / "copy.html"
    copy.write_text(with_hands(text), encoding="utf-8")
    done = run(browser, folder, f"{copy.as_uri()}#row={row}", "--virtual-time-budget=30000",
               "--window-size=1180,1400", "--dump-dom")
    problems = console(done.stderr)
    told = re.search(r'<pre id="result">(.*?)</pre>', done.stdout.decode("utf-8"), re.S)
    if not told:
        return problems + ["the page does not answer"]
    result = json.loads(html.unescape(told.group(1)))
    labelled, expected = "labels" in data, who(data, row)
    # Steps of the wheel are 0.004 of an e-fold a pixel, those of keys and buttons 1.5.
    wanted = {"replaced": True, "marked": expected, "zoomOfMarked": "5.000", "hovered": expected,
              "zoomOfWheel": "6.356", "afterWheel": expected, "afterDrag": expected, "left": True,
              "zoomOfDoubleClick": "1.000", "zoomOfPlus": "1.500", "zoomOfMinus": "1.000",
              "zoomOfZero": "1.000", "zoomOf_in": "1.500", "zoomOf_out": "1.000",
              "zoomOf_reset": "1.000"}
    if labelled and len(data["labels"]) <= 16:
        wanted["checked"] = ["false"] * len(data["labels"])
        wanted["paintedOfNone"] = 0
        if not 0 < result["paintedOfOne"] < result["painted"]:
            problems.append(f"{result['paintedOfOne']} pixels of one of the labels")
    if len(data["frames"]) > 1:
        first, last = data["frames"][0], data["frames"][-1]
        wanted["first"] = ["0.00", f"iteration {first['iteration']} · KL {first['kl']:#.4g}"
                                   " · exaggerated"]
        wanted["last"] = [f"{len(data['frames']) - 1}.00",
                          f"iteration {last['iteration']} · KL {last['kl']:#.4g}"]
        wanted["button"] = "Play"
    problems += [f"{key}: {result.get(key)!r}, not {value!r}" for key, value in wanted.items()
                 if result.get(key) != value]
    # A point takes a pixel at least, and there is paper left.
    if not min(1000, data["shown"]) <= result["painted"] <= 700_000:
        problems.append(f"{result['painted']} pixels are painted")
    return problems


if __name__ == "__main__":
    sys.exit(check_pages(sys.argv[1], PAGES, check))
