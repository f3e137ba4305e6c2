#!/usr/bin/env bash
# Builds the bundle: everything that a machine with a GPU needs to test and time this build, in one
# folder that may be copied anywhere. Needs nvcc, no GPU. `./build.sh bundle` runs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

architecture=${CULATENT_BUNDLE_ARCH:-90}
build=build/bundle-sm_$architecture
largest=$((60 << 20))  # bytes

if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
  export CMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CUDA_COMPILER_LAUNCHER-ccache}
fi
mkdir -p "$build"
echo "Configuring $build"
if ! cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCULATENT_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DCULATENT_CPU_ARCH=x86-64-v3 \
  -DCULATENT_BENCH=ON -DCULATENT_TESTS=ON -DBUILD_SHARED_LIBS=OFF \
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH="\$ORIGIN/../lib" \
  -DCMAKE_PROJECT_cuLatent_INCLUDE="$PWD/cmake/bundle.cmake" >"$build/configure.log" 2>&1; then
  cat "$build/configure.log" >&2
  exit 1
fi
cmake --build "$build" -j "$(nproc)" --target bundle_programs

version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
name=culatent-$version-sm_$architecture
bundle=build/bundle/$name
rm -rf "$bundle" "$bundle.tar.gz"
mkdir -p "$bundle/tests" "$bundle/bench" "$bundle/bin" "$bundle/lib" "$bundle/peers"
while read -r folder program; do
  cp "$program" "$bundle/$folder/"
  strip --strip-unneeded "$bundle/$folder/$(basename "$program")"
done <"$build/bundle/programs.txt"
# The compiler's own libraries, once for all programs.
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
for library in libstdc++.so.6 libgcc_s.so.1; do
  install -m 755 "$("$compiler" -print-file-name=$library)" "$bundle/lib/"
done
cp -r tests/data tests/golden "$bundle/tests/"  # what the programs read
cp bench/floors.json "$bundle/bench/"
cp bench/peers/gaussian_mixture_torch.py "$bundle/peers/"
cp bench/run.sh bench/run_parts.sh LICENSE "$bundle/"
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
if [ "$commit" != unknown ] && [ -n "$(git status --porcelain --untracked-files=no)" ]; then
  commit+=-changed
fi
cat >"$bundle/about.txt" <<END
version $version
commit $commit
architecture sm_$architecture
nvcc $(sed -n 's/^set(CMAKE_CUDA_COMPILER_VERSION "\(.*\)")/\1/p' "$build"/CMakeFiles/*/CMakeCUDACompiler.cmake)
compiler $(sed -n 's/^set(CMAKE_CXX_COMPILER_VERSION "\(.*\)")/\1/p' "$build"/CMakeFiles/*/CMakeCXXCompiler.cmake)
END

# Only the C library may come from the other machine: everything else is in the folder.
foreign=0
for program in "$bundle"/bin/* "$bundle"/bench/* "$bundle"/tests/*_gpu; do
  [ -x "$program" ] || continue
  for library in $(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $library in
      libstdc++.so.6 | libgcc_s.so.1 | libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | ld-linux-*) ;;
      *)
        echo "bundle: $(basename "$program") needs $library (a shared library): link it statically" >&2
        foreign=1
        ;;
    esac
  done
done
[ "$foreign" -eq 0 ] || exit 1
glibc=$(for program in "$bundle"/bin/* "$bundle"/lib/* "$bundle"/bench/* "$bundle"/tests/*_gpu; do
  [ ! -x "$program" ] || objdump -T "$program" | grep -o 'GLIBC_[0-9.]*'
done | sort -uV | tail -1)
bytes=$(du -sb "$bundle" | cut -f1)
if [ "$bytes" -gt "$largest" ]; then
  echo "bundle: $bundle has $bytes bytes (at most $largest): leave something out" >&2
  exit 1
fi
tar -C build/bundle -czf "$bundle.tar.gz" "$name"
echo "$bundle: $((bytes >> 20)) MiB, needs $glibc; $bundle.tar.gz: $(($(stat -c %s "$bundle.tar.gz") >> 20)) MiB"
echo "On a machine with a GPU: tar xf $name.tar.gz && $name/run.sh"
