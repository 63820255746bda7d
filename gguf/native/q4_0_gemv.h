// The product of Q4_0 weights with one row: for one person alone, and what a batch has beyond its fours. Taken in by q4_0_gemm.h.
//
// ggml's kernel looks up signed values for the nibbles, and moves signs, for each product. Here nibbles stay 0 to 15 as in tiles.h, and
// lie as they are stored, eight of a column in turn, so that nothing is shuffled but the sums.
#pragma once

#include "tiles.h"

namespace q4_0_gemv {

using namespace tiles;

// Adds the products of eight values of the row with those of two times four columns.
static inline void add(__m256i * sum, __m256i one, __m256i other, const int8_t * row) {
    int64_t eight;
    memcpy(&eight, row, sizeof eight);
    const __m256i values = _mm256_set1_epi64x(eight);
#ifdef TILES_VNNI
    sum[0] = dot(sum[0], one, values);
    sum[1] = dot(sum[1], other, values);
#else
    sum[0] = _mm256_add_epi16(sum[0], _mm256_maddubs_epi16(one, values));
    sum[1] = _mm256_add_epi16(sum[1], _mm256_maddubs_epi16(other, values));
#endif
}

// Sums of eight columns in a block, as 0 1 4 5 2 3 6 7, without what the offset adds.
static inline __m256i products(const uint8_t * w, const int8_t * row, int32_t offset) {
    const __m256i low = _mm256_set1_epi8(0x0F), turn = _mm256_set1_epi8(int8_t(0x88));
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int part = 0; part < 2; part++) {
        const __m256i one = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *) w + 2 * part), turn);
        const __m256i other = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *) w + 2 * part + 1), turn);
        add(sum, _mm256_and_si256(one, low), _mm256_and_si256(other, low), row + 8 * part);
        const __m256i high_one = _mm256_srli_epi16(one, 4), high_other = _mm256_srli_epi16(other, 4);
        add(sum, _mm256_and_si256(high_one, low), _mm256_and_si256(high_other, low), row + 16 + 8 * part);
    }
#ifndef TILES_VNNI
    const __m256i ones = _mm256_set1_epi16(1);
    sum[0] = _mm256_madd_epi16(sum[0], ones);
    sum[1] = _mm256_madd_epi16(sum[1], ones);
#endif
    return _mm256_add_epi32(_mm256_hadd_epi32(sum[0], sum[1]), _mm256_set1_epi32(offset));
}

// Minus eight times the sum of a block's values.
static inline int32_t offset_of(const q8_0 & a) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), _mm256_loadu_si256((const __m256i *) a.qs));
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(-8));
    const __m128i two = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    const __m128i one = _mm_add_epi32(two, _mm_shuffle_epi32(two, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(one, _mm_shuffle_epi32(one, 0xB1)));
}

// `W` is ggml's block_q4_0x8; `columns` is a multiple of eight.
template <typename W> static void row_by_columns(int blocks, float * s, const W * w, const q8_0 * a, int columns) {
    int32_t offset[DEPTH];
    float scale[DEPTH];
    for (int from = 0; from < blocks; from += DEPTH) {
        const int depth = blocks - from < DEPTH ? blocks - from : DEPTH;
        for (int b = 0; b < depth; b++) {
            offset[b] = offset_of(a[from + b]);
            scale[b] = _cvtsh_ss(a[from + b].d);
        }
        for (int c = 0; c < columns; c += 8) {
            const W * here = w + size_t(c / 8) * blocks + from;
            __m256 total = from > 0 ? _mm256_permutevar8x32_ps(_mm256_loadu_ps(s + c), order()) : _mm256_setzero_ps();
            for (int b = 0; b < depth; b++) {
                const __m256i sum = products(here[b].qs, a[from + b].qs, offset[b]);
                const __m256 scales = _mm256_permutevar8x32_ps(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) here[b].d)), order());
                total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scales, _mm256_set1_ps(scale[b])), total);
            }
            _mm256_storeu_ps(s + c, _mm256_permutevar8x32_ps(total, order()));
        }
    }
}

} // namespace q4_0_gemv
