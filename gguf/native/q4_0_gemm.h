// Products of Q4_0 weights with many rows, two to three times as fast as ggml's on x86; put before ggml-cpu/arch/x86/repack.cpp by
// llama.cmake, which says how.
//
// A batch of users and a prompt are such products, and they are most of what a processor does here. ggml's kernel takes weights
// and activations as signed bytes, of which x86 multiplies none: it makes one side positive and moves the signs to the other, for
// each pair of rows and columns anew, and shuffles the activations into 2x2 tiles. Here weights are unpacked once for up to 64
// rows, and stay 0 to 15; tiles.h says the rest. The results are ggml's to the bit.
#pragma once

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "kernels.h"
#include "q4_0_gemv.h"
#include "tiles.h"

extern "C" {
void ggml_gemm_q4_0_8x8_q8_0(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc);
void ggml_gemm_q4_0_8x8_q8_0_by_ggml(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc);
void ggml_gemv_q4_0_8x8_q8_0(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc);
void ggml_gemv_q4_0_8x8_q8_0_by_ggml(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc);
}

namespace q4_0_gemm {

using namespace tiles;

// ggml's block_q4_0x8: eight columns, eight bytes of each in turn; nibbles with the sign bit turned over.
struct weights {
    uint16_t d[8];
    uint8_t qs[8 * BLOCK / 2];
};
static_assert(sizeof(weights) == 144, "ggml's layout");

static inline void unpack(const weights & w, bytes & out, int b, int half) {
    const __m256i low = _mm256_set1_epi8(0x0F), turn = _mm256_set1_epi8(int8_t(0x88));
    const auto store = [&](int quad, __m256i values) {
        _mm256_store_si256((__m256i *) out.q[b][quad] + half, _mm256_and_si256(values, low));
    };
    for (int part = 0; part < 2; part++) {
        const __m256i first = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *) w.qs + 2 * part), turn);
        const __m256i second = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *) w.qs + 2 * part + 1), turn);
        const __m256 one = _mm256_castsi256_ps(first), other = _mm256_castsi256_ps(second);
        const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(one, other, 0x88));
        const __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(one, other, 0xDD));
        store(2 * part, even);
        store(2 * part + 1, odd);
        store(2 * part + 4, _mm256_srli_epi16(even, 4));
        store(2 * part + 5, _mm256_srli_epi16(odd, 4));
    }
    const __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) w.d));
    _mm256_store_ps(out.d[b] + 8 * half, _mm256_permutevar8x32_ps(scales, order()));
}

// `groups` groups of rows, at most GROUPS, by `columns` columns, a multiple of eight.
static void rows_by_columns(int blocks, float * s, size_t bs, const weights * w, const activations * a, int groups, int columns) {
    bytes part;
    offsets offset[GROUPS];
    for (int from = 0; from < blocks; from += DEPTH) {
        const int depth = blocks - from < DEPTH ? blocks - from : DEPTH;
        for (int g = 0; g < groups; g++) {
            for (int b = 0; b < depth; b++) {
                sum_offsets(a[size_t(g) * blocks + from + b], 8, offset[g][b]);
            }
        }
        for (int c = 0; c < columns; c += COLUMNS) {
            const int halves = columns - c < COLUMNS ? 1 : 2;
            for (int half = 0; half < halves; half++) {
                const weights * here = w + size_t(c / 8 + half) * blocks + from;
                for (int b = 0; b < depth; b++) {
                    unpack(here[b], part, b, half);
                }
            }
            if (halves == 2) {
                rows<2>(part, a + from, blocks, offset, groups, depth, from > 0, s + c, bs);
            } else {
                rows<1>(part, a + from, blocks, offset, groups, depth, from > 0, s + c, bs);
            }
        }
    }
}

} // namespace q4_0_gemm

// In place of ggml's function of this name: `nr` rows (a multiple of 4) by `nc` columns (of 8), `n` values deep (of 32).
extern "C" void ggml_gemm_q4_0_8x8_q8_0(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    using namespace q4_0_gemm;
    static const bool ours = kernels_are_ours();
    if (!ours) {
        ggml_gemm_q4_0_8x8_q8_0_by_ggml(n, s, bs, vx, vy, nr, nc);
        return;
    }
    const int blocks = n / BLOCK;
    const weights * w = (const weights *) vx;
    const activations * a = (const activations *) vy;
    const int groups = nr / ROWS;
    for (int g = 0; g < groups; g += GROUPS) {
        const int some = groups - g < GROUPS ? groups - g : GROUPS;
        rows_by_columns(blocks, s + size_t(g) * ROWS * bs, bs, w, a + size_t(g) * blocks, some, nc);
    }
}

// And of this one: one row.
extern "C" void ggml_gemv_q4_0_8x8_q8_0(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    static const bool ours = kernels_are_ours();
    if (!ours || nr != 1) {
        ggml_gemv_q4_0_8x8_q8_0_by_ggml(n, s, bs, vx, vy, nr, nc);
        return;
    }
    q4_0_gemv::row_by_columns(n / tiles::BLOCK, s, (const q4_0_gemm::weights *) vx, (const tiles::q8_0 *) vy, nc);
}

#define ggml_gemv_q4_0_8x8_q8_0 ggml_gemv_q4_0_8x8_q8_0_by_ggml
#define ggml_gemm_q4_0_8x8_q8_0 ggml_gemm_q4_0_8x8_q8_0_by_ggml
#endif
