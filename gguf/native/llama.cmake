# Read by llama.cpp's own build (CMAKE_PROJECT_INCLUDE in .cargo/config.toml): puts headers of this folder before four of its files.
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" OR NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang"
        OR NOT EXISTS "${CMAKE_SOURCE_DIR}/ggml/src/ggml-cpu/amx/mmq.cpp")
    return()
endif()

# Deferred arguments are expanded late; this folder's name is known only now.
macro(put_before file header)
    cmake_language(EVAL CODE "cmake_language(DEFER DIRECTORY [[${CMAKE_SOURCE_DIR}]] CALL set_source_files_properties
        [[${CMAKE_SOURCE_DIR}/ggml/src/ggml-cpu/${file}]]
        DIRECTORY [[${CMAKE_SOURCE_DIR}/ggml/src]]
        PROPERTIES COMPILE_OPTIONS [[-include;${CMAKE_CURRENT_LIST_DIR}/${header}]]
        OBJECT_DEPENDS [[${CMAKE_CURRENT_LIST_DIR}/${header}]])")
endmacro()

# GCC before 13 believes that loading AMX's tile configuration reads 8 bytes, and drops the stores of the other 56. On a
# processor with AMX the process then dies at its first matrix product. The header loads all 64.
put_before(amx/mmq.cpp amx_tile_config.h)

# The peers of the benchmarks are llama.cpp's own but for that (scripts/llama-peer.sh).
if(AI_FRIEND_PEER)
    return()
endif()

# Faster forms of what a processor spends most of its time with. Each defines a function of ggml's under its own name, and then
# renames ggml's, which it calls for what it does not do itself, and which the variable AI_FRIEND_KERNELS=ggml brings back.
put_before(arch/x86/repack.cpp q4_0_gemm.h)
put_before(llamafile/sgemm.cpp q8_0_gemm.h)
put_before(ops.cpp attention.h)
