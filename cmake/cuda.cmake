# The CUDA language, where it is wanted and works. Sets CULATENT_HAS_CUDA.
#
# CMAKE_CUDA_ARCHITECTURES and CUDAARCHS are honoured; 90 alone builds fastest.
set(CULATENT_HAS_CUDA FALSE)
if(NOT CULATENT_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "CULATENT_CUDA is '${CULATENT_CUDA}': use AUTO, ON or OFF")
endif()
if(CULATENT_CUDA STREQUAL "OFF")
  message(STATUS "cuLatent backends: cpu (CULATENT_CUDA is OFF)")
  return()
endif()

# nvcc is often installed outside PATH; CMake itself looks at CUDACXX and PATH only.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CULATENT_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda
               PATH_SUFFIXES bin)
  mark_as_advanced(CULATENT_NVCC)
  if(CULATENT_NVCC)
    set(ENV{CUDACXX} ${CULATENT_NVCC})
  endif()
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
include(CheckLanguage)
check_language(CUDA)
set(no_cuda "no working nvcc found")
if(CMAKE_CUDA_COMPILER)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE nvcc_version)
  string(REGEX MATCH "release ([0-9.]+)" nvcc_version "${nvcc_version}")
  if(CMAKE_MATCH_1 VERSION_LESS 12.0)
    set(no_cuda "${CMAKE_CUDA_COMPILER} is ${nvcc_version}, C++20 needs 12.0")
  else()
    set(no_cuda "")
  endif()
endif()
if(no_cuda)
  if(CULATENT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "CULATENT_CUDA is ON, but ${no_cuda}: set CUDACXX or CUDA_HOME, or build "
                        "with CULATENT_CUDA=OFF")
  endif()
  message(STATUS "cuLatent backends: cpu (${no_cuda})")
  return()
endif()

if(NOT CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  # Those of the wanted ones that this nvcc knows: 13 dropped 70, and 12.0 has no 100 or 120.
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE known)
  foreach(architecture 75 80 86 89 90 100 120)
    if(known MATCHES "compute_${architecture}[^0-9]")
      list(APPEND architectures ${architecture})
    endif()
  endforeach()
  set(CMAKE_CUDA_ARCHITECTURES "${architectures}" CACHE STRING "Compute capabilities compiled for")
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

# CMake 3.25.1 (Debian 12) does not know nvcc's flag for C++20.
if(CMAKE_VERSION VERSION_LESS 3.25.2)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
# cudart is linked by name, so that an installed package carries the same link line.
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
set(CULATENT_HAS_CUDA TRUE)
message(STATUS "cuLatent backends: cpu cuda (nvcc ${CMAKE_CUDA_COMPILER_VERSION}, "
               "architectures ${CMAKE_CUDA_ARCHITECTURES})")
