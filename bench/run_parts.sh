# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh sets the variables that are only read here
# The parts of run.sh, each a function of the seconds that it may take.

# Folders of CUDA libraries that the loader does not know, for cuSOLVER's measurement.
library_folders() {
  local folder
  if ldconfig -p 2>/dev/null | grep -q 'libcusolver\.so'; then return; fi
  for folder in "${CUDA_HOME:-}"/lib64 "${CUDA_PATH:-}"/lib64 /usr/local/cuda*/lib64; do
    if compgen -G "$folder/libcusolver.so*" >/dev/null; then
      printf ':%s' "$folder"
      return
    fi
  done
  [ -n "$python" ] || return
  "$python" - <<'END' 2>/dev/null
import glob, os, sys
folders = [f for p in sys.path for f in glob.glob(os.path.join(p, "nvidia", "*", "lib"))]
if any(glob.glob(os.path.join(f, "libcusolver.so*")) for f in folders):
    print("".join(":" + f for f in folders), end="")
END
}

run_limits() {
  local seconds=$1 status n
  LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}$(library_folders) bounded "$seconds" \
    "$logs/measured-1-limits.log" bench/limits ${quick:+"$quick"} \
    --json "$logs/entries-1-limits.jsonl"
  status=$?
  n=$(wc -l <"$logs/entries-1-limits.jsonl" 2>/dev/null || echo 0)
  case $status in
    0) report limits ok "$n figures" ;;
    124) report limits skipped "$n figures, then the time was over" ;;
    *) report limits FAILED "exit $status: $(tail -n 1 "$logs/measured-1-limits.log")" ;;
  esac
}

