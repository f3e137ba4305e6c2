#!/usr/bin/env python3
"""K-means of scikit-learn, faiss and culatent, side by side.

Same rows, same start, same number of Lloyd updates (no early end), same number of threads; runs
alternate, the table shows medians. "fit" is the seconds of the iterations (culatent: seconds.fit of
its report, which has one pass more than updates; scikit-learn and faiss: their fit and train, whose
start is given). The inertia is computed here in float64 from the centroids of each. Those of culatent are as
exact arithmetic has them; the peers round: labels in float32, faiss also its sums; a row that goes
elsewhere changes the way from there on, up or down. So the table shows how far each peer ends above
(or below) culatent, and culatent must not end above any by more than 1e-5 of the inertia: else the
exit code is 1. "float64" is scikit-learn in float64, untimed: what rounding does not lead astray.

    bench/peers/kmeans.py --culatent build/release/host/cli/culatent

Needs numpy, scikit-learn, threadpoolctl and safetensors; faiss-cpu where it is to be compared.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import peers

CASES = ((200_000, 64, 256), (1_000_000, 16, 64))
TOLERANCE = 1e-5

OPTIONS = peers.parse(peers.parser(__doc__, CASES, "clusters"))  # before the imports below

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402
from sklearn.cluster import KMeans  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

try:
    import faiss
except ImportError:
    faiss = None


def planted(rows, columns, clusters, seed=20260101):
    """Rows around overlapping centres in float32, and a start: rows of them."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (clusters, columns))
    x = random.normal(0, 1, (rows, columns)) + centres[random.integers(clusters, size=rows)]
    x = x.astype(np.float32)
    return x, x[random.choice(rows, clusters, replace=False)].copy()


def inertia(x, centroids):
    """Sum of squared distances in float64."""
    centroids = centroids.astype(np.float64)
    total = 0.0
    for first in range(0, len(x), 20_000):
        rows = x[first:first + 20_000].astype(np.float64)
        nearest = (rows @ centroids.T - 0.5 * (centroids ** 2).sum(1)).argmax(1)
        total += float(((rows - centroids[nearest]) ** 2).sum())
    return total


def run_sklearn(x, start):
    model = KMeans(len(start), init=start, n_init=1, max_iter=OPTIONS.iterations, tol=0.0,
                   algorithm="lloyd")
    begin = time.perf_counter()
    with threadpool_limits(OPTIONS.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x)
    return time.perf_counter() - begin, model.cluster_centers_


def run_faiss(x, start):
    faiss.omp_set_num_threads(OPTIONS.threads)
    model = faiss.Kmeans(x.shape[1], len(start), niter=OPTIONS.iterations, nredo=1,
                         min_points_per_centroid=1, max_points_per_centroid=len(x))
    begin = time.perf_counter()
    model.train(x, init_centroids=start)
    return time.perf_counter() - begin, model.centroids


def run_culatent(start, folder):
    report = folder / "report.json"
    save_file({"centroids": start.astype(np.float64)}, folder / "start.safetensors",
              metadata={"culatent.method": "kmeans"})
    subprocess.run(
        [OPTIONS.culatent, "fit", "kmeans", folder / "x.npy", "--init",
         folder / "start.safetensors", "--max-iter", str(OPTIONS.iterations), "--tol", "0",
         "--device", "cpu", "--threads", str(OPTIONS.threads), "--seed", "0", "--progress", "none",
         "--model", folder / "model.safetensors", "--report", report],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    result = json.loads(report.read_text())
    if result["n_iter"] != OPTIONS.iterations:
        sys.exit(f"culatent did {result['n_iter']} updates, not {OPTIONS.iterations}")
    from safetensors.numpy import load_file
    return result["seconds"]["fit"], load_file(folder / "model.safetensors")["centroids"]


def measure(case):
    x, start = planted(*case)
    runners = {"scikit-learn": lambda: run_sklearn(x, start),
               "faiss": lambda: run_faiss(x, start),
               "culatent": lambda: run_culatent(start, folder)}
    if faiss is None:
        del runners["faiss"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        np.save(folder / "x.npy", x)
        seconds, centroids = peers.alternate(runners, OPTIONS.repeats)
    centroids["float64"] = run_sklearn(x.astype(np.float64), start.astype(np.float64))[1]
    inertias = {peer: inertia(x, found) for peer, found in centroids.items()}
    median = {peer: statistics.median(taken) for peer, taken in seconds.items()}
    above = {peer: value / inertias["culatent"] - 1 for peer, value in inertias.items()}
    return {"case": case, "seconds": seconds, "median": median, "inertia": inertias,
            "ratio": {peer: median[peer] / median["culatent"] for peer in median},
            "above_culatent": above, "agrees": min(above.values()) >= -TOLERANCE}


def main():
    print(f"scikit-learn {sklearn.__version__}, faiss "
          f"{faiss.__version__ if faiss else 'not installed'}, {OPTIONS.threads} threads, float32, "
          f"{OPTIONS.iterations} updates, medians of {OPTIONS.repeats}; seconds, and over culatent's")
    print(f"{'rows x features, K':>24} {'culatent':>9} {'sklearn':>9} {'ratio':>6} {'faiss':>9} "
          f"{'ratio':>6}  inertia above culatent's: sklearn, faiss, float64")
    results = []
    for case in OPTIONS.case:
        result = measure(case)
        results.append(result)
        cells = [f"{result['median']['culatent']:9.3f}"]
        for peer in ("scikit-learn", "faiss"):
            if peer in result["median"]:
                cells.append(f"{result['median'][peer]:9.3f} {result['ratio'][peer]:6.2f}")
            else:
                cells.append(f"{'-':>9} {'-':>6}")
        above = result["above_culatent"]
        ends = " ".join(f"{above[peer]:+.1e}" if peer in above else f"{'-':>8}"
                        for peer in ("scikit-learn", "faiss", "float64"))
        verdict = "" if result["agrees"] else "  WORSE THAN A PEER"
        print(f"{'%d x %d, %d' % case:>24} {' '.join(cells)}  {ends}{verdict}", flush=True)
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(
            {"scikit_learn": sklearn.__version__, "faiss": faiss.__version__ if faiss else None,
             "threads": OPTIONS.threads, "iterations": OPTIONS.iterations, "results": results},
            indent=1) + "\n")
    return 0 if all(result["agrees"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
