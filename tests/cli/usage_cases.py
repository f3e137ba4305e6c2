"""Verbs, help, options and exit codes of the command itself."""

import json
import re
import resource

from files import BLOBS, planted, write_npy
from harness import DATA

VERBS = ["fit", "embed", "predict", "transform", "score", "sample", "info", "convert", "devices"]
METHODS = ["gaussian-mixture", "kde"]


def test_version_names_the_backends(box):
    result = box.run("--version")
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    assert re.fullmatch(r"culatent \d+\.\d+\.\d+", lines[0]), lines
    assert "cpu" in lines[1], lines


def test_help_is_a_manual_page_on_every_level(box):
    pages = [[], *[[verb] for verb in VERBS], *[["fit", method] for method in METHODS],
             ["embed", "tsne"], ["score", "tsne"]]
    for words in pages:
        result = box.run(*words, "--help")
        assert result.code == 0 and result.err == "", str(result)
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES"):
            assert re.search(rf"^{section}$", result.out, re.M), f"{words}: no {section}"
        assert all(len(line) <= 90 for line in result.out.splitlines()), words


def test_help_names_every_option_of_the_contract(box):
    page = box.run("fit", "gaussian-mixture", "--help").out
    for option in ("components covariance reg-covar init n-init collapse weights missing max-iter "
                   "tol seed threads dtype device memory-limit dry-run resume checkpoint "
                   "checkpoint-every progress report html labels image-shape model order rows "
                   "columns scale shape raw-type").split():
        assert re.search(rf"^  (-h )?--{option}\b", page, re.M), option
    for method in METHODS:
        assert method in box.run("fit", "--help").out


def test_methods_and_verbs_that_do_not_exist_are_usage_errors(box):
    for method in ("pca", "nonsense"):
        box.fails(2, "fit", method, "--help", words=[method, "gaussian-mixture", "kde"])
    box.fails(2, "embed", "nonsense", "--help", words=["nonsense", "tsne"])
    for verb in ("bench", "nonsense"):
        box.fails(2, verb, "--help", words=[verb, "fit"])
    box.fails(2, words=["VERB"])
    box.fails(2, "fit", words=["METHOD"])
    box.fails(2, "embed", words=["METHOD"])


def test_wrong_options_are_usage_errors(box):
    data = f"{DATA}/old_faithful.npy"
    base = ["fit", "gaussian-mixture", data, "--model", "m.safetensors"]
    box.fails(2, *base, "--componets", "2", words=["--componets", "--components"])
    box.fails(2, *base, "surplus", words=["surplus"])
    box.fails(2, *base, "--components", words=["--components"])
    for option, value in [
            ("--components", "0"), ("--components", "-1"), ("--components", "two"),
            ("--components", "2.5"), ("--components", "99999999999999999999"),
            ("--components", "0x2"), ("--components", ""), ("--covariance", "diag"),
            ("--covariance", ""), ("--reg-covar", "-1"), ("--reg-covar", "nan"),
            ("--reg-covar", "inf"), ("--tol", "-1"), ("--tol", "x"), ("--tol", "nan"),
            ("--max-iter", "-1"), ("--n-init", "0"), ("--seed", "-1"), ("--seed", "1.5"),
            ("--seed", "18446744073709551616"), ("--threads", "0"), ("--threads", "100000"),
            ("--dtype", "float16"), ("--collapse", "ignore"), ("--order", "size"),
            ("--init", "nonsense"), ("--rows", "5"), ("--rows", "a:b"), ("--rows", "-1:2"),
            ("--columns", "1"), ("--scale", "nan"), ("--memory-limit", "12parsecs"),
            ("--memory-limit", "0"), ("--memory-limit", "-1"), ("--memory-limit", "1e400GiB"),
            ("--memory-limit", "99999999999GiB"), ("--chunk-rows", "0"), ("--progress", "loud"),
            ("--device", "tpu"), ("--device", "cuda:"), ("--device", "cuda:x"),
            ("--checkpoint-every", "0")]:
        box.fails(2, *base, option, value, words=[option])
    box.fails(2, *base, "--seed", "1", "--seed", "2")
    box.fails(2, *base, "--resume", words=["--checkpoint"])
    box.fails(2, *base, "--checkpoint-every", "2", words=["--checkpoint"])
    box.fails(2, *base, "--labels", f"{DATA}/digits_labels.npy", words=["--html"])
    box.fails(2, *base, "--html", "x.html", "--image-shape", "3x3", words=["--image-shape"])
    box.fails(2, *base, "--html", "x.html", "--image-shape", "0x2", words=["--image-shape"])
    box.fails(2, "fit", "gaussian-mixture", data, words=["--model"])
    box.fails(2, "fit", "gaussian-mixture", "--model", "m.safetensors", words=["DATA"])
    box.fails(2, "fit", "kde", data, "--model", "m.safetensors", "--components", "2")
    for bandwidth in ("0", "-1", "wide", "nan", "inf"):
        box.fails(2, "fit", "kde", data, "--model", "m.safetensors", "--bandwidth", bandwidth,
                  words=["--bandwidth"])
    assert box.files() == []


