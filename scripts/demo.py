"""What `./build.sh demo` shows: fits mixtures with the culatent command and says what it found.

Usage: demo.py COMMAND. Needs the standard library alone; reads models (safetensors) and labels
(.npy) as any program would.
"""

import array
import json
import pathlib
import shutil
import struct
import subprocess
import sys

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


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    command = str(pathlib.Path(sys.argv[1]).resolve())
    WORK.mkdir(parents=True, exist_ok=True)
    old_faithful(command)
    digits(command)
    print("\nLook at report.html (Old Faithful) and digits.html in a browser.")


if __name__ == "__main__":
    main()
