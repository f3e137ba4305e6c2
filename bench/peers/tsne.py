#!/usr/bin/env python3
"""t-SNE of openTSNE, scikit-learn and culatent, side by side.

Same rows, perplexity 30, PCA start, 1000 iterations of which 250 exaggerated by 12, same number of
threads; runs alternate, the table shows medians of the whole time, neighbours included. openTSNE has
its defaults beside (FFT repulsion, learning rate and neighbours "auto": exact up to 1000 rows,
otherwise approximate), scikit-learn too (Barnes-Hut, angle 0.5). The divergence is computed here for
every embedding alike: affinities of the 90 exact nearest neighbours, the normalisation over all
pairs in float64. culatent must be at least as fast as openTSNE and five times as fast as
scikit-learn, and its divergence not more than 1 % above the lower of theirs: else the exit code is 1.

    bench/peers/tsne.py --culatent build/release/host/cli/culatent [ROWS.npy | IMAGES-idx3-ubyte.gz …]

Without files: the 1797 handwritten digits of the tests. Rows beyond --sklearn-rows are not given to
scikit-learn, which would take hours. Needs numpy, scikit-learn and openTSNE.
"""

import gzip
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import peers

PERPLEXITY = 30
ITERATIONS = 1000
TOLERANCE = 0.01


def parser():
    result = peers.parser(__doc__, (), "nothing")
    result.add_argument("data", nargs="*", type=pathlib.Path,
                        default=[peers.ROOT / "tests/data/digits.npy"])
    result.add_argument("--sklearn-rows", type=int, default=20_000)
    result.add_argument("--first", type=int, help="use the first so many rows of each file")
    return result


OPTIONS = peers.parse(parser())  # before the imports below

import numpy as np  # noqa: E402
import openTSNE  # noqa: E402
import scipy.sparse  # noqa: E402
import sklearn  # noqa: E402
from sklearn.manifold import TSNE  # noqa: E402
from sklearn.manifold._t_sne import _joint_probabilities_nn  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402


def read(path):
    if path.suffix == ".npy":
        x = np.load(path)
    else:
        with gzip.open(path) as file:
            content = file.read()
        shape = np.frombuffer(content[4:16], ">i4")
        x = np.frombuffer(content[16:], np.uint8).reshape(shape[0], -1)
    return np.ascontiguousarray(x[:OPTIONS.first], np.float32)


def affinities(x):
    graph = NearestNeighbors(n_neighbors=3 * PERPLEXITY, algorithm="brute").fit(x)
    distances = graph.kneighbors_graph(mode="distance")
    distances.data **= 2
    return scipy.sparse.csr_matrix(_joint_probabilities_nn(distances, PERPLEXITY, 0))


def divergence(p, y):
    y = y.astype(np.float64)
    norms = (y ** 2).sum(1)
    z = -float(len(y))
    for first in range(0, len(y), 2000):
        part = y[first:first + 2000]
        square = norms[first:first + 2000, None] + norms - 2 * part @ y.T
        z += float((1 / (1 + np.maximum(square, 0))).sum())
    edges = p.tocoo()
    data = edges.data.astype(np.float64)
    square = ((y[edges.row] - y[edges.col]) ** 2).sum(1)
    used = data > 0
    return float((data[used] * (np.log(data[used] * z) + np.log1p(square[used]))).sum())


def run_opentsne(x):
    begin = time.perf_counter()
    embedding = openTSNE.TSNE(perplexity=PERPLEXITY, initialization="pca", random_state=0,
                              early_exaggeration_iter=250, n_iter=ITERATIONS - 250,
                              negative_gradient_method="fft", n_jobs=OPTIONS.threads).fit(x)
    return time.perf_counter() - begin, np.asarray(embedding)


def run_sklearn(x):
    begin = time.perf_counter()
    y = TSNE(perplexity=PERPLEXITY, init="pca", learning_rate="auto", max_iter=ITERATIONS,
             random_state=0, n_jobs=OPTIONS.threads).fit_transform(x)
    return time.perf_counter() - begin, y


def run_culatent(folder):
    begin = time.perf_counter()
    subprocess.run(
        [OPTIONS.culatent, "embed", "tsne", folder / "x.npy", "--output", folder / "y.npy",
         "--perplexity", str(PERPLEXITY), "--max-iter", str(ITERATIONS), "--device", "cpu",
         "--threads", str(OPTIONS.threads), "--seed", "0", "--progress", "none"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - begin, np.load(folder / "y.npy")


def measure(path):
    x = read(path)
    runners = {"culatent": lambda: run_culatent(folder), "openTSNE": lambda: run_opentsne(x),
               "scikit-learn": lambda: run_sklearn(x)}
    if len(x) > OPTIONS.sklearn_rows:
        del runners["scikit-learn"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        np.save(folder / "x.npy", x)
        seconds, embeddings = peers.alternate(runners, OPTIONS.repeats)
    p = affinities(x)
    median = {peer: statistics.median(taken) for peer, taken in seconds.items()}
    kl = {peer: divergence(p, y) for peer, y in embeddings.items()}
    ratio = {peer: median[peer] / median["culatent"] for peer in median}
    best = min(value for peer, value in kl.items() if peer != "culatent")
    good = (ratio["openTSNE"] >= 1 and ratio.get("scikit-learn", 5) >= 5
            and kl["culatent"] <= best * (1 + TOLERANCE))
    return {"data": path.name, "rows": len(x), "features": x.shape[1], "seconds": seconds,
            "median": median, "ratio": ratio, "kl": kl, "good": good}


def main():
    print(f"openTSNE {openTSNE.__version__}, scikit-learn {sklearn.__version__}, "
          f"{OPTIONS.threads} threads, perplexity {PERPLEXITY}, {ITERATIONS} iterations, medians of "
          f"{OPTIONS.repeats}; seconds over all, and over culatent's; divergence")
    names = ("culatent", "openTSNE", "scikit-learn")
    print(f"{'data':>28} {'rows':>7}" + "".join(f"{name:>14} {'ratio':>6} {'KL':>7}" for name in names))
    results = []
    for path in OPTIONS.data:
        result = measure(path)
        results.append(result)
        cells = [f"{result['median'][name]:14.2f} {result['ratio'][name]:6.2f} "
                 f"{result['kl'][name]:7.4f}" if name in result["median"]
                 else f"{'-':>14} {'-':>6} {'-':>7}" for name in names]
        verdict = "" if result["good"] else "  WORSE THAN A PEER"
        print(f"{result['data'][:28]:>28} {result['rows']:7}{''.join(cells)}{verdict}", flush=True)
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(
            {"openTSNE": openTSNE.__version__, "scikit_learn": sklearn.__version__,
             "threads": OPTIONS.threads, "iterations": ITERATIONS, "results": results},
            indent=1) + "\n")
    return 0 if all(result["good"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
