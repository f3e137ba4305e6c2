"""Runs the built command and looks at what it leaves. Standard library only.

A group is a module with functions named `test_*(box)`; a Box is a fresh folder and the command.
A case fails by an AssertionError (or any exception) and is skipped by Skip, with its reason counted.
"""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import traceback

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(REPOSITORY, "tests", "data")
GOLDEN = os.path.join(REPOSITORY, "tests", "golden")
TIMEOUT = 120.0  # seconds; nothing here takes a tenth of it on an idle machine


class Skip(Exception):
    """Raised by a case that cannot run here, with the reason."""


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    @property
    def json(self):
        return strict_json(self.out)

    def __str__(self):
        return (f"culatent {' '.join(self.args)}\n  exit {self.code}\n"
                f"  stdout: {self.out[:600]}\n  stderr: {self.err[:600]}")


def strict_json(text):
    """One JSON object, without the NaN and Infinity that Python would take."""
    def refuse(word):
        raise AssertionError(f"{word} in JSON")
    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict), "not an object"
    return value


class Box:
    """A folder of its own and the command under test."""

    def __init__(self, command, folder):
        self.command, self.folder = command, folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *args, **kwargs):
        """The running process, stdout and stderr as text pipes."""
        prepare = kwargs.pop("preexec_fn", None)

        def before_start():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
            if prepare:
                prepare()

        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([self.command, *map(str, args)], cwd=self.folder, text=True,
                                stdin=subprocess.DEVNULL, preexec_fn=before_start, **kwargs)

    def run(self, *args, **kwargs):
        process = self.start(*args, **kwargs)
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"no end after {TIMEOUT} s: culatent {args}")
        return Result([str(a) for a in args], process.returncode, out or "", err or "")

    def ok(self, *args, **kwargs):
        """Runs, expects exit 0 and one JSON object on stdout; returns that object."""
        result = self.run(*args, **kwargs)
        assert result.code == 0, str(result)
        return result.json

    def fails(self, code, *args, words=(), **kwargs):
        """Runs, expects this exit code, an empty stdout and one error line with these words."""
        result = self.run(*args, **kwargs)
        assert result.code == code, f"expected exit {code}\n{result}"
        assert result.out == "", str(result)
        return self.check_error(result, words)

    @staticmethod
    def check_error(result, words=()):
        lines = [line for line in result.err.splitlines() if line.startswith("culatent: error: ")]
        assert len(lines) == 1, f"not one error line\n{result}"
        assert re.fullmatch(r"culatent: error: .+ \(.+\): .+", lines[0]), \
            f"not WHAT (WHERE): what to do\n{result}"
        for word in words:
            assert word in lines[0], f"no {word!r} in the error\n{result}"
        return result

    def plain_build(self):
        """False for a build with sanitizers, where time and memory say nothing."""
        with open(self.command, "rb") as file:
            content = file.read()
        return b"__asan_init" not in content and b"__tsan_init" not in content

    def files(self):
        return sorted(os.listdir(self.folder))

    def bytes(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return name


def wait_for(condition, what, seconds=TIMEOUT):
    """Polls until condition() is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.002)


def near(actual, expected, atol, what="value"):
    """Compares numbers or nested lists of them by an absolute tolerance."""
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), f"{what}: {len(actual)} values, not {len(expected)}"
        for i, (a, e) in enumerate(zip(actual, expected)):
            near(a, e, atol, f"{what}[{i}]")
        return
    assert actual is not None and math.isfinite(actual), f"{what} is {actual}"
    assert abs(actual - expected) <= atol, \
        f"{what}: {actual} differs from {expected} by {abs(actual - expected):.3g} > {atol:.3g}"


def run_group(module, command):
    """Runs every test_* of the module; returns (passed, failed, skipped)."""
    passed, failed, skipped = 0, 0, 0
    for name in sorted(n for n in dir(module) if n.startswith("test_")):
        folder = tempfile.mkdtemp(prefix="culatent_cli_")
        start = time.monotonic()
        try:
            getattr(module, name)(Box(command, folder))
            passed += 1
            print(f"ok      {name}  {time.monotonic() - start:.2f} s", flush=True)
        except Skip as reason:
            skipped += 1
            print(f"skipped {name}: {reason}", flush=True)
        except Exception:  # noqa: BLE001 any failure of a case is that case's failure
            failed += 1
            print(f"FAILED  {name}", flush=True)
            print("".join(traceback.format_exc(limit=-2).splitlines(True)[1:]), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return passed, failed, skipped
