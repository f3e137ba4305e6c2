#!/usr/bin/env bash
# Tests and times this build on the machine that it lies on. Everything it needs is in its folder.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'END'
usage: run.sh [--quick] [--time SECONDS] [--output DIR] [--only PART[,PART…]]

Measures the GPU, runs the tests, checks that results are the same bits every time, times the
steps, compares with PyTorch where it is installed, and looks at the kernels with compute-sanitizer
where that is installed. Prints a table and writes results-<gpu>.json and the log of every part.

  --quick          small sizes and short measurements: about 2 minutes
  --time SECONDS   all of it in so many seconds (600, with --quick 150)
  --output DIR     where results-<gpu>.json and logs/ go (culatent-results)
  --only PARTS     of limits, tests, determinism, benchmarks, peers, sanitizers

Exit status: 0 nothing failed, 1 something did, 2 wrong usage, 5 no CUDA device.
END
}

quick=""
budget=""
output=culatent-results
only=limits,tests,determinism,benchmarks,peers,sanitizers
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=--quick ;;
    --time | --output | --only)
      if [ $# -lt 2 ]; then
        echo "run.sh: $1 needs a value" >&2
        exit 2
      fi
      case $1 in
        --time) budget=$2 ;;
        --output) output=$2 ;;
        --only) only=$2 ;;
      esac
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      echo "run.sh: unknown argument '$1'" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done
budget=${budget:-${quick:+150}}
budget=${budget:-600}
if ! [[ $budget =~ ^[1-9][0-9]{0,5}$ ]]; then
  echo "run.sh: --time '$budget' is not a number of seconds" >&2
  exit 2
fi
for part in ${only//,/ }; do
  case $part in
    limits | tests | determinism | benchmarks | peers | sanitizers) ;;
    *)
      echo "run.sh: --only '$part' is no part" >&2
      exit 2
      ;;
  esac
