"""A CUDA device: the real one where there is one, else the CPU stand-in's where that is built."""

import math
import random

from files import BLOBS, planted, read_npy, read_safetensors, write_npy
from harness import Skip, near

FIT = ["fit", "gaussian-mixture", "x.npy", "--components", 3, "--seed", 1]


def data(box, n=1500):
    devices = {d["name"]: d for d in box.ok("devices")["devices"]}
    if not devices.get("cuda:0", {}).get("available"):
        raise Skip("no CUDA device")
    write_npy(box.path("x.npy"), planted(n, BLOBS, spread=1.0, seed=1))


def test_auto_takes_the_device_and_the_report_says_so(box):
    data(box)
    report = box.ok(*FIT, "--model", "m.safetensors")
    assert report["device"] == "cuda:0"
    assert report["memory"]["peak_device_bytes"] > 0
    plan = box.ok(*FIT, "--model", "m.safetensors", "--dry-run")
    assert plan["device_bytes"] >= report["memory"]["peak_device_bytes"]


def test_it_agrees_with_the_processor(box):
    data(box)
    for covariance in ("full", "tied", "diagonal", "spherical"):
        fit = [*FIT, "--covariance", covariance, "--max-iter", 5, "--tol", 0]
        cpu = box.ok(*fit, "--model", "cpu.safetensors", "--device", "cpu")
        cuda = box.ok(*fit, "--model", "cuda.safetensors", "--device", "cuda")
        # Both sum 1500 rows in float64 after the same k-means.
        near(cuda["objective"], cpu["objective"], 1e-11 * abs(cpu["objective"]), covariance)
        ours, _ = read_safetensors(box.path("cuda.safetensors"))
        theirs, _ = read_safetensors(box.path("cpu.safetensors"))
        assert set(ours) == set(theirs)
        for device in ("cpu", "cuda"):
            box.ok("predict", "cuda.safetensors", "x.npy", "--output", f"{device}.npy",
                   "--device", device)
            box.ok("transform", "cuda.safetensors", "x.npy", "--output", f"r_{device}.npy",
                   "--device", device)
        assert read_npy(box.path("cpu.npy")) == read_npy(box.path("cuda.npy"))
        shares = [read_npy(box.path(f"r_{device}.npy"))[2] for device in ("cpu", "cuda")]
        assert max(abs(a - b) for a, b in zip(*shares)) < 1e-9
        scores = [box.ok("score", "cuda.safetensors", "x.npy", "--device", device)
                  for device in ("cpu", "cuda")]
        near(scores[1]["log_likelihood"], scores[0]["log_likelihood"], 1e-11, "score")


def test_kmeans_has_the_processors_bits(box):
    data(box)
    for clusters, options in ((3, []), (3, ["--mini-batch", 300, "--max-iter", 5]),
                              (3, ["--metric", "cosine"]), (40, ["--init", "kmeans-parallel"])):
        for device in ("cpu", "cuda"):
            report = box.ok("fit", "kmeans", "x.npy", "--clusters", clusters, "--seed", 1, *options,
                            "--model", f"{device}.safetensors", "--device", device)
            assert report["device"].startswith(device), report["device"]
            for verb in ("predict", "transform"):
                box.ok(verb, f"{device}.safetensors", "x.npy", "--output", f"{verb}_{device}.npy",
                       "--device", device)
        assert box.bytes("cpu.safetensors") == box.bytes("cuda.safetensors"), options
        assert read_npy(box.path("predict_cpu.npy")) == read_npy(box.path("predict_cuda.npy"))
        far = [read_npy(box.path(f"transform_{device}.npy"))[2] for device in ("cpu", "cuda")]
        # Three or so squares are added up in float32, in any order.
        assert all(abs(a - b) <= 1e-6 * (1 + a) for a, b in zip(*far)), options


def test_tsne_has_the_processors_divergence(box):
    data(box, 300)
    embed = ["embed", "tsne", "x.npy", "--seed", 1, "--max-iter", 120, "--perplexity", 10]
    runs = [box.ok(*embed, "--output", f"{device}.npy", "--device", device)
            for device in ("cpu", "cuda")]
    assert runs[1]["device"] == "cuda:0" and runs[1]["options"]["repulsion"] == "auto"
    assert runs[1]["memory"]["peak_device_bytes"] > 0
    # Two descents from one start, which part by rounding.
    near(runs[1]["objective"], runs[0]["objective"], 0.02 * runs[0]["objective"], "divergence")
    score = ["score", "tsne", "x.npy", "--perplexity", 10, "--embedding"]
    scores = [box.ok(*score[:-1], "--device", device, "--embedding", "cuda.npy")
              for device in ("cpu", "cuda")]
    near(scores[0]["kl"], runs[1]["kl"], 1e-4 * runs[1]["kl"], "score")
    near(scores[1]["kl"], scores[0]["kl"], 1e-5 * scores[0]["kl"], "score on the device")
    assert scores[0]["trustworthiness"] == scores[1]["trustworthiness"]
    grid = box.ok("embed", "tsne", "x.npy", "--seed", 1, "--max-iter", 3, "--perplexity", 10,
                  "--output", "grid.npy", "--device", "cuda", "--repulsion", "fft")
    assert grid["device"] == "cuda:0" and grid["repulsion"] == "fft"
    near(box.ok(*score, "grid.npy", "--device", "cpu")["kl"], grid["kl"], 1e-4 * grid["kl"], "score of a grid's")


