// Tiles of a product of quantised weights with quantised activations, for q4_0_gemm.h and q8_0_gemm.h: four rows by 16 columns, each
// 32 values deep, of weights that were unpacked before.
//
// x86 multiplies unsigned by signed bytes. So weights are kept with an offset that makes them positive (8 for four bits, 128 for
// eight), and what it adds, the offset times the sum of a block's activations, is known from the activations alone and taken off for
// all columns. Four values of a column lie in each lane, so that four activations of a row are broadcast from memory, and nothing is
// shuffled. Without VNNI, sums of products of four bits stay in 16 bits for a whole block (8 pairs of at most 2 * 15 * 127), and eight
// bits are multiplied as 16. Integers are summed exactly and blocks in their order, as ggml does.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVXVNNI__) || (defined(__AVX512VNNI__) && defined(__AVX512VL__))
#define TILES_VNNI
#endif

#define UNROLLED _Pragma("GCC unroll 16")
// GCC would first make all products and then add them, and has no registers for that.
#define IN_ORDER(vector) asm("" : "+x"(vector))

namespace tiles {

constexpr int ROWS = 4;                    // rows of a group of activations
constexpr int COLUMNS = 16;                // columns unpacked together
constexpr int BLOCK = 32;                  // values with one scale
constexpr int QUADS = BLOCK / 4;           // lanes of four values
constexpr int GROUPS = 16;                 // groups of rows for which weights are unpacked once
constexpr int DEPTH = 48;                  // blocks of a column unpacked at once: 27 KB of bytes, a level-1 cache

// ggml's block_q8_0.
struct q8_0 {
    uint16_t d;
    int8_t qs[BLOCK];
};
static_assert(sizeof(q8_0) == 34, "ggml's layout");

// ggml's block_q8_0x4: four rows, eight values of each in turn.
struct activations {
    uint16_t d[ROWS];
    int8_t qs[ROWS * BLOCK];
};
static_assert(sizeof(activations) == 136, "ggml's layout");

// The same with signs and 16 bits a value, row by row.
struct wide_activations {
    uint16_t d[ROWS];
    int16_t qs[ROWS][BLOCK];
};

// A depth of 16 columns: bytes by four or 16 bits by two of a column in a lane, and the scales. In each half the columns stand as
// 0 1 4 5 2 3 6 7, as unpacking ggml's interleaved weights leaves them; the same permutation puts them right.
struct bytes {
    alignas(64) uint8_t q[DEPTH][QUADS][COLUMNS][4];
    alignas(64) float d[DEPTH][COLUMNS];
};
struct words {
    alignas(64) int16_t q[DEPTH][BLOCK / 2][COLUMNS][2];
    alignas(64) float d[DEPTH][COLUMNS];
};
using offsets = int32_t[DEPTH][ROWS];

#ifdef TILES_VNNI
// `sum` and, in each lane, the products of four unsigned with four signed bytes.
static inline __m256i dot(__m256i sum, __m256i unsigned_bytes, __m256i signed_bytes) {
#if defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(sum, unsigned_bytes, signed_bytes);
#else
    return _mm256_dpbusd_epi32(sum, unsigned_bytes, signed_bytes);
#endif
}
#endif

static inline __m256i order() { return _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7); }

static inline int32_t quad(const activations & a, int row, int k) {
    int32_t four;
    memcpy(&four, a.qs + (k / 2) * 8 * ROWS + row * 8 + (k % 2) * 4, sizeof four);
    return four;
}

// What the weights' offset adds to each row's products in a block, to be taken off: minus `by` times the sum of its values.
static inline void sum_offsets(const activations & a, int by, int32_t * out) {
    __m256i sum = _mm256_setzero_si256();
    for (int part = 0; part < 4; part++) {
        const __m256i values = _mm256_loadu_si256((const __m256i *) (a.qs + 32 * part));
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_set1_epi8(1), values));
    }
    // Four lanes of 16 bits a row; then two of 32 bits a row.
    const __m256i pairs = _mm256_madd_epi16(sum, _mm256_set1_epi16(short(-by)));
    const __m256i rows = _mm256_add_epi32(pairs, _mm256_srli_epi64(pairs, 32));
    const __m256i packed = _mm256_permutevar8x32_epi32(rows, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    _mm_storeu_si128((__m128i *) out, _mm256_castsi256_si128(packed));
}

