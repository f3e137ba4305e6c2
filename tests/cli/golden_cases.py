"""Frozen results of scikit-learn (tests/golden), through the command line alone."""

import json
import os

from files import (flatten, inverse, npy_bytes, read_npy, read_rows, read_safetensors, unflatten,
                   write_npy, write_safetensors)
from harness import GOLDEN, near

TYPES = {"full": "full", "tied": "tied", "diag": "diagonal", "spherical": "spherical"}


def load(case):
    folder = os.path.join(GOLDEN, "gmm", case)
    with open(os.path.join(folder, "case.json")) as file:
        content = json.load(file)
    inputs = {name: os.path.join(folder, entry["file"]) for name, entry in content["inputs"].items()}
    for entry in content["expected"].values():
        if "file" in entry:  # the larger ones lie beside
            shape, _, values = read_npy(os.path.join(folder, entry["file"]))
            entry["value"] = unflatten(values, list(shape))
    return content["params"], inputs, content["expected"]


def covariances_of(precisions, kind):
    if kind == "full":
        return [inverse(p) for p in precisions]
    if kind == "tied":
        return inverse(precisions)
    if kind == "diag":
        return [[1.0 / p for p in row] for row in precisions]
    return [1.0 / p for p in precisions]


def start_file(box, params, inputs):
    kind = params["covariance_type"]
    tensors = {}
    for name, key in (("weights", "w0"), ("means", "m0"), ("covariances", "P0")):
        shape, _, values = read_npy(inputs[key])
        tensors[name] = unflatten(values, list(shape))
    tensors["covariances"] = covariances_of(tensors["covariances"], kind)
    write_safetensors(box.path("start.safetensors"), tensors)
    return ["--components", params["n_components"], "--covariance", TYPES[kind], "--reg-covar",
            params["reg_covar"], "--init", "start.safetensors"]


def check_case(box, case, dtype):
    params, inputs, expected = load(case)
    start = start_file(box, params, inputs)
    data = inputs["X"]
    bits = "f64" if dtype == "float64" else "f32"

    def check(name, actual):
        near(actual, expected[name]["value"], expected[name]["atol_" + bits], f"{case} {name}")

    run = box.ok("fit", "gaussian-mixture", data, *start, "--max-iter", params["T"], "--tol", 0,
                 "--dtype", dtype, "--model", "m.safetensors")
    assert run["n_iter"] == params["T"] and run["converged"] is False
    assert len(run["trace"]) == params["T"] + 1
    assert "not_converged" in [w["code"] for w in run["warnings"]]
    check("trace", [entry["log_likelihood"] for entry in run["trace"]])
    tensors, metadata = read_safetensors(box.path("m.safetensors"))
    assert metadata["culatent.method"] == "gaussian-mixture"
    assert metadata["culatent.format"] == "1"
    assert metadata["culatent.n_features"] == str(run["n_features"])
    assert metadata["covariance"] == TYPES[params["covariance_type"]]
    assert json.loads(metadata["culatent.options"])["components"] == params["n_components"]
    for name in ("weights", "means", "covariances"):
        check(name + "_T", tensors[name])

    score = box.ok("score", "m.safetensors", data, "--dtype", dtype, "--output", "lp.npy")
    for name, key in (("score_T", "log_likelihood"), ("loglik_T", "total_log_likelihood"),
                      ("bic_T", "bic"), ("aic_T", "aic")):
        check(name, score[key])
    assert score["n_parameters"] == expected["n_params"]["value"]
    rows = read_npy(inputs["resp_idx"])[2]
    log_prob = read_npy(box.path("lp.npy"))
    assert log_prob[1] == ("<f8" if dtype == "float64" else "<f4")
    check("logprob_T", [log_prob[2][i] for i in rows])
    box.ok("transform", "m.safetensors", data, "--dtype", dtype, "--output", "z.npy")
    resp = read_rows(box.path("z.npy"))
    check("resp_T", [resp[i] for i in rows])
    box.ok("predict", "m.safetensors", data, "--dtype", dtype, "--output", "l.npy")
    shape, kind, labels = read_npy(box.path("l.npy"))
    assert kind == "<i4" and list(shape) == [run["n_rows"]]
    assert labels == [row.index(max(row)) for row in resp]


def check_convergence(box, case):
    params, inputs, expected = load(case)
    run = box.ok("fit", "gaussian-mixture", inputs["X"], *start_file(box, params, inputs),
                 "--max-iter", params["conv_max_iter"], "--tol", params["conv_tol"], "--dtype",
                 "float64", "--model", "m.safetensors")
    assert run["converged"] is True and run["warnings"] == []
    assert run["n_iter"] == expected["conv_n_iter"]["value"]
    near(run["objective"] * run["n_rows"], expected["conv_loglik"]["value"],
         expected["conv_loglik"]["atol_f64"], f"{case} conv_loglik")
    near(sorted(read_safetensors(box.path("m.safetensors"))[0]["weights"]),
         expected["conv_weights_sorted"]["value"], expected["conv_weights_sorted"]["atol_f64"],
         f"{case} conv_weights_sorted")


def make(case):
    def float64(box):
        check_case(box, case, "float64")

    def float32(box):
        check_case(box, case, "float32")

    def converged(box):
        check_convergence(box, case)
    return {f"test_{case}_float64": float64, f"test_{case}_float32": float32,
            f"test_{case}_converged": converged}


for _case in sorted(os.listdir(os.path.join(GOLDEN, "gmm"))):
    if os.path.isdir(os.path.join(GOLDEN, "gmm", _case)):
        globals().update(make(_case))


def test_kernel_density(box):
    folder = os.path.join(GOLDEN, "kde", "faithful_std")
    with open(os.path.join(folder, "case.json")) as file:
        case = json.load(file)
    data, queries = os.path.join(folder, "X.npy"), os.path.join(folder, "Y.npy")
    for j, bandwidth in enumerate(case["params"]["bandwidths"]):
        box.ok("fit", "kde", data, "--bandwidth", bandwidth, "--model", "k.safetensors")
        score = box.ok("score", "k.safetensors", queries, "--output", "lp.npy")
        expected = case["expected"][f"logdens_h{j}"]
        near(read_npy(box.path("lp.npy"))[2], expected["value"], expected["atol_f64"], "logdens")
        near(score["log_likelihood"], sum(expected["value"]) / 20, expected["atol_f64"], "mean")
        expected = case["expected"][f"loo_h{j}"]
        score = box.ok("score", "k.safetensors", data, "--leave-one-out")
        near(score["log_likelihood"], expected["value"], expected["atol_f64"], "leave one out")


def test_rows_of_another_order_and_type_give_the_same_fit(box):
    params, inputs, expected = load("iris_full")
    start = start_file(box, params, inputs)
    shape, _, values = read_npy(inputs["X"])
    rows = unflatten(values, list(shape))
    columns = [row[j] for j in range(shape[1]) for row in rows]
    box.write("fortran.npy", npy_bytes(columns, shape, "<f8", fortran=True))
    write_npy(box.path("c.npy"), rows)
    box.write("x.csv", "".join(",".join(map(repr, row)) + "\n" for row in rows))
    models = set()
    for name in ("fortran.npy", "c.npy", "x.csv"):
        run = box.ok("fit", "gaussian-mixture", name, *start, "--max-iter", 5, "--tol", 0,
                     "--model", "m.safetensors")
        assert run["dtype"] == "float64"
        models.add(json.dumps(flatten(read_safetensors(box.path("m.safetensors"))[0]["means"])))
    assert len(models) == 1
