option(CULATENT_CLI "Build the culatent command" ${PROJECT_IS_TOP_LEVEL})
option(CULATENT_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(CULATENT_BENCH "Build the benchmarks" OFF)
set(CULATENT_CPU_ARCH "x86-64-v3" CACHE STRING
    "-march of the CPU path on x86-64; other processors use the compiler's default")

add_library(culatent_flags INTERFACE)
target_compile_features(culatent_flags INTERFACE cxx_std_20)
target_compile_options(culatent_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(culatent_flags INTERFACE -march=${CULATENT_CPU_ARCH})
endif()