# The tests of GoogleTest programs by what they print of each.
run_tests() {
  local program name log status good bad skipped deadline rest words
  deadline=$((SECONDS + $1))
  for program in tests/*_gpu; do
    [ -x "$program" ] || continue
    name=$(basename "$program")
    log=$logs/$name.log
    rest=$((deadline - SECONDS))
    if [ "$rest" -lt 1 ]; then
      report "$name" skipped "the time for tests is over"
      continue
    fi
    bounded "$rest" "$log" "$program" ${quick:+"--gtest_filter=-*Large*"}
    status=$?
    good=$(grep -c '^\[       OK \] .* ms)$' "$log")
    bad=$(grep -c '^\[  FAILED  \] .* ms)$' "$log")
    skipped=$(grep -c '^\[  SKIPPED \] .* ms)$' "$log")
    words="$good passed, $bad failed, $skipped skipped"
    if [ "$bad" -gt 0 ]; then
      words+=": $(sed -n 's/^\[  FAILED  \] \(.*\) (.* ms)$/\1/p' "$log" | head -n 3 | tr '\n' ' ')"
      report "$name" FAILED "$words"
    elif [ "$status" -eq 124 ]; then
      report "$name" FAILED "$words, not finished in $rest s: does it hang, or give it more --time"
    elif [ "$status" -ne 0 ]; then
      report "$name" FAILED \
        "$words, exit $status in $(sed -n 's/^\[ RUN      \] //p' "$log" | tail -n 1)"
    elif [ "$good" -eq 0 ] && grep -q 'no CUDA device' "$log"; then
      report "$name" FAILED "$words: it sees no CUDA device, and there is one"
    elif [ "$good" -eq 0 ]; then
      report "$name" skipped "$words: $(grep -m 1 'Skipped' -A 1 "$log" | tail -n 1)"
    else
      report "$name" ok "$words"
    fi
  done
}

# same_bits NAME MODEL OTHER DEADLINE OPTIONS...: fits once more and compares the model files.
same_bits() {
  local name=$1 model=$2 other=$3 rest=$(($4 - SECONDS)) status
  shift 4
  bounded $((rest > 0 ? rest : 1)) "$logs/fit.log" bin/culatent fit gaussian-mixture "$work/x.npy" "$@" \
    --model "$other"
  status=$?
  if [ "$status" -eq 124 ]; then
    report "$name" skipped "the time was over"
  elif [ "$status" -ne 0 ]; then
    report "$name" FAILED "exit $status: $(tail -n 1 "$logs/fit.log")"
  elif cmp -s "$model" "$other"; then
    report "$name" ok "the same bits"
  else
    report "$name" FAILED "the models differ"
  fi
}

run_determinism() {
  local deadline covariance dtype name fit
  deadline=$((SECONDS + $1))
  work=$(mktemp -d) || return
  if ! bounded "$1" "$logs/determinism.log" sh -c "
    bin/culatent fit gaussian-mixture tests/data/digits.npy --device cpu --seed 1 --components 8 \
      --covariance diagonal --reg-covar 1 --model '$work/start.safetensors' &&
    bin/culatent sample '$work/start.safetensors' --device cpu --seed 2 --rows 100000 \
      --output '$work/x.npy'"; then
    report determinism FAILED "no data: $(tail -n 1 "$logs/determinism.log")"
    rm -rf "$work"
    return
  fi
  for fit in "full float32" "tied float32" "diagonal float32" "spherical float32" "full float64"; do
    read -r covariance dtype <<<"$fit"
    name="determinism, $covariance $dtype"
    local options=(--device cuda --seed 3 --components 8 --covariance "$covariance"
      --dtype "$dtype" --max-iter 5 --tol 0 --reg-covar 0.1)
    if [ $((deadline - SECONDS)) -lt 1 ]; then
      report "$name" skipped "the time was over"
      continue
    fi
    if ! bounded $((deadline - SECONDS)) "$logs/fit.log" bin/culatent fit gaussian-mixture \
      "$work/x.npy" "${options[@]}" --model "$work/first.safetensors"; then
      report "$name" FAILED "no fit: $(tail -n 1 "$logs/fit.log")"
      continue
    fi
    same_bits "$name, twice" "$work/first.safetensors" "$work/second.safetensors" \
      "$deadline" "${options[@]}"
    same_bits "$name, small chunks" "$work/first.safetensors" "$work/third.safetensors" \
      "$deadline" "${options[@]}" --chunk-rows 3000
  done
  rm -rf "$work"
}

run_benchmarks() {
  local program name status n
  for program in bench/*_cuda_bench; do
    [ -x "$program" ] || continue
    name=$(basename "$program")
    bounded "$1" "$logs/measured-2-$name.log" "$program" ${quick:+"$quick"} \
      --json "$logs/entries-2-$name.jsonl"
    status=$?
    n=$(wc -l <"$logs/entries-2-$name.jsonl" 2>/dev/null || echo 0)
    case $status in
      0) report "$name" ok "$n figures" ;;
      124) report "$name" skipped "$n figures, then the time was over" ;;
      *) report "$name" FAILED "exit $status: $(tail -n 1 "$logs/measured-2-$name.log")" ;;
    esac
  done
}

run_peers() {
  local script ours=$logs/entries-2-gaussian_mixture_cuda_bench.jsonl status seconds=$1
  if [ -z "$python" ] || ! "$python" -c 'import torch' 2>/dev/null; then
    report peers skipped "no PyTorch: ${python:-no python3}${python:+ cannot import torch}"
    return
  fi
  script=peers/gaussian_mixture_torch.py
  local options=(--time "$seconds" --json "$logs/entries-3-torch.jsonl" ${quick:+"$quick"})
  if [ -s "$ours" ]; then options+=(--ours "$ours"); fi
  bounded "$seconds" "$logs/measured-3-torch.log" "$python" -B "$script" "${options[@]}"
  status=$?
  case $status in
    0) report peers ok "$(wc -l <"$logs/entries-3-torch.jsonl") figures" ;;
    5) report peers skipped "$(tail -n 1 "$logs/measured-3-torch.log")" ;;
    124) report peers skipped "the time was over" ;;
    *) report peers FAILED "exit $status: $(tail -n 1 "$logs/measured-3-torch.log")" ;;
  esac
}

find_sanitizer() {
  local path
  for path in "$(command -v compute-sanitizer)" "${CUDA_HOME:-}/bin/compute-sanitizer" \
    /usr/local/cuda*/bin/compute-sanitizer /usr/local/cuda*/compute-sanitizer/compute-sanitizer \
    /opt/nvidia/*/compute-sanitizer; do
    if [ -f "$path" ] && [ -x "$path" ]; then
      echo "$path"
      return
    fi
  done
}

# Every kind of fit, so that the command under a tool runs all kernels in a minute, where the test
# programs take many.
fits=(
  "gaussian-mixture --components 3 --reg-covar 1 --covariance full"
  "gaussian-mixture --components 3 --reg-covar 1 --covariance full --precision fast"
  "gaussian-mixture --components 3 --reg-covar 1 --covariance full --dtype float64"
  "gaussian-mixture --components 3 --reg-covar 1 --covariance tied"
  "gaussian-mixture --components 3 --reg-covar 1 --covariance diagonal"
  "gaussian-mixture --components 3 --reg-covar 1 --covariance spherical --dtype float64"
  "kmeans --clusters 40"
  "kmeans --clusters 5 --metric cosine --mini-batch 100 --init kmeans-parallel --dtype float64"
  "bernoulli-mixture --components 3 --binarize 8"
  "bernoulli-mixture --components 3 --scale 0.0625 --dtype float64"
)

# Prints how many were clean under a tool; 1 when one was not.
sanitize_fits() {
  local tool=$1 end=$2 fit clean=0 model at=0
  model=$(mktemp -d) || return 1
  for fit in "${fits[@]}"; do
    local options rest=$((end - SECONDS))
    read -r -a options <<<"$fit"
    if [ "$rest" -lt 1 ]; then break; fi
    at=$((at + 1))
    bounded "$rest" "$logs/$tool-fit-$at.log" "$sanitizer" --tool "$tool" --error-exitcode 86 \
      bin/culatent fit "${options[@]}" tests/data/digits.npy --rows 0:300 --device cuda --seed 1 \
      --max-iter 1 --tol 0 --model "$model/m.safetensors"
    case $? in
      0) clean=$((clean + 1)) ;;
      124) break ;;
      *)
        echo "$clean of ${#fits[@]} fits clean, errors in $fit"
        rm -rf "$model"
        return 1
        ;;
    esac
  done
  rm -rf "$model"
  echo "$clean of ${#fits[@]} fits clean"
}

run_sanitizers() {
  local sanitizer tool program name status tools=4 n programs=() words clean_fits
  local deadline=$((SECONDS + $1))
  sanitizer=$(find_sanitizer)
  if [ -z "$sanitizer" ]; then
    report sanitizers skipped "no compute-sanitizer on PATH, in CUDA_HOME or /usr/local/cuda"
    return
  fi
  for program in tests/*_gpu; do
    if [ -x "$program" ]; then programs+=("$program"); fi
  done
  for tool in memcheck racecheck initcheck synccheck; do
    local clean=0 stopped=0 dirty=() seconds end
    end=$((SECONDS + (deadline - SECONDS) / tools))
    tools=$((tools - 1))
    if ! clean_fits=$(sanitize_fits "$tool" "$end"); then
      report "compute-sanitizer $tool" FAILED "$clean_fits"
      continue
    fi
    n=${#programs[@]}
    for program in ${programs[@]+"${programs[@]}"}; do
      name=$(basename "$program")
      seconds=$(((end - SECONDS) / n))
      n=$((n - 1))
      if [ "$seconds" -lt 1 ]; then
        stopped=$((stopped + 1))
        continue
      fi
      bounded "$seconds" "$logs/$tool-$name.log" "$sanitizer" --tool "$tool" --error-exitcode 86 \
        "$program" '--gtest_filter=-*Large*'
      status=$?
      case $status in
        0) clean=$((clean + 1)) ;;
        124) # What it had found by then counts.
          if grep -q '^========= \(Error\|Invalid\|Uninit\|Race\|Barrier error\)' \
            "$logs/$tool-$name.log"; then
            dirty+=("$name")
          else
            stopped=$((stopped + 1))
          fi
          ;;
        *) dirty+=("$name") ;;
      esac
    done
    words="$clean_fits; of the test programs $clean clean, ${#dirty[@]} with errors, $stopped not"
    words+=" finished in time"
    if [ ${#dirty[@]} -gt 0 ]; then
      report "compute-sanitizer $tool" FAILED "$words: ${dirty[*]}"
    elif [ "$stopped" -gt 0 ] || [ "${clean_fits%% *}" -lt ${#fits[@]} ]; then
      report "compute-sanitizer $tool" skipped "$words"
    else
      report "compute-sanitizer $tool" ok "$words"
    fi
  done
}
