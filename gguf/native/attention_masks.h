// Which keys a group of heads and tokens attends to. Taken in by attention.h.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace attention {

constexpr int KEYS = 32;       // keys taken at once
constexpr int ROWS = 12;       // heads times tokens that go through the cache together, at most
constexpr int TOKENS = 4;      // tokens among them, at most
constexpr uint16_t HIDDEN = 0xFC00;   // minus infinity in F16: a key that a token may not see

// One group's tensors: pointers to where its head of the cache begins.
struct group {
    const char * k;
    size_t key_stride;
    const char * v;
    size_t value_stride;
    const char * mask[TOKENS];
    int64_t n_kv;
    int width, value_width, rows, heads, tokens;
    float scale;
    bool quantised;
};

// Keys that somebody of the group may see: up to KEYS from `from` on, which it moves. Returns how many.
static int visible(const group & g, int64_t & from, int32_t * keys) {
    const __m256i hidden = _mm256_set1_epi16(short(HIDDEN));
    int n = 0;
    while (from < g.n_kv && n + 16 <= KEYS) {
        uint32_t seen = 0;
        const int some = g.n_kv - from < 16 ? int(g.n_kv - from) : 16;
        if (!g.mask[0]) {
            seen = some == 16 ? 0xFFFF : (1u << some) - 1;
        } else if (some == 16) {
            __m256i all = _mm256_set1_epi16(-1);
            for (int t = 0; t < g.tokens; t++) {
                const __m256i row = _mm256_loadu_si256((const __m256i *) (g.mask[t] + from * sizeof(uint16_t)));
                all = _mm256_and_si256(all, _mm256_cmpeq_epi16(row, hidden));
            }
            const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
            seen = ~uint32_t(_mm_movemask_epi8(bytes)) & 0xFFFF;
        } else {
            for (int i = 0; i < some; i++) {
                for (int t = 0; t < g.tokens; t++) {
                    uint16_t bits;
                    memcpy(&bits, g.mask[t] + (from + i) * sizeof bits, sizeof bits);
                    seen |= uint32_t(bits != HIDDEN) << i;
                }
            }
        }
        for (; seen != 0; seen &= seen - 1) {
            keys[n++] = int32_t(from) + __builtin_ctz(seen);
        }
        from += some;
    }
    return n;
}

// What a token's mask adds to the scores of `n` keys; minus infinity behind them, up to `whole`.
static inline void biases(const group & g, int token, const int32_t * keys, int n, int whole, float * bias) {
    for (int i = 0; i < whole; i += 8) {
        _mm256_store_ps(bias + i, _mm256_set1_ps(-INFINITY));
    }
    const char * mask = g.mask[token];
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        // Nearly always they stand side by side.
        if (mask && keys[i + 7] - keys[i] != 7) {
            break;
        }
        const __m128i halves = mask ? _mm_loadu_si128((const __m128i *) (mask + size_t(keys[i]) * sizeof(uint16_t))) : _mm_setzero_si128();
        _mm256_store_ps(bias + i, _mm256_cvtph_ps(halves));
    }
    for (; i < n; i++) {
        uint16_t bits = 0;
        if (mask) {
            memcpy(&bits, mask + size_t(keys[i]) * sizeof bits, sizeof bits);
        }
        bias[i] = _cvtsh_ss(bits);
    }
}

// How many keys somebody of these tokens may see.
static int64_t seen(const char * const * mask, int tokens, int64_t n_kv) {
    const __m256i hidden = _mm256_set1_epi16(short(HIDDEN));
    __m256i counts = _mm256_setzero_si256();  // in 16 lanes, of up to 32,767 times 16 keys
    int64_t n = n_kv, i = 0;
    for (; i + 16 <= n_kv; i += 16) {
        __m256i all = _mm256_set1_epi16(-1);
        for (int t = 0; t < tokens; t++) {
            const __m256i row = _mm256_loadu_si256((const __m256i *) (mask[t] + i * sizeof(uint16_t)));
            all = _mm256_and_si256(all, _mm256_cmpeq_epi16(row, hidden));
        }
        counts = _mm256_sub_epi16(counts, all);
    }
    uint16_t lanes[16];
    _mm256_storeu_si256((__m256i *) lanes, counts);
    for (const uint16_t lane : lanes) {
        n -= lane;
    }
    for (; i < n_kv; i++) {
        bool any = false;
        for (int t = 0; t < tokens; t++) {
            uint16_t bits;
            memcpy(&bits, mask[t] + i * sizeof bits, sizeof bits);
            any |= bits != HIDDEN;
        }
        n -= !any;
    }
    return n;
}

// Whether these tokens see so much the same that going together costs less: those of one prompt, not those of many people in one pool.
static bool alike(const group & g) {
    if (g.tokens == 1 || !g.mask[0]) {
        return true;
    }
    int64_t each = 0;
    for (int t = 0; t < g.tokens; t++) {
        each += seen(g.mask + t, 1, g.n_kv);
    }
    return 2 * g.tokens * seen(g.mask, g.tokens, g.n_kv) <= 3 * each;
}

} // namespace attention
