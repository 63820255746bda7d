// Attention over the KV cache, several times as fast as ggml's on x86; put before ggml-cpu/ops.cpp by llama.cmake, which says how.
//
// ggml goes through the cache once for each head and token, a key at a time: a product of two rows, an exponential, a row of the
// values added. Here
//   - the heads that share a head of the cache, and up to four tokens of a prompt, go through it together;
//   - 32 keys are taken at once, so that sums are gathered for eight of them and exponentials are of vectors;
//   - what is added up stays in registers, in 32 bits (ggml: 16 bits, in memory).
// Keys that nobody of the group may see are skipped, as in ggml. The method is the online softmax (Milakov and Gimelshein 2018,
// https://arxiv.org/abs/1805.02867), by blocks as in FlashAttention (Dao et al. 2022, https://arxiv.org/abs/2205.14135).
// Not done here but by ggml: other types than keys in F16 or Q8_0 and values in F16, sinks, ALiBi, soft caps, heads wider than 256.
#pragma once

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "attention_masks.h"
#include "kernels.h"
#include "ops.h"
#include "tiles.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"
#include "vec.h"

#include <immintrin.h>

#include <cmath>
#include <cstring>

extern "C" void ggml_compute_forward_flash_attn_ext_by_ggml(const struct ggml_compute_params * params, struct ggml_tensor * dst);

namespace attention {

constexpr int WIDTH = 256;     // of a head, at most
// Exponentials that ggml's function computes at once: what is left it gives to the C library's, which rounds otherwise, so that a
// row's result would depend on the rows beside it.
#if defined(__AVX512F__) && defined(__AVX512DQ__)
constexpr int EXPONENTIALS = 16;
#else
constexpr int EXPONENTIALS = 8;
#endif
static_assert(KEYS % EXPONENTIALS == 0, "whole vectors of them");
using tiles::BLOCK;
using tiles::q8_0;

// The queries of a group, in the form that its keys want.
struct queries {
    alignas(32) float f[ROWS][WIDTH];
    alignas(32) int8_t q[ROWS][WIDTH];
    alignas(32) int8_t magnitude[ROWS][WIDTH];
    float d[ROWS][WIDTH / BLOCK];
};

// The sums of eight vectors.
static inline __m256 sums(const __m256 * v) {
    const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

static inline __m256i sums(const __m256i * v) {
    const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

static inline __m256i pairs(__m256i magnitude, __m256i sign, __m256i key) {
    const __m256i signed_key = _mm256_sign_epi8(key, sign);
#ifdef TILES_VNNI
    return tiles::dot(_mm256_setzero_si256(), magnitude, signed_key);
#else
    return _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, signed_key), _mm256_set1_epi16(1));
#endif
}

// Query times key for `n` keys, unscaled, and 0 up to `whole`: eight keys and then all rows, so that keys are read from the nearest cache.
static void products(const group & g, const queries & q, const int32_t * keys, int n, int whole, float (*out)[KEYS]) {
    for (int first = (n + 7) / 8 * 8; first < whole; first += 8) {
        for (int r = 0; r < g.rows; r++) {
            _mm256_storeu_ps(out[r] + first, _mm256_setzero_ps());
        }
    }
    for (int first = 0; first < n; first += 8) {
        // Behind the last one it stands once more.
        const char * key[8];
        for (int i = 0; i < 8; i++) {
            key[i] = g.k + size_t(keys[first + i < n ? first + i : n - 1]) * g.key_stride;
        }
        if (g.quantised) {
            const int blocks = g.width / BLOCK;
            alignas(32) float d[WIDTH / BLOCK][8];
            for (int b = 0; b < blocks; b++) {
                for (int i = 0; i < 8; i++) {
                    d[b][i] = _cvtsh_ss(((const q8_0 *) key[i])[b].d);
                }
            }
            for (int r = 0; r < g.rows; r++) {
                __m256 dot = _mm256_setzero_ps();
                for (int b = 0; b < blocks; b++) {
                    const __m256i magnitude = _mm256_load_si256((const __m256i *) (q.magnitude[r] + b * BLOCK));
                    const __m256i sign = _mm256_load_si256((const __m256i *) (q.q[r] + b * BLOCK));
                    __m256i whole[8];
                    for (int i = 0; i < 8; i++) {
                        const __m256i values = _mm256_loadu_si256((const __m256i *) ((const q8_0 *) key[i])[b].qs);
                        whole[i] = pairs(magnitude, sign, values);
                    }
                    const __m256 scale = _mm256_mul_ps(_mm256_load_ps(d[b]), _mm256_set1_ps(q.d[r][b]));
                    dot = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums(whole)), scale, dot);
                }
                _mm256_storeu_ps(out[r] + first, dot);
            }
        } else {
            for (int r = 0; r < g.rows; r++) {
                __m256 dot[8];
                for (int i = 0; i < 8; i++) {
                    __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
                    for (int c = 0; c < g.width; c += 16) {
                        const __m256 left = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (key[i] + 2 * c)));
                        const __m256 right = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (key[i] + 2 * c + 16)));
                        even = _mm256_fmadd_ps(left, _mm256_load_ps(q.f[r] + c), even);
                        odd = _mm256_fmadd_ps(right, _mm256_load_ps(q.f[r] + c + 8), odd);
                    }
                    dot[i] = _mm256_add_ps(even, odd);
                }
                _mm256_storeu_ps(out[r] + first, sums(dot));
            }
        }
    }
}

