#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/packages.sh

usage() {
  cat <<'END'
usage: ./build.sh [release|demo|test|bench|bundle|clean|help]

  release  build the library and the culatent command (the default)
  demo     build, fit mixtures to Old Faithful and to handwritten digits, say what was found,
           and write report.html and digits.html
  test     build and run every test that this machine can run
  bench    build and run the benchmarks
  bundle   build build/bundle/culatent-<version>-sm_90: tests and benchmarks for a machine with a
           GPU, to be copied there (needs nvcc, no GPU)
  clean    remove build/
  help     this text

What is missing is installed with apt-get (as root or with sudo). The build is in build/release;
the CUDA backend is part of it where nvcc is found. CULATENT_CUDA=OFF ./build.sh leaves it out.
END
}

build=build/release
command=$build/host/cli/culatent

# build_tree TESTS BENCH: configures and builds, with ccache where there is one.
build_tree() {
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
    export CMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CUDA_COMPILER_LAUNCHER-ccache}
  fi
  mkdir -p "$build"
  echo "Configuring $build"
  if ! cmake --preset release -DCULATENT_TESTS="$1" -DCULATENT_BENCH="$2" \
    -DCULATENT_CUDA="${CULATENT_CUDA-AUTO}" >"$build/configure.log" 2>&1; then
    cat "$build/configure.log" >&2
    return 1
  fi
  cmake --build "$build" -j "$(nproc)"
  "$command" devices | python3 scripts/say_devices.py
}

if [ $# -gt 1 ]; then
  echo "build.sh: one argument at most, not '$*'" >&2
  usage >&2
  exit 2
fi
case ${1-release} in
  release)
    need build
    build_tree OFF OFF
    echo "The command: $command   Install: cmake --install $build --prefix DIR"
    ;;
  demo)
    need build
    build_tree OFF OFF
    python3 scripts/demo.py "$command"
    ;;
  test)
    need build test
    build_tree ON OFF
    ctest --preset release -j "$(nproc)"
    ;;
  bench)
    need build bench
    build_tree OFF ON
    for program in "$build"/bench/*_bench; do "$program"; done
    ;;
  bundle)
    need build test bench
    scripts/bundle.sh
    ;;
  clean) rm -rf build ;;
  help | -h | --help) usage ;;
  *)
    echo "build.sh: unknown argument '$1'" >&2
    usage >&2
    exit 2
    ;;
esac