def test_a_device_that_is_not_there_says_what_was_looked_for(box):
    listed = {d["name"]: d for d in box.ok("devices")["devices"]}
    assert listed["cpu"]["available"] is True
    if any(name.startswith("cuda") and d["available"] for name, d in listed.items()):
        wanted = "cuda:99"
    else:
        wanted = "cuda"
    box.fails(5, "fit", "gaussian-mixture", f"{DATA}/old_faithful.npy", "--model",
              "m.safetensors", "--device", wanted, words=["looked for", "cuda", "cpu"])
    assert box.files() == []


def test_cpu_is_the_processor_and_auto_the_first_device_there_is(box):
    found = [d["name"] for d in box.ok("devices")["devices"] if d["available"]]
    for device, expected in (("cpu", "cpu"), ("auto", (found[1:] + ["cpu"])[0])):
        report = box.ok("fit", "gaussian-mixture", f"{DATA}/old_faithful.npy", "--model",
                        "m.safetensors", "--device", device)
        assert report["device"] == expected


def test_numbers_have_17_significant_digits(box):
    result = box.run("fit", "gaussian-mixture", f"{DATA}/old_faithful.npy", "--components", 2,
                     "--seed", 1, "--model", "m.safetensors")
    found = re.findall(r'"log_likelihood": (-?[0-9.e+-]+)', result.out)
    assert len(found) == result.json["n_iter"] + 1
    for text in found:
        assert text == format(float(text), ".17g"), text


def test_the_report_file_is_what_stdout_gets(box):
    result = box.run("fit", "gaussian-mixture", f"{DATA}/iris.npy", "--components", 3, "--seed", 1,
                     "--model", "m.safetensors", "--report", "r.json")
    assert result.code == 0, str(result)
    assert box.bytes("r.json").decode() == result.out
    report = json.loads(result.out)
    for key in ("method n_rows n_features options seed device dtype n_iter converged objective "
                "trace seconds memory warnings version bytes_read").split():
        assert key in report, key
    assert set(report["seconds"]) == {"load", "init", "fit", "total"}
    assert set(report["memory"]) == {"planned_bytes", "peak_host_bytes", "peak_device_bytes"}
    assert report["n_rows"] == 150 and report["n_features"] == 4 and report["seed"] == 1
    assert report["dtype"] == "float32" and report["options"]["components"] == 3
    assert report["bytes_read"] >= 150 * 4 * 4 * report["n_iter"]
    assert "interrupted" not in report


def test_start_up_takes_under_50_ms_of_processor_time(box):
    write_npy(box.path("x.npy"), planted(30, BLOBS))
    box.ok("info", "x.npy")
    spent = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert box.run("--version").code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # The median: the processor may be shared. Sanitizers multiply the time, so they are let off.
    if box.plain_build():
        assert sorted(spent)[3] < 0.050, spent
