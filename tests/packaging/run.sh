#!/usr/bin/env bash
# Installs a finished build into a temporary prefix, moves the prefix, and builds the same
# ten-line program against it by find_package and by pkg-config, and against the sources by
# add_subdirectory. Usage: tests/packaging/run.sh BUILD_DIR
set -euo pipefail

if [ $# -ne 1 ] || [ ! -f "$1/CMakeCache.txt" ]; then
  echo "usage: $0 BUILD_DIR (a finished build of cuLatent)" >&2
  exit 2
fi
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source_dir=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix="$work/second place/cuLatent"  # a space, as in many a home folder
warnings="-Wall -Wextra -Wconversion -Wshadow -Werror"
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
passed=0
failed=0

# check NAME COMMAND...: one test; its output is shown when it fails.
check() {
  local name=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    echo "ok      $name"
    passed=$((passed + 1))
  else
    echo "FAILED  $name"
    sed 's/^/    /' "$work/log"
    failed=$((failed + 1))
  fi
}

install_and_move() {
  cmake --install "$build" --prefix "$work/first" && mkdir -p "$(dirname "$prefix")" &&
    mv "$work/first" "$prefix"
}

prefix_is_nowhere_in_it() { [ -d "$prefix" ] && ! grep -rl "$work/first\|$source_dir" "$prefix"; }

command_runs() {
  "$prefix/bin/culatent" --version | grep '^culatent [0-9]*\.[0-9]*\.[0-9]*'
}

# The fit of {-1.1, -1, -0.9, 3.8, 4, 4.2} by two components: the means of the two groups.
finds_both_groups() {
  local answer
  answer=$("$@") && echo "$answer" && [[ "$answer" == "-1.000 4.000 (cuLatent "* ]]
}

# cmake_consumer NAME OPTIONS...
cmake_consumer() {
  local folder="$work/$1"
  shift
  cmake -S "$here/consumer" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_FLAGS="$warnings" "$@" && cmake --build "$folder" &&
    finds_both_groups "$folder/consumer"
}

pkg_config_consumer() {
  local pc flags
  pc=$(find "$prefix" -name culatent.pc) && flags=$(PKG_CONFIG_PATH=$(dirname "$pc") \
    pkg-config --static --cflags --libs culatent) &&
    eval "${CXX:-g++} -std=c++20 $warnings -o '$work/by_pkg_config' '$here/consumer/main.cpp' $flags" &&
    LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")") finds_both_groups "$work/by_pkg_config"
}

other_minor_version_is_refused() {
  cp -r "$here/consumer" "$work/newer" &&
    sed -i 's/find_package(cuLatent 0.1/find_package(cuLatent 0.2/' "$work/newer/CMakeLists.txt" &&
    ! cmake -S "$work/newer" -B "$work/newer/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" &&
    grep -q 'compatible with requested version "0.2"' "$work/log"
}

check "install, then move the prefix" install_and_move
check "no installed file names the prefix or the sources" prefix_is_nowhere_in_it
if grep -q '^CULATENT_CLI:BOOL=ON' "$build/CMakeCache.txt"; then
  check "the installed command runs" command_runs
else
  echo "skipped the installed command: built with CULATENT_CLI=OFF"
fi
check "find_package" cmake_consumer by_find_package "-DCMAKE_PREFIX_PATH=$prefix"
check "find_package refuses another minor version" other_minor_version_is_refused
check "pkg-config" pkg_config_consumer
check "add_subdirectory, shared library" cmake_consumer by_add_subdirectory \
  "-DCULATENT_SOURCE_DIR=$source_dir" -DCULATENT_CUDA=OFF -DBUILD_SHARED_LIBS=ON

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
