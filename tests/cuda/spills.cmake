# Gates on what nvcc makes of the kernels: no GPU is needed. One for each architecture that the build
# is for, of half a minute.
find_package(Python3 3.8 COMPONENTS Interpreter)
if(Python3_FOUND AND CULATENT_HAS_CUDA)
  set(spills ${CMAKE_CURRENT_LIST_DIR}/spills.py)
  add_test(NAME spills.self_test COMMAND Python3::Interpreter -B ${spills} --nvcc
                                         ${CMAKE_CUDA_COMPILER} --self-test)
  set(tests spills.self_test)
  set(architectures ${CMAKE_CUDA_ARCHITECTURES})
  list(TRANSFORM architectures REPLACE "-(real|virtual)$" "")
  list(REMOVE_DUPLICATES architectures)
  foreach(architecture ${architectures})
    if(NOT architecture MATCHES "^[0-9]+[af]?$")
      # all, all-major and native: the one that is tuned for.
      set(architecture 90)
    endif()
    add_test(NAME spills.sm_${architecture}
             COMMAND Python3::Interpreter -B ${spills} ${PROJECT_SOURCE_DIR}/kernels/cuda --nvcc
                     ${CMAKE_CUDA_COMPILER} --architecture ${architecture} --include
                     ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include
                     ${PROJECT_BINARY_DIR}/include ${RANDOM123_INCLUDE_DIR})
    list(APPEND tests spills.sm_${architecture})
  endforeach()
  set_tests_properties(${tests} PROPERTIES LABELS cuda TIMEOUT 600)
endif()
