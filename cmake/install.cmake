# Package for find_package(cuLatent), pkg-config (culatent.pc) and, without installing,
# add_subdirectory. Nothing installed holds the prefix, so the tree may be moved afterwards.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS culatent EXPORT cuLatentTargets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/culatent DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_BINARY_DIR}/include/culatent/version.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/culatent)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET culatent_cli)
  # The command of a shared build finds the library beside it, wherever the tree stands.
  file(RELATIVE_PATH library_path ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(culatent_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${library_path}")
  install(TARGETS culatent_cli)
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cuLatent)
install(EXPORT cuLatentTargets NAMESPACE cuLatent:: DESTINATION ${package_dir})
configure_package_config_file(cmake/cuLatentConfig.cmake.in cuLatentConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# While the major version is 0 a new minor version may break its users.
write_basic_package_version_file(cuLatentConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cuLatentConfig.cmake
              ${PROJECT_BINARY_DIR}/cuLatentConfigVersion.cmake DESTINATION ${package_dir})

# A program that links a static library links what that library stands on as well.
set(pc_requires "")
set(pc_libs "")
if(NOT BUILD_SHARED_LIBS)
  set(pc_requires "zlib libxxhash")
  set(pc_libs "-pthread")
  if(CULATENT_HAS_CUDA)
    string(APPEND pc_libs " ${CUDA_cudart_static_LIBRARY} -ldl -lrt")
  endif()
endif()
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(cmake/culatent.pc.in culatent.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/culatent.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
