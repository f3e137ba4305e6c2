# How kernels are compiled against the stand-in. Other folders may ask if(TARGET simt_plain).
get_directory_property(options_of_all COMPILE_OPTIONS)
if(options_of_all MATCHES "-fsanitize")
  message(STATUS "simt tests left out: they have sanitized builds of their own")
else()
  find_package(Boost 1.70 QUIET COMPONENTS context)
  if(NOT Boost_CONTEXT_FOUND)
    message(STATUS "simt tests left out: no Boost.Context (Debian: libboost-context-dev)")
  endif()
endif()

# simt_wrap_kernels(VARIABLE DIRECTORY KERNELS...): writes DIRECTORY/<stem>.cpp for each kernel
# source, one line that includes it, and sets VARIABLE to the list. A compiler takes a .cu file for
# C++ in no other way that leaves the same file to nvcc in the same folder.
function(simt_wrap_kernels variable directory)
  set(wrappers)
  foreach(kernel ${ARGN})
    cmake_path(ABSOLUTE_PATH kernel BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
    cmake_path(GET kernel STEM LAST_ONLY stem)
    set(wrapper ${directory}/${stem}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${kernel}\"\n")
    list(APPEND wrappers ${wrapper})
  endforeach()
  set(${variable} ${wrappers} PARENT_SCOPE)
endfunction()

# simt_compile(TARGET plain|asan|check): compiles a target that holds kernels for one variant.
#   plain  fast                asan  AddressSanitizer and UndefinedBehaviorSanitizer
#   check  races, uninitialised reads, bounds; -fsanitize=thread makes the compiler call the checker
function(simt_compile target variant)
  set(options_plain -O2)
  set(options_asan -O1 -fno-omit-frame-pointer -fsanitize=address,undefined
                   -fno-sanitize-recover=undefined)
  set(options_check -O1 -fsanitize=thread,alignment,bounds)
  if(NOT DEFINED options_${variant})
    message(FATAL_ERROR "simt_compile: '${variant}' is none of plain, asan, check")
  endif()
  # -ffp-contract=off: __fmul_rn and its like must round; -g: diagnostics name lines.
  target_compile_options(
    ${target} PRIVATE ${options_${variant}} -gdwarf-4 -ffp-contract=off -fno-strict-aliasing
                      -Wno-unknown-pragmas)
  target_link_libraries(${target} PUBLIC simt_${variant})
endfunction()

# simt_add_tests(TARGET plain|asan|check SECONDS [ORDERS...]): ctest runs of a test program, labelled
# simt, one for each order of threads that the variant is worth running in; with the random one work
# on streams is deferred. ORDERS are those of plain where not all of forward, reverse and random are
# wanted.
function(simt_add_tests target variant seconds)
  set(orders_plain forward reverse random)
  if(ARGN)
    set(orders_plain ${ARGN})
  endif()
  set(orders_asan random)
  set(orders_check forward)
  foreach(order ${orders_${variant}})
    add_test(NAME ${target}.${order} COMMAND ${target})
    set(environment SIMT_ORDER=${order})
    if(order STREQUAL random)
      list(APPEND environment SIMT_DEFERRED=1)
    endif()
    set_tests_properties(${target}.${order} PROPERTIES ENVIRONMENT "${environment}" LABELS simt
                                                       TIMEOUT ${seconds})
  endforeach()
endfunction()

# simt_add_lint(NAME SEAM FOLDER FOLDERS...): a test that the kernel sources below FOLDERS keep to
# what the stand-in needs; the folder SEAM alone may hold what only one compiler understands.
function(simt_add_lint name keyword seam)
  find_package(Python3 3.8 QUIET COMPONENTS Interpreter)
  if(NOT Python3_FOUND)
    message(STATUS "${name} left out: no python3")
    return()
  endif()
  add_test(NAME ${name} COMMAND Python3::Interpreter -B ${SIMT_LINT} --seam ${seam} ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS simt TIMEOUT 60)
endfunction()
set(SIMT_LINT ${CMAKE_CURRENT_LIST_DIR}/lint.py CACHE INTERNAL "Checks kernel sources")
