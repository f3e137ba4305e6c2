# Gates on what nvcc makes of the kernels: no GPU is needed.
find_package(Python3 3.8 COMPONENTS Interpreter)
if(Python3_FOUND AND CULATENT_HAS_CUDA)
  set(spills ${CMAKE_CURRENT_LIST_DIR}/spills.py)
  add_test(NAME spills.kernels
           COMMAND Python3::Interpreter -B ${spills} ${PROJECT_SOURCE_DIR}/kernels/cuda --nvcc
                   ${CMAKE_CUDA_COMPILER} --include ${PROJECT_SOURCE_DIR}
                   ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include
                   ${RANDOM123_INCLUDE_DIR})
  add_test(NAME spills.self_test COMMAND Python3::Interpreter -B ${spills} --nvcc
                                         ${CMAKE_CUDA_COMPILER} --self-test)
  set_tests_properties(spills.kernels spills.self_test PROPERTIES LABELS cuda TIMEOUT 600)
endif()
