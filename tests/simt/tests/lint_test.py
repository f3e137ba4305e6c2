#!/usr/bin/env python3
"""Lines that lint.py must find, and such that it must leave alone."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lint  # noqa: E402

FOUND_EVERYWHERE = [
    "kernel<<<1, 2>>>(x);",
    "const unsigned mask = __activemask();",
    "value = __shfl_xor(value, 1);",
    "__noinline__ void f();",
    "__device__ inline __forceinline__ int f() { return 1; }",
    "__managed__ int counter;",
    "cooperative_groups::this_grid().sync();",
    "std::memcpy(to, from, 16);",
    "__device__ unsigned ticket;",
    "__device__ float sums[32] = {};",
    "atomicAdd(&sum, 1.0f);",
    "atomicAdd(sum, static_cast<double>(x));",
    "__global__ void f(float* __restrict__ sum, int n) { atomicAdd(sum, n); }",
    "template <class T> __global__ void f(T* sums, T v) { atomicAdd(&sums[threadIdx.x], v); }",
    "float total = 0; atomicAdd(&cell(1, 2), total);",
]
FOUND_OUTSIDE_THE_SEAM = [
    "__shared__ float tile[32];",
    "extern __shared__ char memory[];",
    'asm volatile("bar.sync 0;");',
    "#if __CUDA_ARCH__ >= 800",
    "#ifdef SIMT_EMULATION",
    "volatile int* flag = flags;",
]
LEFT_ALONE = [
    "// kernel<<<1, 2>>>(x); __activemask()",
    "/* __shared__ float tile[32];\n volatile int x; */",
    'const char* text = "asm volatile <<< memcpy(";',
    "value = __shfl_xor_sync(mask, value, 1);",
    "__forceinline__ __device__ int f() { return 1; }",
    "__device__ int f(int x);",
    "__device__ constexpr int kTile = 16;",
    "__constant__ float table[4];",
    "atomicAdd(&counts[bin], 1);",
    "atomicAdd(ticket, 1u);",
    "cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream);",
    "cudaMemsetAsync(to, 0, bytes, stream);",
    "const int big = 1'000'000; const int other = 2'000; f(big << 3);",
    "std::bit_cast<unsigned>(x);",
    "launch(kernel<float, 8>, grid, block);",
]


class Lint(unittest.TestCase):
    def test_finds_what_is_wrong_everywhere(self):
        for text in FOUND_EVERYWHERE:
            for in_seam in (False, True):
                with self.subTest(text=text, in_seam=in_seam):
                    lines = {line for line, _ in lint.findings(text, in_seam)}
                    self.assertEqual(lines, {1})

    def test_finds_what_is_wrong_outside_the_seam(self):
        for text in FOUND_OUTSIDE_THE_SEAM:
            with self.subTest(text=text):
                self.assertNotEqual(lint.findings(text, False), [])
                self.assertEqual(lint.findings(text, True), [])

    def test_leaves_good_lines_alone(self):
        for text in LEFT_ALONE:
            with self.subTest(text=text):
                self.assertEqual(lint.findings(text, False), [])

    def test_names_the_line(self):
        text = "/* a\n comment */\nint x;\n  " + FOUND_EVERYWHERE[1] + "\n"
        self.assertEqual([line for line, _ in lint.findings(text, False)], [4])


if __name__ == "__main__":
    unittest.main()
