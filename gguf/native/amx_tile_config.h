// Loads AMX's tile configuration from all of its 64 bytes (see llama.cmake).
#pragma once
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
static inline void friend_tile_loadconfig(const void * config) {
    __asm__ volatile("ldtilecfg %0" : : "m"(*(const char (*)[64]) config));
}
#undef _tile_loadconfig
#define _tile_loadconfig friend_tile_loadconfig
#endif
