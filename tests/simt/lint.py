#!/usr/bin/env python3
"""What kernel sources must keep to so that they compile and are checked on the stand-in.

usage: lint.py [--seam FOLDER]... FOLDER...

Looks at every .cu and .cuh file below the folders; comments and strings do not count. Files below
a seam folder may hold what only one compiler understands: inline PTX, __shared__, and tests for
the compiler. Prints "file:line: what: what to do" a finding; the exit code is 1 when there is one.
"""

import argparse
import pathlib
import re
import sys

# What no kernel source may have: pattern, and what to do instead.
EVERYWHERE = [
    (r"<<<", "a launch with <<<>>>: use the project's launch function"),
    (r"\b__activemask\b", "__activemask: pass the mask of lanes that are meant to take part"),
    (r"\b__(shfl|shfl_up|shfl_down|shfl_xor|ballot|any|all)\s*\(",
     "a warp function without a mask: use the one that ends in _sync"),
    (r"\b__noinline__\b", "__noinline__: the host compiler's headers use this name"),
    (r"\binline\s+__forceinline__|\b__forceinline__\s+inline\b",
     "inline beside __forceinline__: __forceinline__ says it"),
    (r"\b__managed__\b", "__managed__: pass pointers"),
    (r"\bthis_grid\b|\bcluster_group\b|\bcudaLaunchCooperativeKernel\b|\b__cluster_dims__\b",
     "synchronising blocks with each other: end the kernel and launch the next"),
    (r"\bcooperative_groups\b", "cooperative_groups: use the functions with masks"),
    (r"\b(std::)?mem(cpy|move|set)\s*\(",
     "memcpy, memmove or memset: assign, so that the checker sees it (std::bit_cast for bits)"),
    (r"^\s*(static\s+)?__device__\s+(?!.*\b(const|constexpr)\b)[\w:<>, ]+\s\*?\w+(\s*\[[^\]]*\])*"
     r"\s*(=[^;(]*)?;",
     "a variable of the device: pass a pointer, or use __constant__"),
]

# What only files of a seam may have.
SEAM_ONLY = [
    (r"\b__shared__\b", "__shared__: declare shared memory with the project's macro"),
    (r"\b(__)?asm(__)?\b", "inline PTX: put it in a wrapper with an arm for the stand-in"),
    (r"\b(__CUDA_ARCH__|__CUDACC__|__NVCC__|SIMT_EMULATION)\b",
     "a test for the compiler: wrap what differs, once"),
    (r"\bvolatile\b", "volatile: communicate through barriers and atomics"),
]

FLOAT_TYPES = r"(?:float|double|T|Real|float[234]|double[234])"
FLOAT_DECLARATION = re.compile(
    rf"\b{FLOAT_TYPES}\b\s*(?:const\b\s*)?[*&]*\s*(?:__restrict__\s+)?(\w+)\s*[,;)=\[]")
FLOAT_LITERAL = re.compile(r"(?<![\w.])(\d+\.\d*|\.\d+|\d+(?=[eE][-+]?\d))([eE][-+]?\d+)?f?\b")
FLOAT_CAST = re.compile(rf"static_cast<\s*{FLOAT_TYPES}\s*>|\b(float|double)\s*[({{]")
ATOMIC_SUM = re.compile(r"\batomic(Add|Sub)\s*\(")
ATOMIC_TEXT = "atomicAdd of floats: sums then depend on the schedule; reduce in a fixed order"

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>\w*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|'
    r"(?<![0-9a-zA-Z])'(?:\\.|[^'\\\n])+'",
    re.DOTALL)


def code_of(text):
    """The text with comments and strings made blank, line by line."""
    return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def call_arguments(code, begin):
    """The text between a call's parentheses, the first of which is just before `begin`."""
    depth = 1
    for end in range(begin, len(code)):
        depth += {"(": 1, ")": -1}.get(code[end], 0)
        if depth == 0:
            return code[begin:end]
    return code[begin:]


def float_atomics(code):
    """Offsets of atomic sums with an operand that is, by its look, floating-point."""
    names = set(FLOAT_DECLARATION.findall(code))
    for match in ATOMIC_SUM.finditer(code):
        arguments = call_arguments(code, match.end())
        words = set(re.findall(r"[A-Za-z_]\w*", arguments))
        if FLOAT_LITERAL.search(arguments) or FLOAT_CAST.search(arguments) or words & names:
            yield match.start()


def findings(text, in_seam):
    """(line, what to do) of each finding in a source text, in order of lines."""
    code = code_of(text)
    found = []
    for pattern, advice in EVERYWHERE + ([] if in_seam else SEAM_ONLY):
        for match in re.finditer(pattern, code, re.MULTILINE):
            found.append((match.start() + len(match.group()) - len(match.group().lstrip()), advice))
    found += [(offset, ATOMIC_TEXT) for offset in float_atomics(code)]
    return [(code.count("\n", 0, offset) + 1, advice) for offset, advice in sorted(found)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seam", action="append", default=[], metavar="FOLDER")
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    arguments = parser.parse_args()
    seams = [pathlib.Path(seam).resolve() for seam in arguments.seam]
    files = []
    for folder in arguments.folders:
        if not pathlib.Path(folder).is_dir():
            parser.error(f"{folder} is not a folder")
        files += [path for ending in ("*.cu", "*.cuh")
                  for path in sorted(pathlib.Path(folder).rglob(ending))]
    count = 0
    for path in files:
        in_seam = any(seam in path.resolve().parents for seam in seams)
        for line, advice in findings(path.read_text(encoding="utf-8"), in_seam):
            print(f"{path}:{line}: {advice}")
            count += 1
    print(f"{len(files)} files, {count} findings")
    return 1 if count or not files else 0


if __name__ == "__main__":
    sys.exit(main())