// Adds `n` values, each by its weight, to `N` rows, `V` vectors of their width from `column` on.
template <int N, int V>
static inline void add_values(const group & g, const int32_t * keys, int n, const float (*weight)[KEYS], float (*total)[WIDTH], int column) {
    __m256 sum[N][V];
    for (int r = 0; r < N; r++) {
        for (int c = 0; c < V; c++) {
            sum[r][c] = _mm256_load_ps(total[r] + column + 8 * c);
        }
    }
    for (int i = 0; i < n; i++) {
        const char * value = g.v + size_t(keys[i]) * g.value_stride + 2 * column;
        __m256 w[N];
        for (int r = 0; r < N; r++) {
            w[r] = _mm256_set1_ps(weight[r][i]);
        }
        for (int c = 0; c < V; c++) {
            const __m256 part = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (value + 16 * c)));
            for (int r = 0; r < N; r++) {
                sum[r][c] = _mm256_fmadd_ps(part, w[r], sum[r][c]);
            }
        }
    }
    for (int r = 0; r < N; r++) {
        for (int c = 0; c < V; c++) {
            _mm256_store_ps(total[r] + column + 8 * c, sum[r][c]);
        }
    }
}

template <int N>
static inline void add_rows(const group & g, const int32_t * keys, int n, const float (*weight)[KEYS], float (*total)[WIDTH]) {
    int column = 0;
    for (; column + 32 <= g.value_width; column += 32) {
        add_values<N, 4>(g, keys, n, weight, total, column);
    }
    for (; column < g.value_width; column += 8) {
        add_values<N, 1>(g, keys, n, weight, total, column);
    }
}

