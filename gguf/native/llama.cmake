# Read by llama.cpp's own build (CMAKE_PROJECT_INCLUDE in .cargo/config.toml): corrects one file for old compilers.
#
# GCC before 13 believes that loading AMX's tile configuration reads 8 bytes, and drops the stores of the other 56. On a
# processor with AMX the process then dies at its first matrix product. The header loads all 64.
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" OR NOT EXISTS "${CMAKE_SOURCE_DIR}/ggml/src/ggml-cpu/amx/mmq.cpp")
    return()
endif()
# Deferred arguments are expanded late; this folder's name is known only now.
cmake_language(EVAL CODE "cmake_language(DEFER DIRECTORY [[${CMAKE_SOURCE_DIR}]] CALL set_source_files_properties
    [[${CMAKE_SOURCE_DIR}/ggml/src/ggml-cpu/amx/mmq.cpp]]
    DIRECTORY [[${CMAKE_SOURCE_DIR}/ggml/src]]
    PROPERTIES COMPILE_OPTIONS [[-include;${CMAKE_CURRENT_LIST_DIR}/amx_tile_config.h]])")
