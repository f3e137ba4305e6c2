# Sourced by build.sh and .ci/run: installs the Debian packages that are missing, and only those.

# Each line: what it is for, then the packages.
packages_for() {
  case $1 in
    build) cat <<'END'
compile and link: g++ cmake ninja-build pkg-config
linear algebra, random numbers, JSON: libeigen3-dev librandom123-dev nlohmann-json3-dev
checksums and compressed data: libxxhash-dev zlib1g-dev
the command and its reports: libcli11-dev libfmt-dev libpng-dev
the words of the demo, and tests: python3
END
      ;;
    test) printf "%s\n" "tests: libgtest-dev" "threads of the CUDA stand-in: libboost-context-dev" ;;
    bench) echo "benchmarks: libbenchmark-dev" ;;
    check) cat <<'END'
fuzzing and formatting: clang libclang-rt-dev clang-format
compile nothing twice, as the packaging test does: ccache
END
      ;;
  esac
}

# need PURPOSE...: makes the packages of these purposes present. Says nothing when they are.
# Where it cannot install (no apt-get, no root) it says what is missing and lets CMake decide: the
# libraries may well be there from another source.
need() {
  local purpose why names name missing=() reasons=""
  for purpose in "$@"; do
    while IFS=: read -r why names; do
      local absent=""
      for name in $names; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
          absent+=" $name"
      done
      [ -z "$absent" ] || { missing+=($absent) && reasons+="  $why:$absent"$'\n'; }
    done < <(packages_for "$purpose")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || return 0

  local as_root=(env)
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo env)
    [ -t 0 ] || as_root=(sudo -n env)
    if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
      printf 'Missing, and this user may not install them:\n%s' "$reasons" >&2
      echo "Ask for: apt-get install ${missing[*]}" >&2
      return 0
    fi
  fi
  printf 'Installing with apt-get:\n%s' "$reasons"
  as_root+=(DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  "${as_root[@]}" update
  "${as_root[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
}
