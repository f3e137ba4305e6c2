#!/usr/bin/env python3
"""One EM iteration of a Gaussian mixture in PyTorch, as well as one writes it there, for the cases
that bench/cuda/gaussian_mixture_cuda_bench measured.

    gaussian_mixture_torch.py --ours OURS.jsonl --json PEERS.jsonl
    gaussian_mixture_torch.py --check          its formulas against torch.distributions, any device

Two formulations: "whitening" multiplies the rows by the inverse Cholesky factors of all components
in one product and sums squares; "features" takes densities and moments as two products with the
monomials x_i x_j (half the flops, and it cancels for components far from the centre). Each eager
and, where it works, through torch.compile. The fastest one is the peer. Rows come in chunks, so
that no intermediate outgrows the memory; sums over chunks and the update are float64. CUDA events,
medians of several, data on the device.
"""

import argparse
import json
import math
import pathlib
import re
import statistics
import sys
import time

try:
    import torch
except ImportError as error:
    sys.exit(f"gaussian_mixture_torch: no PyTorch here ({error}): install it to have this peer")

NAME = "gaussian_mixture.iteration"
DEFAULT_CASES = ("diagonal 10000000x16 K=32 float32", "full 1000000x64 K=64 float32",
                 "full 1000000x64 K=64 float32 fast", "full 100000x32 K=16 float64")
REG_COVAR = 1e-6


def parse_case(text):
    """(covariance, n, d, k, dtype, precision), or None for a case that has no peer here. TF32 is to
    PyTorch what "fast" is to us."""
    found = re.fullmatch(r"(full|diagonal) (\d+)x(\d+) K=(\d+) (float32|float64)( fast)?", text)
    if not found:
        return None
    precision = "float32 with TF32" if found[6] else found[5]
    return (found[1], int(found[2]), int(found[3]), int(found[4]), getattr(torch, found[5]),
            precision)


class Mixture:
    """Weights, means and covariances in float64, about the centre of the rows."""

    def __init__(self, covariance, means):
        k, d = means.shape
        self.weights = torch.full((k,), 1.0 / k, dtype=torch.float64, device=means.device)
        self.means = means.double()
        eye = torch.ones(d, dtype=torch.float64, device=means.device)
        self.covariances = eye.repeat(k, 1) if covariance == "diagonal" else eye.diag().repeat(k, 1, 1)

    def update(self, counts, sums, squares):
        """M-step; squares is [K, d] or [K, d, d]."""
        counts = counts[:, None]
        self.means = sums / counts
        self.weights = (counts / counts.sum()).flatten()
        if squares.dim() == 2:
            self.covariances = squares / counts - self.means.square() + REG_COVAR
        else:
            outer = self.means[:, :, None] * self.means[:, None, :]
            self.covariances = squares / counts[:, :, None] - outer
            self.covariances.diagonal(dim1=1, dim2=2).add_(REG_COVAR)

    def constants(self, log_det):
        return self.weights.log() - 0.5 * (log_det + self.means.shape[1] * math.log(2 * math.pi))


def add_responsibilities(joint):
    """(responsibilities, sum of log p(x) in float64)."""
    log_prob = torch.logsumexp(joint, 1, keepdim=True)
    return torch.exp(joint - log_prob), log_prob.sum(dtype=torch.float64)