def test_bits_depend_on_neither_chunks_nor_threads(box):
    data(box, 3000)
    for name, options in (("a", []), ("b", ["--chunk-rows", 1024]), ("c", ["--threads", 1])):
        box.ok(*FIT, "--model", f"{name}.safetensors", "--device", "cuda:0", "--max-iter", 4,
               *options)
    assert box.bytes("a.safetensors") == box.bytes("b.safetensors") == box.bytes("c.safetensors")


def test_precision_is_float32s_and_reported(box):
    data(box)
    exact = box.ok(*FIT, "--model", "m.safetensors", "--dtype", "float64", "--precision", "fp64")
    for precision in ("fp32", "fast"):
        report = box.ok(*FIT, "--model", "m.safetensors", "--dtype", "float32", "--precision",
                        precision)
        assert report["options"]["precision"] == precision
        assert math.isclose(report["objective"], exact["objective"], rel_tol=1e-4)
        box.fails(2, *FIT, "--model", "n.safetensors", "--dtype", "float64", "--precision",
                  precision, words=["--precision"])


def test_what_has_no_steps_for_it_runs_on_the_processor_or_says_so(box):
    data(box)
    missing = [*FIT, "--missing", "--model", "m.safetensors"]
    assert box.ok(*missing)["device"] == "cpu"
    box.fails(5, *missing, "--device", "cuda", words=["--missing"])
    kde = ["fit", "kde", "x.npy", "--model", "k.safetensors"]
    assert box.ok(*kde)["device"] == "cpu"
    box.fails(5, *kde, "--device", "cuda", words=["kde"])
    box.fails(5, *FIT, "--model", "m.safetensors", "--device", "cuda:99", words=["looked for"])


def test_memory_that_is_too_little_is_told_before_work(box):
    data(box)
    box.fails(4, *FIT, "--model", "m.safetensors", "--device", "cuda", "--memory-limit", "64KiB",
              words=["--memory-limit"])
    assert box.files() == ["x.npy"]


def test_a_checkpoint_is_gone_on_from_to_the_same_bits(box):
    data(box)
    fit = [*FIT, "--tol", 0, "--device", "cuda"]
    box.ok(*fit, "--max-iter", 6, "--model", "whole.safetensors")
    checkpoint = ["--checkpoint", "c.state", "--checkpoint-every", 2, "--resume"]
    process = box.start(*fit, "--max-iter", 6, *checkpoint, "--model", "m.safetensors",
                        "--progress", "json")
    while '"iteration":4' not in process.stderr.readline().replace(" ", ""):
        assert process.poll() is None
    process.kill()
    process.communicate()
    box.ok(*fit, "--max-iter", 6, *checkpoint, "--model", "m.safetensors")
    assert box.bytes("m.safetensors") == box.bytes("whole.safetensors")


def bits(box, n=1200, holes=False):
    data(box)
    draw = random.Random(5)
    means = [[0.9] * 8 + [0.2] * 8, [0.1] * 4 + [0.7] * 12]
    rows = [[math.nan if holes and draw.random() < 0.1 else float(draw.random() < p)
             for p in means[i % 2]] for i in range(n)]
    write_npy(box.path("b.npy"), rows)
    return ["fit", "bernoulli-mixture", "b.npy", "--components", 2, "--seed", 1]


def test_bernoulli_mixtures_agree_with_the_processor(box):
    for holes in (False, True):
        missing = ["--missing"] if holes else []
        fit = [*bits(box, holes=holes), *missing, "--max-iter", 5, "--tol", 0]
        cpu = box.ok(*fit, "--model", "cpu.safetensors", "--device", "cpu")
        cuda = box.ok(*fit, "--model", "cuda.safetensors")
        assert cuda["device"] == "cuda:0" and cuda["dtype"] == "float64"
        # Both sum 1200 rows in float64 after the same k-means.
        near([t["objective"] for t in cuda["trace"]], [t["objective"] for t in cpu["trace"]], 1e-11,
             "trace")
        near(read_safetensors(box.path("cuda.safetensors"))[0]["means"],
             read_safetensors(box.path("cpu.safetensors"))[0]["means"], 1e-11, "means")
        for device in ("cpu", "cuda"):
            box.ok("predict", "cuda.safetensors", "b.npy", *missing, "--output", f"{device}.npy",
                   "--device", device)
        assert read_npy(box.path("cpu.npy")) == read_npy(box.path("cuda.npy"))
        scores = [box.ok("score", "cuda.safetensors", "b.npy", *missing, "--device", device)
                  for device in ("cpu", "cuda")]
        near(scores[1]["log_likelihood"], scores[0]["log_likelihood"], 1e-11, "score")
        plan = box.ok(*fit, "--model", "m.safetensors", "--dry-run")
        assert plan["device_bytes"] >= cuda["memory"]["peak_device_bytes"] > 0


def test_bits_of_bernoulli_mixtures_depend_on_neither_chunks_nor_threads(box):
    fit = [*bits(box, 3000), "--max-iter", 4, "--device", "cuda:0", "--dtype", "float32"]
    for name, options in (("a", []), ("b", ["--chunk-rows", 1024]), ("c", ["--threads", 1])):
        box.ok(*fit, "--model", f"{name}.safetensors", *options)
    assert box.bytes("a.safetensors") == box.bytes("b.safetensors") == box.bytes("c.safetensors")


def test_values_outside_are_named_on_the_device_too(box):
    fit = bits(box)
    rows = [[0.0, 1.0]] * 1500
    rows[1300] = [0.0, 1.25]
    write_npy(box.path("b.npy"), rows)
    box.fails(3, *fit, "--model", "m.safetensors", "--device", "cuda",
              words=["1.25", "row 1300, column 1"])
