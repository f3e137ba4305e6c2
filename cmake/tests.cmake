include(GoogleTest)
find_package(GTest REQUIRED)

# culatent_add_test(STEM LABEL SOURCES...): one GoogleTest program, each of its tests known to ctest.
function(culatent_add_test stem label)
  add_executable(${stem} ${ARGN})
  target_include_directories(${stem} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(
    ${stem} PRIVATE CULATENT_TEST_DATA="${PROJECT_SOURCE_DIR}/tests"
                    EIGEN_DONT_PARALLELIZE EIGEN_MPL2_ONLY)
  target_link_libraries(${stem} PRIVATE culatent culatent_flags Eigen3::Eigen
                                        Random123::Random123 nlohmann_json::nlohmann_json
                                        GTest::gtest_main)
  gtest_discover_tests(${stem} PROPERTIES LABELS ${label} TIMEOUT 300 DISCOVERY_TIMEOUT 60)
endfunction()
