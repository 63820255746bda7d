// Whether this folder's kernels compute, or ggml's: to compare them, and for whoever meets a fault in one.
#pragma once

#include <cstdlib>
#include <cstring>

static inline bool kernels_are_ours() {
    const char * kernels = getenv("AI_FRIEND_KERNELS");
    return !kernels || strcmp(kernels, "ggml") != 0;
}
