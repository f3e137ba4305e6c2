# Makes the programs of the bundle run on another machine: CMAKE_PROJECT_cuLatent_INCLUDE names this
# file, so that it acts inside the project and no other build knows of it. scripts/bundle.sh uses it.
#
# Gives the target bundle_programs and the list bundle/programs.txt in the build folder, one line a
# program: the folder it goes to, its file.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
set(ZLIB_USE_STATIC_LIBS ON)
# Every program carries the library, without what it does not call, and finds the compiler's own
# libraries beside it (scripts/bundle.sh).
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffunction-sections>
                    $<$<COMPILE_LANGUAGE:CXX>:-fdata-sections>
                    $<$<COMPILE_LANGUAGE:CUDA>:-Xfatbin=-compress-all>)
add_link_options(-Wl,--gc-sections -no-pie)

function(culatent_bundle_programs)
  # Debian has no static fmt; its headers alone do the same.
  foreach(target culatent_cli culatent_report)
    foreach(property LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
      get_target_property(libraries ${target} ${property})
      if(libraries)
        string(REPLACE "fmt::fmt" "fmt::fmt-header-only" libraries "${libraries}")
        set_target_properties(${target} PROPERTIES ${property} "${libraries}")
      endif()
    endforeach()
  endforeach()

  # The tests are run from the top folder of the bundle, and find their files in its tests/.
  foreach(folder core cuda)
    get_property(targets DIRECTORY ${PROJECT_SOURCE_DIR}/tests/${folder}
                 PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target ${targets})
      get_target_property(definitions ${target} COMPILE_DEFINITIONS)
      if(definitions)
        list(TRANSFORM definitions REPLACE "^CULATENT_TEST_DATA=.*" "CULATENT_TEST_DATA=\"tests\"")
        set_target_properties(${target} PROPERTIES COMPILE_DEFINITIONS "${definitions}")
      endif()
    endforeach()
  endforeach()

  get_property(tests GLOBAL PROPERTY CULATENT_GPU_TESTS)
  get_property(benches GLOBAL PROPERTY CULATENT_GPU_BENCHES)
  set(lines "bin $<TARGET_FILE:culatent_cli>\n")
  foreach(program ${tests})
    string(APPEND lines "tests $<TARGET_FILE:${program}>\n")
  endforeach()
  foreach(program ${benches})
    string(APPEND lines "bench $<TARGET_FILE:${program}>\n")
  endforeach()
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/bundle/programs.txt CONTENT "${lines}")
  add_custom_target(bundle_programs DEPENDS culatent_cli ${tests} ${benches})
endfunction()
cmake_language(DEFER CALL culatent_bundle_programs)
