option(BUILD_SHARED_LIBS "Build a shared library" OFF)
option(CULATENT_CLI "Build the culatent command" ${PROJECT_IS_TOP_LEVEL})
option(CULATENT_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(CULATENT_BENCH "Build the benchmarks" OFF)
option(CULATENT_INSTALL "Make the install rules" ${PROJECT_IS_TOP_LEVEL})
set(CULATENT_CUDA "AUTO" CACHE STRING "CUDA backend: AUTO (when nvcc works), ON or OFF")
set_property(CACHE CULATENT_CUDA PROPERTY STRINGS AUTO ON OFF)
set(CULATENT_CPU_ARCH "x86-64-v3" CACHE STRING
    "-march of the CPU path on x86-64; other processors use the compiler's default")
set(CULATENT_SANITIZE "" CACHE STRING "-fsanitize of everything: address,undefined or thread")

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release unless asked otherwise" FORCE)
endif()

# What every target of the project is compiled with, and no user of it.
set(warnings -Wall -Wextra -Wconversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # "x" + std::to_string(n) is reported as an overlapping copy (GCC bug 105651).
  list(APPEND warnings -Wno-restrict)
endif()
string(REPLACE ";" "," host_warnings "${warnings}")
add_library(culatent_flags INTERFACE)
target_compile_features(culatent_flags INTERFACE cxx_std_20)
target_compile_options(
  culatent_flags
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${warnings};-Werror>
            $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=${host_warnings}>)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(culatent_flags
                         INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=${CULATENT_CPU_ARCH}>)
endif()
if(CULATENT_SANITIZE)
  # Of every target of the project: a program that is sanitised in part gives false alarms.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${CULATENT_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${CULATENT_SANITIZE})
endif()