class Diagonal:
    """Densities and moments as products with x and x²."""

    def parameters(self, mixture, dtype):
        precision = 1 / mixture.covariances
        constant = mixture.constants(mixture.covariances.log().sum(1))
        constant = constant - 0.5 * (mixture.means.square() * precision).sum(1)
        return tuple(value.to(dtype) for value in
                     ((-0.5 * precision).T.contiguous(), (mixture.means * precision).T.contiguous(),
                      constant))

    def chunk(self, x, parameters):
        quadratic, linear, constant = parameters
        squared = x.square()
        joint = torch.addmm(torch.addmm(constant, x, linear), squared, quadratic)
        resp, log_likelihood = add_responsibilities(joint)
        return (log_likelihood, resp.sum(0).double(), (resp.T @ x).double(),
                (resp.T @ squared).double())

    def squares(self, value, _):
        return value

    def chunk_rows(self, d, k):
        return max(1, (1 << 28) // (d + 3 * k))


class Whitening:
    """y = L⁻¹ (x − mean) for all components in one product."""

    def parameters(self, mixture, dtype):
        factor = torch.linalg.cholesky(mixture.covariances)
        k, d = mixture.means.shape
        eye = torch.eye(d, dtype=torch.float64, device=factor.device).expand(k, d, d)
        whitening = torch.linalg.solve_triangular(factor, eye, upper=False)
        shift = (whitening @ mixture.means[:, :, None]).reshape(k * d)
        log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return tuple(value.to(dtype) for value in
                     (whitening.reshape(k * d, d).T.contiguous(), -shift,
                      mixture.constants(log_det)))

    def chunk(self, x, parameters):
        whitening, shift, constant = parameters
        n, d = x.shape
        k = constant.shape[0]
        y = torch.addmm(shift, x, whitening).view(n, k, d)
        resp, log_likelihood = add_responsibilities(constant - 0.5 * y.square().sum(2))
        weighted = (resp[:, :, None] * x[:, None, :]).reshape(n, k * d)
        return (log_likelihood, resp.sum(0).double(), (resp.T @ x).double(),
                (weighted.T @ x).double())

    def squares(self, value, d):
        return value.reshape(-1, d, d)

    def chunk_rows(self, d, k):
        return max(1, (1 << 28) // (k * d))


class Features:
    """Densities and moments as products with the monomials of each row."""

    def parameters(self, mixture, dtype):
        factor = torch.linalg.cholesky(mixture.covariances)
        precision = torch.cholesky_inverse(factor)
        k, d = mixture.means.shape
        rows, columns = torch.triu_indices(d, d, device=factor.device)
        theta = -0.5 * precision[:, rows, columns] * torch.where(rows == columns, 1.0, 2.0)
        linear = (precision @ mixture.means[:, :, None])[:, :, 0]
        log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = mixture.constants(log_det) - 0.5 * (linear * mixture.means).sum(1)
        return (theta.T.contiguous().to(dtype), linear.T.contiguous().to(dtype),
                constant.to(dtype), rows, columns)

    def chunk(self, x, parameters):
        theta, linear, constant, rows, columns = parameters
        monomials = x[:, rows] * x[:, columns]
        joint = torch.addmm(torch.addmm(constant, x, linear), monomials, theta)
        resp, log_likelihood = add_responsibilities(joint)
        return (log_likelihood, resp.sum(0).double(), (resp.T @ x).double(),
                (resp.T @ monomials).double())

    def squares(self, value, d):
        rows, columns = torch.triu_indices(d, d, device=value.device)
        full = value.new_empty(value.shape[0], d, d)
        full[:, rows, columns] = value
        full[:, columns, rows] = value
        return full

    def chunk_rows(self, d, k):
        return max(1, (1 << 28) // (d * (d + 1)))


def iterate(formulation, chunk, mixture, x, rows_a_chunk):
    """E- and M-step; returns the sum of log p(x) as a tensor."""
    parameters = formulation.parameters(mixture, x.dtype)
    total = None
    for first in range(0, x.shape[0], rows_a_chunk):
        sums = chunk(x[first:first + rows_a_chunk], parameters)
        total = sums if total is None else tuple(a + b for a, b in zip(total, sums))
    log_likelihood, counts, sums, squares = total
    mixture.update(counts, sums, formulation.squares(squares, x.shape[1]))
    return log_likelihood


def event_seconds(run):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return 1e-3 * start.elapsed_time(end)


def median_seconds(run, budget):
    run()
    once = event_seconds(run)
    repeats = max(3, min(20, int(budget / max(once, 1e-6))))
    return statistics.median(event_seconds(run) for _ in range(repeats))


def planted(n, d, k, dtype, device):
    """Rows of k overlapping components, about their mean, and the means."""
    generator = torch.Generator(device).manual_seed(7)
    means = 3 * torch.rand(k, d, generator=generator, device=device, dtype=dtype)
    labels = torch.randint(k, (n,), generator=generator, device=device)
    x = torch.randn(n, d, generator=generator, device=device, dtype=dtype) + means[labels]
    centre = x.mean(0)
    return x - centre, means - centre


def formulations(covariance):
    return {"diagonal": Diagonal()} if covariance == "diagonal" else \
        {"whitening": Whitening(), "features": Features()}


def measure(case, options, deadline):
    """(seconds, words) of the fastest way, infinite without one, and a sentence for each failure."""
    covariance, n, d, k, dtype, precision = parse_case(case)
    x, means = planted(n, d, k, dtype, "cuda")
    best, remarks = (math.inf, ""), []
    torch.set_float32_matmul_precision("high" if "TF32" in precision else "highest")
    for name, formulation in formulations(covariance).items():
        for compiled in (False, True):
            if compiled and (options.quick or time.monotonic() > deadline):
                continue
            torch.compiler.reset()
            words = f"PyTorch {torch.__version__}, {precision}, {name}" + \
                (", compiled" if compiled else "")
            chunk = torch.compile(formulation.chunk) if compiled else formulation.chunk
            mixture = Mixture(covariance, means)
            rows = min(formulation.chunk_rows(d, k), n)
            try:
                seconds = median_seconds(
                    lambda: iterate(formulation, chunk, mixture, x, rows), options.budget)
            except Exception as error:  # noqa: BLE001 torch.compile fails in many ways
                remarks.append(f"{words}: {type(error).__name__}: {str(error)[:200]}")
                continue
            print(f"  {words}: {1e3 * seconds:.3f} ms", flush=True)
            best = min(best, (seconds, words))
    return best, remarks


def check():
    """Two iterations of each formulation against torch.distributions, float64, small."""
    n, d, k = 700, 5, 3
    device = "cuda" if torch.cuda.is_available() else "cpu"
    worst = 0.0
    for covariance in ("diagonal", "full"):
        x, means = planted(n, d, k, torch.float64, device)
        for name, formulation in formulations(covariance).items():
            mixture, oracle = Mixture(covariance, means), Mixture(covariance, means)
            for _ in range(2):
                matrices = oracle.covariances if covariance == "full" else \
                    torch.diag_embed(oracle.covariances)
                density = torch.distributions.MultivariateNormal(oracle.means, matrices)
                joint = density.log_prob(x[:, None, :]) + oracle.weights.log()
                expected = torch.logsumexp(joint, 1).sum()
                resp = torch.softmax(joint, 1)
                # Centred sums: no cancellation that the formulation might share.
                counts = resp.sum(0)
                new_means = torch.einsum("nk,nd->kd", resp, x) / counts[:, None]
                away = x[:, None, :] - new_means
                oracle.means, oracle.weights = new_means, counts / n
                scatter = torch.einsum("nk,nki,nkj->kij", resp, away, away) / counts[:, None, None]
                scatter.diagonal(dim1=1, dim2=2).add_(REG_COVAR)
                oracle.covariances = scatter if covariance == "full" else \
                    scatter.diagonal(dim1=1, dim2=2)
                got = iterate(formulation, formulation.chunk, mixture, x, 256)
                errors = {"log-likelihood": abs(got / expected - 1),
                          "means": (mixture.means - oracle.means).abs().max(),
                          "weights": (mixture.weights - oracle.weights).abs().max(),
                          "covariances": (mixture.covariances - oracle.covariances).abs().max()}
                worst = max([worst, *map(float, errors.values())])
                print(f"{covariance}, {name}: " +
                      ", ".join(f"{key} {float(value):.1e}" for key, value in errors.items()))
    # Values near 10 and 700 rows: rounding stays under n eps max(x)².
    bound = n * torch.finfo(torch.float64).eps * 100
    print(f"worst {worst:.1e}, bound {bound:.1e}")
    return 0 if worst <= bound else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=pathlib.Path, help="entries of our benchmark, JSON lines")
    parser.add_argument("--json", type=pathlib.Path, help="where the entries with peers go")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds a measurement (1)")
    parser.add_argument("--time", type=float, default=120.0, help="seconds in all, about (120)")
    parser.add_argument("--quick", action="store_true", help="without torch.compile")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        return check()
    if not torch.cuda.is_available():
        print("gaussian_mixture_torch: PyTorch finds no CUDA device", file=sys.stderr)
        return 5
    ours = {}
    if options.ours:
        for line in options.ours.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["name"] == NAME:
                ours[entry["case"]] = entry
    entries = []
    deadline = time.monotonic() + options.time / 2  # torch.compile is what takes long
    for case in ours or DEFAULT_CASES:
        if not parse_case(case):
            continue
        print(case, flush=True)
        (seconds, words), remarks = measure(case, options, deadline)
        for remark in remarks:
            print(f"  not measured: {remark}", flush=True)
        if not words:
            continue
        entry = dict(ours.get(case, {"name": NAME, "case": case, "seconds": None}))
        entry.update(peer=words, peer_seconds=seconds, ratio=None)
        if entry["seconds"]:
            entry["ratio"] = seconds / entry["seconds"]
            print(f"  culatent is {entry['ratio']:.2f} times as fast as {words}")
        entries.append(json.dumps(entry))
        if options.json:
            options.json.write_text("".join(line + "\n" for line in entries), encoding="utf-8")
    return 0 if entries else 1


if __name__ == "__main__":
    sys.exit(main())
