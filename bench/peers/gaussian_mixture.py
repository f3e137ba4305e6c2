#!/usr/bin/env python3
"""The Gaussian mixture of scikit-learn and of culatent, side by side.

Same planted data, same start (weights, means, covariances), same number of EM iterations, same
number of threads; runs alternate, the table shows medians. "fit" is the seconds of the iterations
(culatent: seconds.fit of its report; scikit-learn: the time of GaussianMixture.fit, whose start is
given), "process" also loads the file (culatent: the whole command, which saves the model too).
Both must end at the same mean log-likelihood: within 1e-5 in float32 and 1e-9 in float64,
relative; anything else ends the program with exit code 1.

    bench/peers/gaussian_mixture.py --culatent build/release/host/cli/culatent

Needs numpy, scipy, scikit-learn, threadpoolctl and safetensors.
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

COVARIANCES = ("full", "tied", "diagonal", "spherical")
CASES = ((200_000, 16, 16), (100_000, 64, 32))
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}


def arguments():
    parser = peers.parser(__doc__, CASES, "components")
    parser.add_argument("--covariance", action="append", choices=COVARIANCES)
    parser.add_argument("--dtype", action="append", choices=tuple(TOLERANCE))
    options = peers.parse(parser)
    options.covariance = options.covariance or list(COVARIANCES)
    options.dtype = options.dtype or list(TOLERANCE)
    return options


OPTIONS = arguments()  # before the imports below

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.mixture import GaussianMixture  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

SKLEARN_NAME = {"diagonal": "diag"}


def planted(rows, columns, components, seed=20260101):
    """Rows of a mixture of overlapping Gaussians with full covariances, and a start beside it."""
    random = np.random.default_rng(seed)
    means = random.normal(0, 3, (components, columns))
    labels = random.choice(components, rows, p=random.dirichlet(np.full(components, 5.0)))
    x = random.normal(size=(rows, columns))
    for k in range(components):
        mix = np.eye(columns) + random.normal(0, 0.5 / np.sqrt(columns), (columns, columns))
        x[labels == k] = x[labels == k] @ mix
    x += means[labels]
    return x, means + random.normal(0, 0.5, means.shape)


def start(x, means, covariance):
    """Equal weights, the given means, and the data's own variance for every component."""
    components, columns = means.shape
    pooled = np.cov(x.T).reshape(columns, columns)
    covariances = {
        "full": lambda: np.repeat(pooled[None], components, 0),
        "tied": lambda: pooled,
        "diagonal": lambda: np.repeat(np.diag(pooled)[None], components, 0),
        "spherical": lambda: np.full(components, np.diag(pooled).mean()),
    }[covariance]()
    return np.full(components, 1.0 / components), means, np.ascontiguousarray(covariances)


def precisions(covariances, covariance):
    return np.linalg.inv(covariances) if covariance in ("full", "tied") else 1.0 / covariances


def run_sklearn(path, parameters, covariance, dtype):
    weights, means, covariances = parameters
    begin = time.perf_counter()
    x = np.load(path)
    model = GaussianMixture(
        len(weights), covariance_type=SKLEARN_NAME.get(covariance, covariance), tol=0.0,
        max_iter=OPTIONS.iterations, weights_init=weights.astype(dtype),
        means_init=means.astype(dtype),
        precisions_init=precisions(covariances, covariance).astype(dtype),
        init_params="random_from_data", random_state=0)
    loaded = time.perf_counter()
    with threadpool_limits(OPTIONS.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x)
    end = time.perf_counter()
    # lower_bound_ is that of the last E-step, one update before the model; the score is at the model.
    with threadpool_limits(OPTIONS.threads):
        likelihood = float(np.float64(model.score(x)))
    return {"fit": end - loaded, "process": end - begin, "log_likelihood": likelihood,
            "n_iter": model.n_iter_}


def run_culatent(path, start_file, components, covariance, dtype, folder):
    report = folder / "report.json"
    begin = time.perf_counter()
    subprocess.run(
        [OPTIONS.culatent, "fit", "gaussian-mixture", path, "--components", str(components),
         "--covariance", covariance, "--dtype", dtype, "--init", start_file, "--max-iter",
         str(OPTIONS.iterations), "--tol", "0", "--threads", str(OPTIONS.threads), "--seed", "0",
         "--progress", "none", "--model", folder / "model.safetensors", "--report", report],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.perf_counter()
    result = json.loads(report.read_text())
    return {"fit": result["seconds"]["fit"], "process": end - begin,
            "log_likelihood": result["objective"], "n_iter": result["n_iter"]}


def measure(case, dtype, covariance, data, folder):
    x, means = data
    path, start_file = folder / f"{dtype}.npy", folder / "start.safetensors"
    parameters = start(x, means, covariance)
    save_file(dict(zip(("weights", "means", "covariances"), parameters)), start_file,
              metadata={"culatent.method": "gaussian-mixture", "covariance": covariance})
    runs = {"scikit-learn": [], "culatent": []}
    for _ in range(OPTIONS.repeats):
        runs["scikit-learn"].append(run_sklearn(path, parameters, covariance, dtype))
        runs["culatent"].append(
            run_culatent(path, start_file, case[2], covariance, dtype, folder))
    theirs, ours = (runs[name][-1] for name in ("scikit-learn", "culatent"))
    for name, result in (("scikit-learn", theirs), ("culatent", ours)):
        if result["n_iter"] != OPTIONS.iterations:
            sys.exit(f"{name} did {result['n_iter']} iterations, not {OPTIONS.iterations}")
    median = {name: {key: statistics.median(run[key] for run in runs[name])
                     for key in ("fit", "process")} for name in runs}
    difference = abs(ours["log_likelihood"] / theirs["log_likelihood"] - 1)
    return {"case": case, "dtype": dtype, "covariance": covariance, "runs": runs, "median": median,
            "ratio": median["scikit-learn"]["fit"] / median["culatent"]["fit"],
            "process_ratio": median["scikit-learn"]["process"] / median["culatent"]["process"],
            "relative_difference": difference, "agrees": difference <= TOLERANCE[dtype]}


def main():
    print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, {OPTIONS.threads} threads, "
          f"{OPTIONS.iterations} iterations, medians of {OPTIONS.repeats}; seconds")
    header = (f"{'rows x features, K':>22} {'dtype':>8} {'covariance':>10} {'sklearn':>9} "
              f"{'culatent':>9} {'ratio':>6} {'process':>15} {'ratio':>6}  log-likelihood")
    print(header)
    results = []
    for case in OPTIONS.case:
        data = planted(*case)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for dtype in OPTIONS.dtype:
                np.save(folder / f"{dtype}.npy", data[0].astype(dtype))
                for covariance in OPTIONS.covariance:
                    result = measure(case, dtype, covariance, data, folder)
                    results.append(result)
                    theirs, ours = (result["median"][name] for name in ("scikit-learn", "culatent"))
                    verdict = "equal" if result["agrees"] else "DIFFERENT"
                    print(f"{'%d x %d, %d' % case:>22} {dtype:>8} {covariance:>10} "
                          f"{theirs['fit']:9.3f} {ours['fit']:9.3f} {result['ratio']:6.2f} "
                          f"{theirs['process']:7.2f} {ours['process']:7.2f} "
                          f"{result['process_ratio']:6.2f}  {verdict} to "
                          f"{result['relative_difference']:.0e}", flush=True)
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(
            {"scikit_learn": sklearn.__version__, "numpy": np.__version__,
             "threads": OPTIONS.threads, "iterations": OPTIONS.iterations, "results": results},
            indent=1) + "\n")
    return 0 if all(result["agrees"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