static inline void row_scales(const uint16_t * d, float * out) {
    _mm_storeu_ps(out, _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *) d)));
}

// One block of four rows by `H` times eight columns: its sums of products, without what the offset adds.
template <int H>
static inline void products(const uint8_t (*w)[COLUMNS][4], const activations & a, const int32_t * offset, __m256i (*sum)[H]) {
#ifdef TILES_VNNI
    UNROLLED for (int r = 0; r < ROWS; r++) {
        UNROLLED for (int h = 0; h < H; h++) {
            sum[r][h] = _mm256_set1_epi32(offset[r]);
        }
    }
#else
    __m256i pairs[ROWS][H];
#endif
    UNROLLED for (int k = 0; k < QUADS; k++) {
        __m256i weights[H];
        UNROLLED for (int h = 0; h < H; h++) {
            weights[h] = _mm256_load_si256((const __m256i *) w[k] + h);
        }
        UNROLLED for (int r = 0; r < ROWS; r++) {
            const __m256i four = _mm256_set1_epi32(quad(a, r, k));
            UNROLLED for (int h = 0; h < H; h++) {
#ifdef TILES_VNNI
                sum[r][h] = dot(sum[r][h], weights[h], four);
#else
                const __m256i product = _mm256_maddubs_epi16(weights[h], four);
                pairs[r][h] = k == 0 ? product : _mm256_add_epi16(pairs[r][h], product);
#endif
            }
#ifndef TILES_VNNI
            UNROLLED for (int h = 0; h < H; h++) {
                IN_ORDER(pairs[r][h]);
            }
#endif
        }
    }
#ifndef TILES_VNNI
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLLED for (int r = 0; r < ROWS; r++) {
        const __m256i off = _mm256_set1_epi32(offset[r]);
        UNROLLED for (int h = 0; h < H; h++) {
            sum[r][h] = _mm256_add_epi32(_mm256_madd_epi16(pairs[r][h], ones), off);
        }
    }
#endif
}

// The same of 16 bits by 16: eight bits times eight do not fit the sums above.
template <int H>
static inline void products(const int16_t (*w)[COLUMNS][2], const wide_activations & a, const int32_t *, __m256i (*sum)[H]) {
    UNROLLED for (int r = 0; r < ROWS; r++) {
        UNROLLED for (int h = 0; h < H; h++) {
            sum[r][h] = _mm256_setzero_si256();
        }
    }
    UNROLLED for (int k = 0; k < BLOCK / 2; k++) {
        __m256i weights[H];
        UNROLLED for (int h = 0; h < H; h++) {
            weights[h] = _mm256_load_si256((const __m256i *) w[k] + h);
        }
        UNROLLED for (int r = 0; r < ROWS; r++) {
            int32_t two;
            memcpy(&two, a.qs[r] + 2 * k, sizeof two);
            const __m256i both = _mm256_set1_epi32(two);
            UNROLLED for (int h = 0; h < H; h++) {
                sum[r][h] = _mm256_add_epi32(sum[r][h], _mm256_madd_epi16(weights[h], both));
            }
            UNROLLED for (int h = 0; h < H; h++) {
                IN_ORDER(sum[r][h]);
            }
        }
    }
}

