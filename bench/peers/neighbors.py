#!/usr/bin/env python3
"""Nearest neighbours of scikit-learn, faiss and culatent, side by side.

All neighbours of all rows, float32, the same number of threads; runs alternate, the table shows
medians of the seconds from rows in memory to neighbours (culatent: seconds.total; scikit-learn:
fit and kneighbors; faiss: add and search for one more, itself). kd_tree, up to 16 features, runs
once. Rows are drawn about overlapping places, or are the first of --data where that is as wide
(handwritten digits: its idx3 file). Distances of what each found are computed here in float64, of
some rows: culatent must have no neighbour that is farther than a peer's of the same place, else the
exit code is 1.

    bench/peers/neighbors.py --culatent build/release/bench/neighbors_of [--data images.idx3.gz]

Needs numpy, scikit-learn and threadpoolctl; faiss-cpu where it is to be compared.
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

CASES = ((10_000, 784, 90), (100_000, 16, 15), (100_000, 3, 15))

PARSER = peers.parser(__doc__, CASES, "neighbours")
PARSER.set_defaults(culatent=peers.ROOT / "build/release/bench/neighbors_of")
PARSER.add_argument("--data", type=pathlib.Path, help=".npy of rows, or idx3 file of pictures")
OPTIONS = peers.parse(PARSER)  # before the imports below

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

try:
    import faiss
except ImportError:
    faiss = None

CHECKED = 200


def read(path):
    if path.suffix == ".npy":
        return np.load(path).astype(np.float32)
    with (gzip.open if path.suffix == ".gz" else open)(path) as file:
        content = file.read()
    shape = np.frombuffer(content, ">i4", 3, offset=4)
    return np.frombuffer(content, np.uint8, offset=16).reshape(shape[0], -1).astype(np.float32)


def rows_of(rows, columns, data, seed=20260101):
    if data is not None and data.shape[1] == columns and len(data) >= rows:
        return np.ascontiguousarray(data[:rows])
    random = np.random.default_rng(seed)
    places = random.normal(0, 1, (64, columns))
    x = random.normal(0, 1, (rows, columns)) + places[random.integers(64, size=rows)]
    return x.astype(np.float32)


def run_sklearn(x, k, algorithm):
    begin = time.perf_counter()
    with threadpool_limits(OPTIONS.threads):
        model = NearestNeighbors(n_neighbors=k, algorithm=algorithm, n_jobs=OPTIONS.threads).fit(x)
        found = model.kneighbors(return_distance=True)[1]
    return time.perf_counter() - begin, found


def run_faiss(x, k):
    faiss.omp_set_num_threads(OPTIONS.threads)
    begin = time.perf_counter()
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    found = index.search(x, k + 1)[1]
    taken = time.perf_counter() - begin
    own = found == np.arange(len(x))[:, None]
    own[~own.any(1), -1] = True  # among equal rows it may not find itself: the last goes
    return taken, found[~own].reshape(len(x), k)


def run_culatent(folder, k, method):
    out = subprocess.run([OPTIONS.culatent, folder / "x.npy", str(k), str(OPTIONS.threads), method,
                          folder / "found.npy"], check=True, stdout=subprocess.PIPE, text=True)
    return float(out.stdout.split()[0]), np.load(folder / "found.npy")


def distances(x, found, rows):
    """Of every neighbour of some rows, in float64, in order."""
    near = x[found[rows]].astype(np.float64) - x[rows].astype(np.float64)[:, None, :]
    return np.sort((near ** 2).sum(2), axis=1)


def recall(found, truth):
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth)])) / truth.shape[1]


def measure(case, data):
    n, d, k = case
    x = rows_of(n, d, data)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        np.save(folder / "x.npy", x)
        runners = {"culatent": lambda: run_culatent(folder, k, "exact"),
                   "ivf": lambda: run_culatent(folder, k, "ivf"),
                   "faiss": lambda: run_faiss(x, k),
                   "brute": lambda: run_sklearn(x, k, "brute"),
                   "kd_tree": lambda: run_sklearn(x, k, "kd_tree")}
        if faiss is None:
            del runners["faiss"]
        if d > 16:
            del runners["kd_tree"]
        seconds, found = peers.alternate(runners, OPTIONS.repeats, once=("kd_tree",))
    rows = np.arange(CHECKED) * n // CHECKED
    ours = distances(x, found["culatent"], rows)
    agrees = all((ours <= distances(x, other, rows) * (1 + 1e-12)).all() for other in found.values())
    median = {peer: statistics.median(taken) for peer, taken in seconds.items()}
    return {"case": case, "seconds": seconds, "median": median, "agrees": agrees,
            "ratio": {peer: median[peer] / median["culatent"] for peer in median},
            "ivf_recall": recall(found["ivf"][rows], found["culatent"][rows])}


def main():
    data = read(OPTIONS.data) if OPTIONS.data else None
    print(f"scikit-learn {sklearn.__version__}, faiss "
          f"{faiss.__version__ if faiss else 'not installed'}, {OPTIONS.threads} threads, float32, "
          f"medians of {OPTIONS.repeats}; seconds, and over culatent's exact search")
    others = ("faiss", "brute", "kd_tree", "ivf")
    print(f"{'rows x features, k':>22} {'culatent':>9} " +
          " ".join(f"{peer:>9} {'ratio':>6}" for peer in others) + "  recall of ivf")
    results = []
    for case in OPTIONS.case:
        result = measure(case, data)
        results.append(result)
        cells = [f"{result['median']['culatent']:9.3f}"]
        for peer in others:
            if peer in result["median"]:
                cells.append(f"{result['median'][peer]:9.3f} {result['ratio'][peer]:6.2f}")
            else:
                cells.append(f"{'-':>9} {'-':>6}")
        verdict = "" if result["agrees"] else "  A PEER FOUND NEARER ONES"
        print(f"{'%d x %d, %d' % case:>22} {' '.join(cells)}  {result['ivf_recall']:.3f}{verdict}",
              flush=True)
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(
            {"scikit_learn": sklearn.__version__, "faiss": faiss.__version__ if faiss else None,
             "threads": OPTIONS.threads, "results": results}, indent=1) + "\n")
    return 0 if all(result["agrees"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