done
mkdir -p "$output/logs" || exit 1
output=$(cd "$output" && pwd)
logs=$output/logs
rm -f "$logs"/*
cd "$here" || exit 1
# shellcheck source=bench/run_parts.sh
. ./run_parts.sh
begin=$SECONDS
export CULATENT_TEST_DEVICE=cuda  # tests of whole fits take it from here

# ---- What is found -------------------------------------------------------------------------------

names=() verdicts=() details=()  # the table
n_failed=0

# report NAME ok|FAILED|skipped WORDS: one line of the table.
report() {
  names+=("$1") verdicts+=("$2") details+=("$3")
  if [ "$2" = FAILED ]; then n_failed=$((n_failed + 1)); fi
  printf '%-8s %s: %s\n' "$2" "$1" "$3"
}

parts=(limits tests determinism benchmarks peers sanitizers)
declare -A weights=([limits]=10 [tests]=30 [determinism]=10 [benchmarks]=15 [peers]=15
  [sanitizers]=20)

wanted() { [[ ",$only," == *",$1,"* ]]; }

left() { echo $((budget - (SECONDS - begin))); }

# share PART: its seconds, of what is left for it and the parts after it; at least 1.
share() {
  local part sum=0 seconds
  for part in "${parts[@]}"; do
    if [ "$part" = "$1" ]; then sum=0; fi
    if wanted "$part"; then sum=$((sum + weights[$part])); fi
  done
  seconds=$(($(left) * weights[$1] / sum))
  echo $((seconds > 0 ? seconds : 1))
}

# bounded SECONDS LOG COMMAND...: its exit status; 124 when the time was not enough.
bounded() {
  local seconds=$1 log=$2 status
  shift 2
  timeout --kill-after=5 "$seconds" "$@" >"$log" 2>&1 </dev/null
  status=$?
  if [ "$status" -eq 137 ]; then status=124; fi
  return "$status"
}

json_string() {
  local text
  text=$(printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037')
  text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

json_or_null() { if [ -n "$1" ]; then json_string "$1"; else printf null; fi; }

# fact KEY FILE: the value of a line 'KEY VALUE'.
fact() { sed -n "s/^$1 //p" "$2" 2>/dev/null | head -n 1; }

write_results() {
  local gpu slug file i comma=""
  gpu=$(fact gpu "$logs/device.txt")
  slug=$(printf '%s' "${gpu:-none}" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-')
  file=$output/results-${slug%-}.json
  {
    printf '{\n "format": 1,\n "machine": {"gpu": %s' "$(json_or_null "$gpu")"
    for i in compute_capability multiprocessors memory_bytes l2_bytes clock_mhz; do
      printf ', "%s": %s' "$i" "$(json_or_null "$(fact $i "$logs/device.txt")")"
    done
    printf ', "cpu": %s, "threads": %s},\n' \
      "$(json_or_null "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)")" "$(nproc)"
    printf ' "driver": %s,\n' "$(json_or_null "$driver")"
    printf ' "cuda": {"driver": %s, "runtime": %s},\n' \
      "$(json_or_null "$(fact cuda_driver "$logs/device.txt")")" \
      "$(json_or_null "$(fact cuda_runtime "$logs/device.txt")")"
    printf ' "date": "%s",\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    printf ' "version": %s,\n "commit": %s,\n "quick": %s,\n "checks": [' \
      "$(json_or_null "$(fact version about.txt)")" "$(json_or_null "$(fact commit about.txt)")" \
      "$([ -n "$quick" ] && echo true || echo false)"
    for i in "${!names[@]}"; do
      printf '%s\n  {"name": %s, "result": %s, "words": %s}' "$comma" \
        "$(json_string "${names[i]}")" "$(json_string "${verdicts[i]}")" \
        "$(json_string "${details[i]}")"
      comma=,
    done
    printf '\n ],\n "entries": ['
    # A program that was stopped may have left half a line.
    cat "$logs"/entries-*.jsonl 2>/dev/null | grep '^{.*}$' | sed 's/^/  /; $!s/$/,/' |
      { printf '\n' && cat; }
    printf ' ]\n}\n'
  } >"$file.new" && mv "$file.new" "$file"
  echo "$file"
}

finish() {
  local i
  printf '\n%-44s %-8s %s\n' part result ""
  for i in "${!names[@]}"; do
    printf '%-44s %-8s %s\n' "${names[i]}" "${verdicts[i]}" "${details[i]}"
  done
  if compgen -G "$logs/entries-*.jsonl" >/dev/null; then
    printf '\nMeasured\n'
    cat "$logs"/measured-*.log 2>/dev/null
  fi
  printf '\n%d s, %d failed. Results: %s\n' $((SECONDS - begin)) "$n_failed" "$(write_results)"
  exit "$1"
}
trap 'report "the run" FAILED "stopped by a signal"; finish 1' INT TERM

# ---- The run -------------------------------------------------------------------------------------

python=$(command -v "${PYTHON:-python3}" || command -v python || true)
driver=""
if command -v nvidia-smi >/dev/null; then
  driver=$(timeout 20 nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null |
    head -n 1)
fi
bounded 60 "$logs/device.txt" bench/limits --describe
status=$?
if [ "$status" -ne 0 ]; then
  words=$(tail -n 1 "$logs/device.txt")
  rm -f "$logs/device.txt"
  if [ "$status" -eq 5 ]; then
    report device FAILED "no CUDA device: ${words#*no CUDA device }"
    finish 5
  fi
  report device FAILED "exit $status: $words"
  finish 1
fi
report device ok "$(fact gpu "$logs/device.txt"), compute capability \
$(fact compute_capability "$logs/device.txt"), driver ${driver:-unknown}, build \
$(fact version about.txt) $(fact commit about.txt)"
for part in "${parts[@]}"; do
  if ! wanted "$part"; then continue; fi
  if [ "$(left)" -lt 2 ]; then
    report "$part" skipped "the time was over"
    continue
  fi
  seconds=$(share "$part")
  case $part in
    limits) run_limits "$seconds" ;;
    tests) run_tests "$seconds" ;;
    determinism) run_determinism "$seconds" ;;
    benchmarks) run_benchmarks "$seconds" ;;
    peers) run_peers "$seconds" ;;
    sanitizers) run_sanitizers "$seconds" ;;
  esac
done
finish $((n_failed > 0))
