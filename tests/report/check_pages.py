"""Checks every page in a folder: nesting, SVG as XML, ids, images, size, nothing fetched, and
nothing run but what the page's policy knows by its hash.

check_pages.py WRITE_PAGES: runs the program WRITE_PAGES to make the pages in a temporary folder.
"""
import base64
import binascii
import hashlib
import html.parser
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

VOID = {"meta", "img", "br", "hr", "link", "input"}
MAX_BYTES = 2 * 1024 * 1024
EVIL = "<script>alert('\"1\" & 2')</script>"


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.ids, self.refs, self.uris = [], [], [], [], []
        self.scripts, self.policy = [], ""
        self.text = ""

    def start(self, tag, attributes):
        if tag == "script":
            self.scripts.append([dict(attributes), ""])
        if tag == "meta" and ("http-equiv", "Content-Security-Policy") in attributes:
            self.policy = dict(attributes)["content"]
        for name, value in attributes:
            if name.startswith("on"):
                self.problems.append(f"{tag} has an event handler {name}")
            if name == "id":
                self.ids.append(value)
            if name == "aria-labelledby":
                self.refs += value.split()
            if name in ("src", "href", "xlink:href"):
                self.uris.append(value)
            if name in ("d", "x", "y", "x1", "x2", "y1", "y2", "rx", "ry", "width", "height",
                        "transform", "viewbox") and re.search("nan|inf", value, re.I):
                self.problems.append(f"{tag} {name} is not finite: {value[:60]}")

    def handle_starttag(self, tag, attributes):
        self.start(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.start(tag, attributes)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing at line {self.getpos()[0]}")

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1] += data
        self.text += data


def check_image(uri):
    prefix = "data:image/png;base64,"
    if not uri.startswith(prefix):
        return f"fetches {uri[:60]}"
    try:
        data = base64.b64decode(uri[len(prefix):], validate=True)
    except binascii.Error as error:
        return f"image is not base64: {error}"
    return None if data[:8] == b"\x89PNG\r\n\x1a\n" else "image is not a PNG"


def strings(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [s for v in value for s in strings(v)] if hasattr(value, "__iter__") else []


def check_scripts(page):
    """One script at most, the policy's; besides it data: numbers and base64 as JSON."""
    problems, hashes = [], []
    for attributes, text in page.scripts:
        if attributes.get("type") == "application/json":
            problems += [f"data of {found[:40]}" for found in strings(json.loads(text))
                         if not re.fullmatch("[A-Za-z0-9+/]*=*", found)]
        elif attributes:
            problems.append(f"a script with attributes {attributes}")
        else:
            digest = hashlib.sha256(text.encode("utf-8")).digest()
            hashes.append("'sha256-" + base64.b64encode(digest).decode() + "'")
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    if rules.pop("script-src", "").split() != hashes or len(hashes) > 1:
        problems.append(f"the policy does not know the scripts: {page.policy}")
    if rules != {"default-src": "'none'", "img-src": "data:", "style-src": "'unsafe-inline'"}:
        problems.append(f"another policy: {page.policy}")
    return problems


def check(path):
    raw = path.read_bytes()
    problems = [] if len(raw) <= MAX_BYTES else [f"{len(raw)} bytes"]
    text = raw.decode("utf-8")  # strict: invalid UTF-8 raises
    page = Page()
    page.feed(text)
    page.close()
    problems += page.problems + check_scripts(page)
    if page.open:
        problems.append(f"never closed: {page.open}")
    if len(set(page.ids)) != len(page.ids):
        problems.append("an id comes twice")
    problems += [f"no element has id {ref}" for ref in page.refs if ref not in page.ids]
    problems += [p for p in map(check_image, page.uris) if p]
    drawings = outer_drawings(text)
    for drawing in drawings:
        try:
            ET.fromstring(drawing)
        except ET.ParseError as error:
            problems.append(f"svg is not XML: {error}")
    if not drawings:
        problems.append("no drawing")
    words = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", text)
    words = re.sub(r'(?s)<script type="application/json".*?</script>', "", words)
    for match in re.finditer(r"(https?:)?//[a-z][^\s\"'<]*", words):
        if match.group() != "http://www.w3.org/2000/svg":
            problems.append(f"names the address {match.group()[:60]}")
    if re.search(r"@import|url\(", text):
        problems.append("the style sheet fetches something")
    if path.stem in ("warnings", "kde_one", "tsne_two") and EVIL not in page.text:
        problems.append("the names given do not come out as they went in")
    return problems


def outer_drawings(text):
    """Each <svg xmlns ...> with its nested ones, cut out by counting."""
    out, at = [], 0
    while (start := text.find("<svg xmlns", at)) >= 0:
        depth, at = 0, start
        for match in re.compile(r"<svg\b|</svg>").finditer(text, start):
            depth += 1 if match.group() == "<svg" else -1
            if depth == 0:
                at = match.end()
                break
        out.append(text[start:at])
    return out


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        pages = sorted(pathlib.Path(folder).glob("*.html"))
        failures = 0
        for path in pages:
            problems = check(path)
            failures += bool(problems)
            print("FAIL" if problems else "ok", path.name, f"{path.stat().st_size} bytes")
            for problem in problems:
                print("    ", problem)
        print(f"{len(pages)} pages, {failures} failed")
        return 1 if failures or len(pages) < 21 else 0


if __name__ == "__main__":
    sys.exit(main())
