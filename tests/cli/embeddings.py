"""What the cases of embeddings share."""

import json
import os
import struct

from files import BLOBS, planted, write_npy
from harness import GOLDEN

EMBED = ["embed", "tsne"]
QUICK = ["--perplexity", 10, "--max-iter", 120, "--exaggeration-iter", 50, "--seed", 1]


def float32(values):
    return list(struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values)))


def blobs(box, n=150, name="x.npy"):
    write_npy(box.path(name), planted(n, BLOBS, seed=3), "<f4")
    write_npy(box.path("labels.npy"), [i % len(BLOBS) for i in range(n)], "<i4")


def golden(case):
    folder = os.path.join(GOLDEN, "tsne", case)
    with open(os.path.join(folder, "case.json"), encoding="utf-8") as file:
        content = json.load(file)
    x = content["inputs"]["X"]
    data = [os.path.normpath(os.path.join(folder, x["file"]))]
    if "rows" in x:
        data += ["--rows", f":{x['rows']}"]
    return folder, data, content["params"]["perplexity"], content["expected"]
