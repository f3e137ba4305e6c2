#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs each for SECONDS (60), two at a time, from the seeds.
# New inputs stay in build/fuzz/corpus, findings in build/fuzz/findings. Ends with one line
# 'N passed, N failed'.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-60}
case $seconds in '' | *[!0-9]*) echo "usage: tests/fuzz/run.sh SECONDS" >&2 && exit 2 ;; esac
if ! command -v clang++ >/dev/null; then
  echo "tests/fuzz/run.sh: clang++ is not there: install clang and libclang-rt-dev" >&2
  exit 2
fi
readers=(npy npz csv idx fvecs raw gzip safetensors)
build=build/fuzz
cmake -S tests/fuzz -B "$build" -DCMAKE_CXX_COMPILER=clang++ >/dev/null &&
  cmake --build "$build" -j "$(nproc)" >"$build/build.log" 2>&1 ||
  { tail -n 40 "$build/build.log" >&2; echo "0 passed, ${#readers[@]} failed"; exit 1; }
mkdir -p "$build/findings"

# fuzz READER: runs one target.
fuzz() {
  local corpus=$build/corpus/$1 log=$build/$1.log
  mkdir -p "$corpus"
  "$build/$1_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$build/findings/$1-" \
    "$corpus" "tests/fuzz/seeds/$1" >"$log" 2>&1
}

passed=0
failed=0
for ((i = 0; i < ${#readers[@]}; i += 2)); do
  pids=()
  pair=("${readers[@]:i:2}")
  for reader in "${pair[@]}"; do
    fuzz "$reader" &
    pids+=($!)
  done
  for j in "${!pair[@]}"; do
    log=$build/${pair[j]}.log
    if wait "${pids[j]}"; then
      passed=$((passed + 1))
      runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
      echo "${pair[j]}: clean after ${runs:-?} inputs"
    else
      failed=$((failed + 1))
      echo "${pair[j]}: FAILED, input in $build/findings"
      grep -E 'ERROR|runtime error|SUMMARY|deadly signal' "$log" | head -n 5
    fi
  done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
