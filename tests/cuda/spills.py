#!/usr/bin/env python3
"""Holds the shipped kernels to registers: no spill and no stack frame in any of them.

Compiles every .cu of kernels/cuda to a cubin (device code alone, about a second a file), reads what
ptxas says of each kernel and prints it as a table. Fails for a kernel that spills or has a stack
frame and is not in ALLOWED, and for an entry of ALLOWED that is not needed any more. One
architecture a run: what fits the registers of one need not fit another's.

    spills.py --nvcc NVCC --include DIR... FOLDER      the gate
    spills.py --nvcc NVCC --self-test                  planted offenders: does the gate see them?
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# Architecture: {"file.cu kernel<types>" as in the table: (bytes of stack frame at most, why that is
# no loss)}.
ALLOWED = {}

PLANTED = r"""
// Keeps 96 values alive in 32 registers.
__global__ void __launch_bounds__(1024, 2) spills_kernel(float* data, int n) {
  float value[96];
  for (int i = 0; i < 96; ++i) value[i] = data[i * n + threadIdx.x];
  for (int step = 0; step < n; ++step) {
#pragma unroll
    for (int i = 0; i < 96; ++i) value[i] = value[i] * value[(i + 7) % 96] + 1.0f;
  }
  for (int i = 0; i < 96; ++i) data[i * n + threadIdx.x] = value[i];
}
// Indexes an array by a value that is known at run time only.
__global__ void stack_kernel(const int* index, float* data, int n) {
  float value[32];
  for (int i = 0; i < 32; ++i) value[i] = data[i];
  for (int i = 0; i < n; ++i) value[index[i] % 32] += 1.0f;
  data[threadIdx.x] = value[index[n] % 32];
}
template <class T>
__global__ void clean_kernel(T* data) {
  __shared__ T tile[64];
  tile[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = tile[63 - threadIdx.x];
}
template __global__ void clean_kernel<double>(double*);
"""


@dataclasses.dataclass
class Kernel:
    file: str
    name: str
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spills: int = 0  # bytes stored and loaded

    @property
    def key(self):
        return f"{self.file} {self.name}"


def short_name(demangled):
    """'void a::b::(anonymous namespace)::kernel<T, 8>(args)' to 'kernel<T, 8>'."""
    depth, begin, text = 0, 0, demangled
    text = re.sub(r"^\S*void ", "", text.replace("(anonymous namespace)", "anonymous"))
    for i, letter in enumerate(text):
        if letter == "<":
            depth += 1
        elif letter == ">":
            depth -= 1
        elif depth == 0 and text.startswith("::", i):
            begin = i + 2
        elif depth == 0 and letter == "(":
            return text[begin:i]
    return text[begin:]


def demangle(names):
    try:
        result = subprocess.run(["c++filt"], input="\n".join(names), text=True, check=True,
                                stdout=subprocess.PIPE)
    except (OSError, subprocess.CalledProcessError):
        return {name: name for name in names}  # the gate holds, its table is harder to read
    return {name: short_name(plain) for name, plain in zip(names, result.stdout.splitlines())}


def read_ptxas(file, text):
    """Kernels of the output of ptxas -v, with mangled names. A function that a kernel calls and
    that was not inlined counts as one."""
    kernels, current = [], None
    for line in text.splitlines():
        found = re.search(r"Function properties for (\S+)", line)
        if found:
            current = Kernel(file, found[1])
            kernels.append(current)
        found = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, "
                          r"(\d+) bytes spill loads", line)
        if found and current:
            current.stack = int(found[1])
            current.spills = int(found[2]) + int(found[3])
        found = re.search(r"Used (\d+) registers", line)
        if found and current:
            current.registers = int(found[1])
            shared = re.search(r"(\d+) bytes smem", line)
            current.shared = int(shared[1]) if shared else 0
    return kernels


def compile_file(source, options):
    """(kernels, error text). The flags are those of a Release build."""
    with tempfile.TemporaryDirectory() as folder:
        command = [options.nvcc, "-std=c++20", "-O3", "-DNDEBUG", f"-arch=sm_{options.architecture}",
                   "-cubin", "-Xptxas", "-v", *(f"-I{folder}" for folder in options.include),
                   str(source), "-o", os.path.join(folder, "kernels.cubin")]
        result = subprocess.run(command, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
    if result.returncode != 0:
        return [], f"{source.name} does not compile:\n{result.stdout}"
    kernels = read_ptxas(source.name, result.stdout)
    if not kernels and "__global__" in source.read_text(encoding="utf-8"):
        return [], f"{source.name} has kernels, but ptxas names none:\n{result.stdout}"
    return kernels, ""


def look_at(sources, options):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        results = list(workers.map(lambda source: compile_file(source, options), sources))
    kernels = [kernel for found, _ in results for kernel in found]
    plain = demangle([kernel.name for kernel in kernels])
    for kernel in kernels:
        kernel.name = plain[kernel.name]
    return kernels, [error for _, error in results if error]


def judge(kernels, allowed):
    """Complaints."""
    complaints, used = [], set()
    for kernel in kernels:
        if kernel.stack == 0 and kernel.spills == 0:
            continue
        bytes_allowed, _ = allowed.get(kernel.key, (0, ""))
        if kernel.stack <= bytes_allowed:
            used.add(kernel.key)
        else:
            complaints.append(f"{kernel.key} spills {kernel.spills} bytes, "
                              f"{kernel.stack} bytes of stack frame, {bytes_allowed} allowed")
    complaints += [f"ALLOWED names {name}, which needs no leave: take it out"
                   for name in allowed if name not in used]
    return complaints


def print_table(kernels):
    width = max([len(kernel.name) for kernel in kernels] + [6])
    print(f"{'kernel':{width}}  registers  shared  stack  spills  file")
    for kernel in sorted(kernels, key=lambda kernel: (kernel.file, kernel.name)):
        print(f"{kernel.name:{width}}  {kernel.registers:9}  {kernel.shared:6}  {kernel.stack:5}  "
              f"{kernel.spills:6}  {kernel.file}")


def self_test(options):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "planted.cu"
        source.write_text(PLANTED, encoding="utf-8")
        kernels, errors = look_at([source], options)
        source.write_text("__global__ void broken_kernel() { nothing; }", encoding="utf-8")
        _, broken = look_at([source], options)
    found = {kernel.name: kernel for kernel in kernels}
    complaints = judge(kernels, {})
    checks = {
        "the planted file compiles": not errors,
        "a spill is seen": found["spills_kernel"].spills > 0,
        "a stack frame is seen": found["stack_kernel"].stack >= 128,
        "both are reported, and nothing else": len(complaints) == 2 and
        all(any(name in text for text in complaints) for name in ("spills_kernel", "stack_kernel")),
        "shared memory and registers are read":
            found["clean_kernel<double>"].shared == 512 and
            all(kernel.registers > 0 for kernel in kernels),
        "leave is given by name": len(judge(kernels, {"planted.cu stack_kernel": (128, "planted")})) == 1,
        "leave has a limit": len(judge(kernels, {"planted.cu stack_kernel": (127, "planted")})) == 3,
        "leave that is not needed is reported":
            "clean_kernel" in judge(kernels, {"planted.cu clean_kernel<double>": (8, "planted")})[-1],
        "a file that does not compile is reported": len(broken) == 1,
    }
    for claim, holds in checks.items():
        print("ok     " if holds else "FAILED ", claim)
    return 0 if all(checks.values()) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, help="of the .cu files")
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--include", nargs="+", default=[], metavar="DIR")
    parser.add_argument("--architecture", default="90", help="compute capability (90)")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_intermixed_args()
    if options.self_test:
        return self_test(options)
    sources = sorted(options.folder.rglob("*.cu")) if options.folder else []
    if not sources:
        parser.error(f"no .cu file in {options.folder}")
    kernels, errors = look_at(sources, options)
    print_table(kernels)
    complaints = errors + judge(kernels, ALLOWED.get(options.architecture, {}))
    for complaint in complaints:
        print(f"FAILED {complaint}")
    print(f"{len(kernels)} kernels of {len(sources)} files for sm_{options.architecture}: "
          f"{len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