// `N` groups of four rows by `H` times eight columns; `more`: added to what stands in `s`, whose rows lie `bs` apart.
template <int N, int H, typename W, typename A>
static inline void tile(const W & w, const A * a, size_t stride, const offsets * offset, int depth, bool more, float * s, size_t bs) {
    for (int n = 0; n < N; n++) {
        float * out = s + n * ROWS * bs;
        __m256 total[ROWS][H];
        for (int r = 0; r < ROWS; r++) {
            for (int h = 0; h < H; h++) {
                const __m256 before = more ? _mm256_loadu_ps(out + r * bs + 8 * h) : _mm256_setzero_ps();
                total[r][h] = _mm256_permutevar8x32_ps(before, order());
            }
        }
        for (int b = 0; b < depth; b++) {
            const A & block = a[n * stride + b];
            __m256i sum[ROWS][H];
            products<H>(w.q[b], block, offset[n][b], sum);
            float rows[ROWS];
            row_scales(block.d, rows);
            UNROLLED for (int r = 0; r < ROWS; r++) {
                const __m256 row = _mm256_set1_ps(rows[r]);
                UNROLLED for (int h = 0; h < H; h++) {
                    const __m256 scale = _mm256_mul_ps(_mm256_load_ps(w.d[b] + 8 * h), row);
                    total[r][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][h]), scale, total[r][h]);
                }
            }
        }
        for (int r = 0; r < ROWS; r++) {
            for (int h = 0; h < H; h++) {
                _mm256_storeu_ps(out + r * bs + 8 * h, _mm256_permutevar8x32_ps(total[r][h], order()));
            }
        }
    }
}

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

// The same by 16 columns, in vectors twice as wide.
template <int N>
static inline void wide_tile(const bytes & w, const activations * a, size_t stride, const offsets * offset, int depth, bool more, float * s,
                        size_t bs) {
    const __m512i straight = _mm512_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    __m512 total[N * ROWS];
    UNROLLED for (int r = 0; r < N * ROWS; r++) {
        total[r] = more ? _mm512_permutexvar_ps(straight, _mm512_loadu_ps(s + r * bs)) : _mm512_setzero_ps();
    }
    for (int b = 0; b < depth; b++) {
        __m512i sum[N * ROWS];
        UNROLLED for (int r = 0; r < N * ROWS; r++) {
            sum[r] = _mm512_set1_epi32(offset[r / ROWS][b][r % ROWS]);
        }
        UNROLLED for (int k = 0; k < QUADS; k++) {
            const __m512i values = _mm512_load_si512((const void *) w.q[b][k]);
            UNROLLED for (int r = 0; r < N * ROWS; r++) {
                sum[r] = _mm512_dpbusd_epi32(sum[r], values, _mm512_set1_epi32(quad(a[(r / ROWS) * stride + b], r % ROWS, k)));
            }
        }
        const __m512 columns = _mm512_load_ps(w.d[b]);
        UNROLLED for (int n = 0; n < N; n++) {
            float rows[ROWS];
            row_scales(a[n * stride + b].d, rows);
            UNROLLED for (int r = 0; r < ROWS; r++) {
                const __m512 scale = _mm512_mul_ps(columns, _mm512_set1_ps(rows[r]));
                total[n * ROWS + r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[n * ROWS + r]), scale, total[n * ROWS + r]);
            }
        }
    }
    UNROLLED for (int r = 0; r < N * ROWS; r++) {
        _mm512_storeu_ps(s + r * bs, _mm512_permutexvar_ps(straight, total[r]));
    }
}

template <int N, int H>
static inline void tile(const bytes & w, const activations * a, size_t stride, const offsets * offset, int depth, bool more, float * s,
                        size_t bs) {
    if constexpr (H == 2) {
        wide_tile<N>(w, a, stride, offset, depth, more, s, bs);
    } else {
        tile<N, H, bytes, activations>(w, a, stride, offset, depth, more, s, bs);
    }
}

#endif

// `groups` groups of rows, `blocks` deep and as far apart in `a`, by `H` times eight columns.
template <int H, typename W, typename A>
static inline void rows(const W & w, const A * a, size_t blocks, const offsets * offset, int groups, int depth, bool more, float * s,
                        size_t bs) {
    int g = 0;
    for (; g + 2 <= groups; g += 2) {
        tile<2, H>(w, a + g * blocks, blocks, offset + g, depth, more, s + size_t(g) * ROWS * bs, bs);
    }
    for (; g < groups; g++) {
        tile<1, H>(w, a + g * blocks, blocks, offset + g, depth, more, s + size_t(g) * ROWS * bs, bs);
    }
}

} // namespace tiles
