"""What `./build.sh demo` shows: fits mixtures, draws a map, and says what the culatent command found.

Usage: demo.py COMMAND. Needs the standard library alone; reads models (safetensors), rows and labels
(.npy) as any program would.
"""

import array
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
WORK = ROOT / "build" / "demo"


def run(command, *arguments):
    """Runs the command, shows how it was called, and returns the JSON that it prints."""
    shown = [str(argument).removeprefix(f"{ROOT}/") for argument in arguments]
    print("  $ culatent", *shown, flush=True)
    done = subprocess.run([command, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"demo: culatent ended with exit code {done.returncode}")
    return json.loads(done.stdout)


def read_model(path):
    """The tensors of a safetensors file as {name: (shape, values)}; all are float64."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, tensor in header.items():
        first, last = tensor["data_offsets"]
        values = array.array("d", content[8 + length + first : 8 + length + last])
        tensors[name] = (tensor["shape"], values)
    return tensors


def read_labels(path):
    """One integer a row from a version 1 .npy of bytes or int32."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<H", content, 8)
    kind = "B" if b"|u1" in content[: 10 + length] else "i"
    return list(array.array(kind, content[10 + length :]))


def read_rows(path):
    """The rows of a version 1 .npy of float32, and how many columns they have."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<H", content, 8)
    header = content[10 : 10 + length].decode()
    columns = int(header.split("'shape': (")[1].split(")")[0].split(",")[1])
    values = array.array("f", content[10 + length :])
    return [values[at : at + columns] for at in range(0, len(values), columns)], columns


def write_rows(path, rows, columns):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, {columns}), }}"
    header += " " * (117 - len(header)) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     b"".join(row.tobytes() for row in rows))


def write_png(path, images, side, scale=16, gap=8):
    """Square images of values from 0 (white) to 1 (black), side by side, pixels `scale` wide."""
    lines = []
    for y in range(side * scale):
        line = bytearray()
        for k, image in enumerate(images):
            line += bytes([255] * gap if k else [])
            for x in range(side):
                value = image[y // scale * side + x]
                line += bytes([round(255 * (1 - value))] * scale)
        lines.append(b"\x00" + bytes(line))

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", len(lines[0]) - 1, len(lines), 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) +
                     chunk(b"IDAT", zlib.compress(b"".join(lines), 9)) + chunk(b"IEND", b""))


def old_faithful(command):
    """The number of kinds of eruption that BIC prefers, and what they are."""
    data = DATA / "old_faithful.npy"
    print("\nOld Faithful: how long 272 eruptions took, and the wait until the next, in minutes.")
    bic = {}
    for components in (1, 2, 3):
        model = WORK / f"old_faithful_{components}.safetensors"
        run(command, "fit", "gaussian-mixture", data, "--components", components, "--seed", 1,
            "--n-init", 3, "--progress", "none", "--model", model,
            "--html", model.with_suffix(".html"))
        bic[components] = run(command, "score", model, data)["bic"]
    best = min(bic, key=bic.get)
    shutil.copy(WORK / f"old_faithful_{best}.html", ROOT / "report.html")
    print("BIC (lower is better) of 1, 2 and 3 kinds of eruption: " +
          ", ".join(f"{value:.0f}" for value in bic.values()))
    print(f"So there are {best} kinds:")
    tensors = read_model(WORK / f"old_faithful_{best}.safetensors")
    weights, means = tensors["weights"][1], tensors["means"][1]
    for k in sorted(range(best), key=lambda k: means[2 * k]):
        print(f"  {100 * weights[k]:.0f}% last about {means[2 * k]:.1f} minutes, and the next one "
              f"comes after {means[2 * k + 1]:.0f} minutes")


def digits(command):
    """Ten groups found without the labels, and what the labels say about them."""
    data, model, found = DATA / "digits.npy", WORK / "digits.safetensors", WORK / "digits.npy"
    print("\nHandwritten digits: 1797 images of 8 x 8 pixels; the fit is not told which is which.")
    run(command, "fit", "gaussian-mixture", data, "--components", 10, "--covariance", "full",
        "--reg-covar", 1, "--seed", 1, "--n-init", 10, "--progress", "none", "--model", model,
        "--html", "digits.html", "--image-shape", "8x8")
    run(command, "predict", model, data, "--output", found)
    truth, groups = read_labels(DATA / "digits_labels.npy"), read_labels(found)
    counts = [[0] * 10 for _ in range(10)]
    for group, digit in zip(groups, truth):
        counts[group][digit] += 1
    for group in sorted(counts, key=lambda group: group.index(max(group))):
        size, most = sum(group), max(group)
        if size:
            print(f"  a group of {size:3d} images: {100 * most / size:3.0f}% show a "
                  f"{group.index(most)}")
    same = sum(max(group) for group in counts)
    print(f"{100 * same / len(truth):.0f}% of all images are in a group of their own digit.")


def three_digits(command):
    """The lecture's example: black and white 3, 5 and 8, and the mean images of three groups."""
    data, model = WORK / "digits_3_5_8.npy", WORK / "digits_3_5_8.safetensors"
    rows, columns = read_rows(DATA / "digits.npy")
    chosen = [(row, digit) for row, digit in zip(rows, read_labels(DATA / "digits_labels.npy"))
              if digit in (3, 5, 8)]
    write_rows(data, [row for row, _ in chosen], columns)
    print(f"\nThe {len(chosen)} images of 3, 5 and 8 among them, in black and white: three groups of "
          "pixels that are black together.")
    run(command, "fit", "bernoulli-mixture", data, "--binarize", 8, "--components", 3, "--seed", 1,
        "--n-init", 20, "--tol", 1e-9, "--max-iter", 1000, "--progress", "none", "--model", model,
        "--html", "three_digits.html", "--image-shape", "8x8")
    found = WORK / "digits_3_5_8_labels.npy"
    run(command, "predict", model, data, "--binarize", 8, "--output", found)
    groups = read_labels(found)
    values = read_model(model)["means"][1]
    means = [values[columns * k : columns * (k + 1)] for k in range(3)]
    counts = [[0] * 10 for _ in means]
    for group, (_, digit) in zip(groups, chosen):
        counts[group][digit] += 1
    order = sorted(range(3), key=lambda k: counts[k].index(max(counts[k])))
    for y in range(8):
        print("    " + "    ".join("".join(" .:-=+*#%@"[min(9, int(10 * value))] * 2
                                           for value in means[k][8 * y : 8 * y + 8])
                                   for k in order))
    print("    " + "    ".join(f"{100 * max(counts[k]) / sum(counts[k]):.0f}% show a "
                               f"{counts[k].index(max(counts[k]))}".center(16) for k in order))
    write_png(WORK / "three_digits.png", [means[k] for k in order], 8)


def map_of_digits(command):
    """All digits in the plane, and how often a neighbour there is of the same digit."""
    data, labels, places = DATA / "digits.npy", DATA / "digits_labels.npy", WORK / "digits_map.npy"
    print("\nThe 1797 images in the plane, neighbours near each other; again without the labels.")
    run(command, "embed", "tsne", data, "--output", places, "--seed", 1, "--progress", "none",
        "--html", "digits_map.html", "--labels", labels, "--snapshot-every", 25)
    score = run(command, "score", "tsne", data, "--embedding", places, "--labels", labels,
                "--n-neighbors", 1)
    print(f"{100 * score['knn_accuracy']:.0f}% of the images have one of the same digit beside "
          "them.")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    command = str(pathlib.Path(sys.argv[1]).resolve())
    WORK.mkdir(parents=True, exist_ok=True)
    old_faithful(command)
    digits(command)
    three_digits(command)
    map_of_digits(command)
    print("\nLook at report.html (Old Faithful), digits.html, three_digits.html and digits_map.html "
          "in a browser.")


if __name__ == "__main__":
    main()
