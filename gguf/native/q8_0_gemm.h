// Products of Q8_0 weights with many rows: the output layer of the default model, and all layers of one served in Q8_0. Put before
// ggml-cpu/llamafile/sgemm.cpp by llama.cmake, which says how. ggml's kernel moves the signs of each pair of rows and columns;
// tiles.h says what is done instead. The integers are ggml's, and the scales are multiplied in another order.
#pragma once

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "kernels.h"
#include "tiles.h"

#include "ggml-cpu-impl.h"

extern "C" {
bool llamafile_sgemm(const struct ggml_compute_params *, int64_t, int64_t, int64_t, const void *, int64_t, const void *, int64_t, void *,
                     int64_t, int, int, int);
bool llamafile_sgemm_by_ggml(const struct ggml_compute_params *, int64_t, int64_t, int64_t, const void *, int64_t, const void *, int64_t,
                             void *, int64_t, int, int, int);
}

namespace q8_0_gemm {

using namespace tiles;

#ifdef TILES_VNNI
using unpacked = bytes;
using group = activations;
constexpr int FIRST[8] = {0, 1, 4, 5, 2, 3, 6, 7};  // the order of columns in which they are to be stored
constexpr int LEAST_ROWS = 8;                        // for fewer, unpacking costs more than it saves

static inline void take_row(group & g, int row, const q8_0 & from) {
    g.d[row] = from.d;
    for (int part = 0; part < 4; part++) {
        memcpy(g.qs + part * 8 * ROWS + row * 8, from.qs + 8 * part, 8);
    }
}

// Four values of eight columns.
static inline void store(unpacked & out, int b, int k, int half, __m256i columns) {
    const __m256i turned = _mm256_xor_si256(columns, _mm256_set1_epi8(int8_t(0x80)));
    _mm256_store_si256((__m256i *) out.q[b][k] + half, turned);
}
#else
using unpacked = words;
using group = wide_activations;
constexpr int FIRST[8] = {0, 1, 2, 3, 4, 5, 6, 7};  // `store` sorts them
constexpr int LEAST_ROWS = 16;

static inline void take_row(group & g, int row, const q8_0 & from) {
    g.d[row] = from.d;
    for (int part = 0; part < 2; part++) {
        const __m128i values = _mm_loadu_si128((const __m128i *) from.qs + part);
        _mm256_storeu_si256((__m256i *) g.qs[row] + part, _mm256_cvtepi8_epi16(values));
    }
}

static inline void store(unpacked & out, int b, int k, int half, __m256i columns) {
    const __m256 low = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(columns)));
    const __m256 high = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm256_extracti128_si256(columns, 1)));
    _mm256_store_ps((float *) ((__m256 *) out.q[b][2 * k] + half), _mm256_shuffle_ps(low, high, 0x88));
    _mm256_store_ps((float *) ((__m256 *) out.q[b][2 * k + 1] + half), _mm256_shuffle_ps(low, high, 0xDD));
}
#endif

// Eight rows of eight lanes, turned about.
static inline void transpose(__m256i * v) {
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    __m256i u[8];
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x20);
        v[i + 4] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x31);
    }
}

// One block of eight columns, `stride` blocks apart.
static inline void unpack(const q8_0 * w, size_t stride, unpacked & out, int b, int half) {
    __m256i v[8];
    alignas(16) uint16_t d[8];
    for (int i = 0; i < 8; i++) {
        v[i] = _mm256_loadu_si256((const __m256i *) w[FIRST[i] * stride].qs);
        d[i] = w[i * stride].d;
    }
    transpose(v);
    for (int k = 0; k < QUADS; k++) {
        store(out, b, k, half, v[k]);
    }
    const __m256 scales = _mm256_cvtph_ps(_mm_load_si128((const __m128i *) d));
    _mm256_store_ps(out.d[b] + 8 * half, _mm256_permutevar8x32_ps(scales, order()));
}

// `n` rows of activations, at most 4 * GROUPS, by the columns `from` to `to`, 16 at a time.
static void rows_by_columns(int64_t k, const q8_0 * w, int64_t w_stride, const q8_0 * a, int64_t a_stride, int n, float * s, int64_t bs,
                            int64_t from, int64_t to) {
    constexpr int SOME = 24;  // blocks at once: 24 KB of words
    unpacked part;
    group some[GROUPS * SOME];
    offsets offset[GROUPS];
    const int groups = n / ROWS, rest = n % ROWS;
    for (int64_t first = 0; first < k; first += SOME) {
        const int depth = int(k - first < SOME ? k - first : SOME);
        for (int row = 0; row < (n + ROWS - 1) / ROWS * ROWS; row++) {
            for (int b = 0; b < depth; b++) {
                // The last group is filled up with its last row.
                take_row(some[row / ROWS * SOME + b], row % ROWS, a[(row < n ? row : n - 1) * a_stride + first + b]);
            }
        }
#ifdef TILES_VNNI
        for (int g = 0; g * ROWS < n; g++) {
            for (int b = 0; b < depth; b++) {
                sum_offsets(some[g * SOME + b], 128, offset[g][b]);
            }
        }
#endif
        for (int64_t c = from; c < to; c += COLUMNS) {
            for (int half = 0; half < 2; half++) {
                for (int b = 0; b < depth; b++) {
                    unpack(w + (c + 8 * half) * w_stride + first + b, w_stride, part, b, half);
                }
            }
            rows<2>(part, some, SOME, offset, groups, depth, first > 0, s + c, bs);
            if (rest > 0) {
                float last[ROWS][COLUMNS];
                float * out = s + groups * ROWS * bs + c;
                for (int r = 0; r < ROWS; r++) {
                    memcpy(last[r], out + (r < rest ? r : 0) * bs, sizeof last[r]);
                }
                rows<2>(part, some + groups * SOME, SOME, offset + groups, 1, depth, first > 0, last[0], COLUMNS);
                for (int r = 0; r < rest; r++) {
                    memcpy(out + r * bs, last[r], sizeof last[r]);
                }
            }
        }
    }
}

} // namespace q8_0_gemm

// In place of ggml's function of this name: `n` rows of `B` by `m` columns, which are the rows of `A`, `k` blocks deep; strides in
// blocks. Each thread does its share of the columns.
extern "C" bool llamafile_sgemm(const struct ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A, int64_t lda,
                                const void * B, int64_t ldb, void * C, int64_t ldc, int a_type, int b_type, int c_type) {
    using namespace q8_0_gemm;
    static const bool ours = kernels_are_ours();
    const bool computed = a_type == GGML_TYPE_Q8_0 && b_type == GGML_TYPE_Q8_0 && c_type == GGML_TYPE_F32;
    if (!ours || !computed || n < LEAST_ROWS || m % COLUMNS != 0) {
        return llamafile_sgemm_by_ggml(params, m, n, k, A, lda, B, ldb, C, ldc, a_type, b_type, c_type);
    }
    const int64_t tiles = m / COLUMNS;
    const int64_t from = tiles * params->ith / params->nth * COLUMNS, to = tiles * (params->ith + 1) / params->nth * COLUMNS;
    for (int64_t row = 0; row < n; row += ROWS * GROUPS) {
        const int some = int(n - row < ROWS * GROUPS ? n - row : ROWS * GROUPS);
        rows_by_columns(k, (const q8_0 *) A, lda, (const q8_0 *) B + row * ldb, ldb, some, (float *) C + row * ldc, ldc, from, to);
    }
    return true;
}

#define llamafile_sgemm llamafile_sgemm_by_ggml
#endif