// Returns the highest of them and `highest`.
static inline float scale_and_bias(float * score, float scale, const float * bias, int n, float highest) {
    __m256 most = _mm256_set1_ps(highest);
    for (int i = 0; i < n; i += 8) {
        const __m256 sum = _mm256_fmadd_ps(_mm256_load_ps(score + i), _mm256_set1_ps(scale), _mm256_load_ps(bias + i));
        _mm256_store_ps(score + i, sum);
        most = _mm256_max_ps(most, sum);
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

// All of one group: attention of its rows, written to `out[row]`.
static void attend(const group & g, const queries & q, float * const * out) {
    alignas(32) float total[ROWS][WIDTH];
    alignas(32) float score[ROWS][KEYS];
    float most[ROWS], weights[ROWS];
    for (int r = 0; r < g.rows; r++) {
        memset(total[r], 0, g.value_width * sizeof(float));
        most[r] = -INFINITY;
        weights[r] = 0.0f;
    }
    int32_t keys[KEYS];
    int64_t from = 0;
    while (from < g.n_kv) {
        const int n = visible(g, from, keys);
        if (n == 0) {
            continue;
        }
        const int whole = (n + EXPONENTIALS - 1) / EXPONENTIALS * EXPONENTIALS;
        products(g, q, keys, n, whole, score);
        for (int t = 0; t < g.tokens; t++) {
            alignas(32) float bias[KEYS];
            biases(g, t, keys, n, whole, bias);
            for (int h = 0; h < g.heads; h++) {
                const int r = t * g.heads + h;
                const float highest = scale_and_bias(score[r], g.scale, bias, whole, most[r]);
                if (highest == -INFINITY) {
                    memset(score[r], 0, whole * sizeof(float));
                    continue;
                }
                if (highest > most[r]) {
                    const float shrink = expf(most[r] - highest);
                    most[r] = highest;
                    weights[r] *= shrink;
                    for (int c = 0; c < g.value_width; c++) {
                        total[r][c] *= shrink;
                    }
                }
                weights[r] += float(ggml_vec_soft_max_f32(whole, score[r], score[r], highest));
            }
        }
        int r = 0;
        for (; r + 3 <= g.rows; r += 3) {
            add_rows<3>(g, keys, n, score + r, total + r);
        }
        for (; r < g.rows; r++) {
            add_rows<1>(g, keys, n, score + r, total + r);
        }
    }
    for (int r = 0; r < g.rows; r++) {
        // Who sees nothing gets nothing: a row of padding.
        const float share = weights[r] == 0.0f ? 0.0f : 1.0f / weights[r];
        for (int c = 0; c < g.value_width; c++) {
            out[r][c] = total[r][c] * share;
        }
    }
}

// Whether all of these rows are numbers.
static bool finite(float * const * rows, int n, int width) {
    __m256 zero = _mm256_setzero_ps();
    for (int r = 0; r < n; r++) {
        for (int c = 0; c < width; c += 8) {
            const __m256 values = _mm256_loadu_ps(rows[r] + c);
            zero = _mm256_or_ps(zero, _mm256_sub_ps(values, values));
        }
    }
    return _mm256_movemask_ps(_mm256_cmp_ps(zero, zero, _CMP_UNORD_Q)) == 0;
}

static void take_query(const group & g, queries & q, int row, const float * from) {
    memcpy(q.f[row], from, g.width * sizeof(float));
    if (!g.quantised) {
        return;
    }
    q8_0 blocks[WIDTH / BLOCK];
    ggml_get_type_traits_cpu(GGML_TYPE_Q8_0)->from_float(from, blocks, g.width);
    for (int b = 0; b < g.width / BLOCK; b++) {
        q.d[row][b] = _cvtsh_ss(blocks[b].d);
        memcpy(q.q[row] + b * BLOCK, blocks[b].qs, BLOCK);
        const __m256i values = _mm256_loadu_si256((const __m256i *) blocks[b].qs);
        _mm256_store_si256((__m256i *) (q.magnitude[row] + b * BLOCK), _mm256_abs_epi8(values));
    }
}

static bool can(const ggml_tensor * dst, const struct ggml_compute_params * params) {
    const ggml_tensor * q = dst->src[0], * k = dst->src[1], * v = dst->src[2], * mask = dst->src[3];
    float bias, cap;
    memcpy(&bias, (const float *) dst->op_params + 1, sizeof bias);
    memcpy(&cap, (const float *) dst->op_params + 2, sizeof cap);
    const int64_t heads = k->ne[2] > 0 ? q->ne[2] / k->ne[2] : 0;
    return !params->use_ref && bias == 0.0f && cap == 0.0f && !dst->src[4] && q->type == GGML_TYPE_F32 && v->type == GGML_TYPE_F16
        && (k->type == GGML_TYPE_F16 || k->type == GGML_TYPE_Q8_0) && (!mask || (mask->type == GGML_TYPE_F16 && mask->ne[2] == 1))
        && k->ne[0] == q->ne[0] && k->ne[0] % (k->type == GGML_TYPE_Q8_0 ? BLOCK : 16) == 0 && k->ne[0] <= WIDTH
        && v->ne[0] % 8 == 0 && v->ne[0] <= WIDTH && heads >= 1 && heads <= ROWS && q->ne[2] == heads * k->ne[2]
        && v->ne[2] == k->ne[2] && k->ne[3] == q->ne[3] && v->ne[3] == q->ne[3]
        && q->nb[0] == sizeof(float) && dst->nb[0] == sizeof(float) && v->nb[0] == sizeof(uint16_t)
        && k->nb[0] == ggml_type_size(k->type);
}

// How many tokens go together: `most`, or fewer where threads would share the groups unevenly, as of three heads of a short piece of a
// long prompt. To go through the cache once more costs about half of what a token does.
static int even(int most, int64_t tokens, int64_t times, int threads) {
    int best = most;
    int64_t least = INT64_MAX;
    for (int together = most; together >= 1; together /= 2) {
        const int64_t groups = (tokens + together - 1) / together * times;
        const int64_t each = 2 * (tokens < together ? tokens : together) + 1;
        const int64_t cost = (groups + threads - 1) / threads * each;
        if (cost < least) {
            least = cost;
            best = together;
        }
    }
    return best;
}

static void compute(const struct ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * q = dst->src[0], * k = dst->src[1], * v = dst->src[2], * mask = dst->src[3];
    group g;
    g.width = int(k->ne[0]);
    g.value_width = int(v->ne[0]);
    g.n_kv = k->ne[1];
    g.key_stride = k->nb[1];
    g.value_stride = v->nb[1];
    g.heads = int(q->ne[2] / k->ne[2]);
    g.quantised = k->type == GGML_TYPE_Q8_0;
    memcpy(&g.scale, dst->op_params, sizeof g.scale);

    const int64_t n_tokens = q->ne[1];
    const int most = g.heads * TOKENS <= ROWS ? TOKENS : ROWS / g.heads;
    const int together = even(most, n_tokens, k->ne[2] * q->ne[3], params->nth);
    const int64_t per_head = (n_tokens + together - 1) / together;
    const int64_t units = per_head * k->ne[2] * q->ne[3];
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);

    queries now;
    for (int64_t unit = params->ith; unit < units; unit = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t stream = unit / (per_head * k->ne[2]);
        const int64_t head = unit / per_head % k->ne[2];
        const int64_t first = unit % per_head * together;
        const int all = int(n_tokens - first < together ? n_tokens - first : together);
        g.k = (const char *) k->data + head * k->nb[2] + stream * k->nb[3];
        g.v = (const char *) v->data + head * v->nb[2] + stream * v->nb[3];
        float * out[ROWS];
        const auto go = [&](int64_t token, int tokens) {
            g.tokens = tokens;
            g.rows = tokens * g.heads;
            for (int t = 0; t < tokens; t++) {
                for (int h = 0; h < g.heads; h++) {
                    const int row = t * g.heads + h;
                    const int64_t query_head = head * g.heads + h;
                    const char * query = (const char *) q->data + (token + t) * q->nb[1] + query_head * q->nb[2] + stream * q->nb[3];
                    take_query(g, now, row, (const float *) query);
                    out[row] = (float *) ((char *) dst->data + query_head * dst->nb[1] + (token + t) * dst->nb[2] + stream * dst->nb[3]);
                }
            }
            attend(g, now, out);
        };
        const auto masks = [&](int64_t token, int tokens) {
            for (int t = 0; t < tokens; t++) {
                g.mask[t] = mask ? (const char *) mask->data + (token + t) * mask->nb[1] + stream % mask->ne[3] * mask->nb[3] : nullptr;
            }
            g.tokens = tokens;
        };
        masks(first, all);
        bool together_well = alike(g);
        if (together_well) {
            go(first, all);
            // A key that only the others see counts nothing, but nothing times infinity is no number: one conversation gone wrong
            // must not spoil those that went through the cache with it.
            together_well = all == 1 || finite(out, g.rows, g.value_width);
        }
        if (!together_well) {
            for (int t = 0; t < all; t++) {
                masks(first + t, 1);
                go(first + t, 1);
            }
        }
    }
}

} // namespace attention

// In place of ggml's function of this name.
extern "C" void ggml_compute_forward_flash_attn_ext(const struct ggml_compute_params * params, struct ggml_tensor * dst) {
    static const bool ours = kernels_are_ours();
    if (ours && attention::can(dst, params)) {
        attention::compute(params, dst);
    } else {
        ggml_compute_forward_flash_attn_ext_by_ggml(params, dst);
    }
}

#define ggml_compute_forward_flash_attn_ext ggml_compute_forward_flash_attn_ext_by_ggml
#endif
