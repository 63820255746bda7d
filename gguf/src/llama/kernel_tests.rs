//! The kernels of `gguf/native` beside the functions of ggml's that they stand in for.

use std::ptr;

use half::f16;
use llama_cpp_sys_2 as sys;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// As in ggml-cpu-impl.h.
#[repr(C)]
struct Params {
    ith: i32,
    nth: i32,
    wsize: usize,
    wdata: *mut u8,
    threadpool: *mut u8,
    use_ref: bool,
}

// SAFETY: as the functions below that it is the type of.
type Gemm = unsafe extern "C" fn(i32, *mut f32, usize, *const u8, *const u8, i32, i32);
// SAFETY: the same.
type Sgemm = unsafe extern "C" fn(
    *const Params,
    i64,
    i64,
    i64,
    *const u8,
    i64,
    *const u8,
    i64,
    *mut f32,
    i64,
    i32,
    i32,
    i32,
) -> bool;

// SAFETY: declared as in ggml-cpu/repack.h and ggml-cpu/llamafile/sgemm.h, and as gguf/native defines their twins.
unsafe extern "C" {
    fn ggml_gemm_q4_0_8x8_q8_0(n: i32, s: *mut f32, bs: usize, w: *const u8, a: *const u8, rows: i32, columns: i32);
    fn ggml_gemm_q4_0_8x8_q8_0_by_ggml(
        n: i32,
        s: *mut f32,
        bs: usize,
        w: *const u8,
        a: *const u8,
        rows: i32,
        columns: i32,
    );
    fn ggml_gemv_q4_0_8x8_q8_0(n: i32, s: *mut f32, bs: usize, w: *const u8, a: *const u8, rows: i32, columns: i32);
    fn ggml_gemv_q4_0_8x8_q8_0_by_ggml(
        n: i32,
        s: *mut f32,
        bs: usize,
        w: *const u8,
        a: *const u8,
        rows: i32,
        columns: i32,
    );
    fn llamafile_sgemm(
        p: *const Params,
        m: i64,
        n: i64,
        k: i64,
        a: *const u8,
        lda: i64,
        b: *const u8,
        ldb: i64,
        c: *mut f32,
        ldc: i64,
        a_type: i32,
        b_type: i32,
        c_type: i32,
    ) -> bool;
    fn llamafile_sgemm_by_ggml(
        p: *const Params,
        m: i64,
        n: i64,
        k: i64,
        a: *const u8,
        lda: i64,
        b: *const u8,
        ldb: i64,
        c: *mut f32,
        ldc: i64,
        a_type: i32,
        b_type: i32,
        c_type: i32,
    ) -> bool;
}

/// Blocks of `scales` scales and then `values` bytes each, any but -128, which quantising never makes.
fn blocks(random: &mut ChaCha8Rng, count: usize, scales: usize, values: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count * (2 * scales + values));
    for _ in 0..count {
        for _ in 0..scales {
            bytes.extend(f16::from_f32(random.random_range(-0.02f32..0.02)).to_le_bytes());
        }
        bytes.extend((0..values).map(|_| random.random_range(-127i8..=127).to_le_bytes()[0]));
    }
    bytes
}

#[test]
fn products_of_four_bits_are_those_of_ggml() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (depth, rows, columns) in
        [(32, 4, 8), (64, 8, 16), (576, 12, 72), (576, 68, 24), (1536, 32, 40), (1568, 4, 16), (3200, 132, 48)]
    {
        let blocks_deep = depth / 32;
        let weights = blocks(&mut random, columns / 8 * blocks_deep, 8, 128);
        let activations = blocks(&mut random, rows / 4 * blocks_deep, 4, 128);
        let computed = |gemm: Gemm| {
            // A little wider than the product: what lies beside it stays.
            let stride = columns + 3;
            let mut out = vec![7.0f32; rows * stride];
            let sizes = [depth, rows, columns].map(|size| i32::try_from(size).unwrap());
            // SAFETY: the buffers have the sizes that these three numbers say.
            unsafe {
                gemm(sizes[0], out.as_mut_ptr(), stride, weights.as_ptr(), activations.as_ptr(), sizes[1], sizes[2]);
            };
            out
        };
        let (ours, ggml) = (computed(ggml_gemm_q4_0_8x8_q8_0), computed(ggml_gemm_q4_0_8x8_q8_0_by_ggml));
        assert!(ours.iter().any(|value| value.abs() > 0.1 && *value != 7.0), "nothing was computed");
        let worst = ours.iter().zip(&ggml).map(|(ours, ggml)| (ours - ggml).abs()).fold(0.0, f32::max);
        // Seen on a processor with AVX2; ggml has another kernel for AVX-512.
        let allowed = if cfg!(target_feature = "avx512f") { 1e-4 } else { 0.0 };
        assert!(worst <= allowed, "{depth} deep, {rows} rows, {columns} columns: {worst}");
    }
}

#[test]
fn products_of_one_row_are_those_of_ggml() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    // SAFETY: it fills ggml's table of halves, which its own kernel reads.
    unsafe { sys::ggml_cpu_init() };
    for (depth, columns) in [(32, 8), (576, 72), (1536, 40), (1568, 16), (3200, 24)] {
        let weights = blocks(&mut random, columns / 8 * (depth / 32), 8, 128);
        let row = blocks(&mut random, depth / 32, 1, 32);
        let computed = |gemv: Gemm| {
            let mut out = vec![7.0f32; columns + 3];
            let [n, columns] = [depth, columns].map(|size| i32::try_from(size).unwrap());
            // SAFETY: the buffers have the sizes that these numbers say.
            unsafe { gemv(n, out.as_mut_ptr(), 0, weights.as_ptr(), row.as_ptr(), 1, columns) };
            out
        };
        let (ours, ggml) = (computed(ggml_gemv_q4_0_8x8_q8_0), computed(ggml_gemv_q4_0_8x8_q8_0_by_ggml));
        assert!(ours.iter().any(|value| value.abs() > 0.1 && *value != 7.0), "nothing was computed");
        let worst = ours.iter().zip(&ggml).map(|(ours, ggml)| (ours - ggml).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{depth} deep, {columns} columns: {worst}");
    }
}

#[test]
fn products_of_eight_bits_are_those_of_ggml() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for (depth, rows, columns, threads) in
        [(32, 16, 16, 1), (576, 17, 48, 2), (576, 70, 96, 3), (1536, 33, 32, 1), (800, 19, 64, 2)]
    {
        let deep = depth / 32;
        let (weights, activations) =
            (blocks(&mut random, columns * deep, 1, 32), blocks(&mut random, rows * deep, 1, 32));
        let computed = |sgemm: Sgemm| {
            let stride = columns + 5;
            let mut out = vec![7.0f32; rows * stride];
            let [m, n, k, ldc] = [columns, rows, deep, stride].map(|size| i64::try_from(size).unwrap());
            let (w, a) = (weights.as_ptr(), activations.as_ptr());
            for ith in 0..threads {
                let params = Params {
                    ith,
                    nth: threads,
                    wsize: 0,
                    wdata: ptr::null_mut(),
                    threadpool: ptr::null_mut(),
                    use_ref: false,
                };
                // SAFETY: the buffers have the sizes that these numbers say; 8 is Q8_0 and 0 is F32.
                assert!(unsafe { sgemm(&raw const params, m, n, k, w, k, a, k, out.as_mut_ptr(), ldc, 8, 8, 0) });
            }
            out
        };
        // SAFETY: it fills ggml's table of halves, which its own kernel reads.
        unsafe { sys::ggml_cpu_init() };
        let (ours, ggml) = (computed(llamafile_sgemm), computed(llamafile_sgemm_by_ggml));
        assert!(ours.iter().any(|value| value.abs() > 0.1 && *value != 7.0), "nothing was computed");
        let worst = ours.iter().zip(&ggml).map(|(ours, ggml)| (ours - ggml).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{depth} deep, {rows} rows, {columns} columns: {worst}");
    }
}

/// Who sees which key.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// A prompt's tokens: those before, and not the places still free.
    Before,
    /// One pool for all: each token its own conversation.
    Own,
    /// The same, behind so many that all see.
    Shared(usize),
    /// Any; every fifth token none at all, like a row of padding.
    Some,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    width: usize,
    tokens: usize,
    heads: usize,
    cache_heads: usize,
    streams: usize,
    keys: usize,
    seen: Seen,
}

impl Shape {
    fn sees(self, random: &mut ChaCha8Rng, token: usize, key: usize) -> bool {
        match self.seen {
            Seen::Before => key + self.tokens + 5 <= self.keys + token,
            Seen::Own => key % self.tokens == token && key + 3 < self.keys,
            Seen::Shared(prefix) => key < prefix || key % self.tokens == token,
            Seen::Some => random.random_range(0..3) == 0 && token % 5 != 4,
        }
    }
}

/// What llama.cpp gives the operation: all in floats, as they are after they were rounded to the types of the cache.
struct Inputs {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    sees: Vec<bool>,
}

/// In double precision, by the definition: [stream][token][head][column].
fn exactly(shape: Shape, inputs: &Inputs) -> Vec<f64> {
    let Shape { width, tokens, heads, cache_heads, streams, keys, .. } = shape;
    let root = f64::from(u32::try_from(width).unwrap()).sqrt();
    let mut out = Vec::new();
    for (stream, token, head) in
        (0..streams).flat_map(|s| (0..tokens).flat_map(move |t| (0..heads).map(move |h| (s, t, h))))
    {
        let row = |cache: &[f32], key: usize| {
            let from = ((stream * keys + key) * cache_heads + head * cache_heads / heads) * width;
            cache[from..from + width].iter().map(|&x| f64::from(x)).collect::<Vec<_>>()
        };
        let query = &inputs.query[((stream * tokens + token) * heads + head) * width..][..width];
        let weights: Vec<(usize, f64)> = (0..keys)
            .filter(|key| inputs.sees[(stream * tokens + token) * keys + key])
            .map(|key| (key, query.iter().zip(row(&inputs.key, key)).map(|(&q, k)| f64::from(q) * k).sum::<f64>()))
            .map(|(key, product)| (key, (product / root).exp()))
            .collect();
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut sum = vec![0.0; width];
        for (key, weight) in weights {
            for (sum, value) in sum.iter_mut().zip(row(&inputs.value, key)) {
                *sum += value * weight / total;
            }
        }
        out.extend(sum);
    }
    out
}

/// Inputs of that shape; who sees what is drawn, too.
fn drawn(shape: Shape, seed: u64) -> Inputs {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let Shape { width, tokens, heads, cache_heads, streams, keys, .. } = shape;
    let sees: Vec<bool> =
        (0..streams * tokens * keys).map(|i| shape.sees(&mut random, i / keys % tokens, i % keys)).collect();
    let mut numbers = |count: usize| -> Vec<f32> { (0..count).map(|_| normal(&mut random)).collect() };
    Inputs {
        query: numbers(streams * tokens * heads * width),
        key: numbers(streams * keys * cache_heads * width),
        value: numbers(streams * keys * cache_heads * width),
        sees,
    }
}

/// By ggml's processor backend, with our kernel or (`reference`) with its own; rounds the inputs to the cache's types.
fn by_ggml(shape: Shape, inputs: &mut Inputs, key_type: sys::ggml_type, reference: bool, threads: i32) -> Vec<f32> {
    let Shape { width, tokens, heads, cache_heads, streams, keys, .. } = shape;
    let [width, tokens, heads, cache_heads, streams, keys] =
        [width, tokens, heads, cache_heads, streams, keys].map(|size| i64::try_from(size).unwrap());
    let parameters = sys::ggml_init_params { mem_size: 1 << 20, mem_buffer: ptr::null_mut(), no_alloc: true };
    // SAFETY: one context, backend and buffer, made, used and freed here; tensors are written and read by their own sizes.
    unsafe {
        let backend = sys::ggml_backend_cpu_init();
        sys::ggml_backend_cpu_set_n_threads(backend, threads);
        sys::ggml_backend_cpu_set_use_ref(backend, reference);
        let context = sys::ggml_init(parameters);
        let new =
            |kind, shape: [i64; 4]| sys::ggml_new_tensor_4d(context, kind, shape[0], shape[1], shape[2], shape[3]);
        let query = new(sys::GGML_TYPE_F32, [width, heads, tokens, streams]);
        let key = new(key_type, [width, cache_heads, keys, streams]);
        let value = new(sys::GGML_TYPE_F16, [width, cache_heads, keys, streams]);
        let mask = new(sys::GGML_TYPE_F16, [keys, tokens, 1, streams]);
        let by_head = |tensor| sys::ggml_permute(context, tensor, 0, 2, 1, 3);
        let scale = 1.0 / f32::from(u16::try_from(width).unwrap()).sqrt();
        let out =
            sys::ggml_flash_attn_ext(context, by_head(query), by_head(key), by_head(value), mask, scale, 0.0, 0.0);
        let graph = sys::ggml_new_graph(context);
        sys::ggml_build_forward_expand(graph, out);
        let buffer = sys::ggml_backend_alloc_ctx_tensors(context, backend);
        for (tensor, numbers) in [(query, &mut inputs.query), (key, &mut inputs.key), (value, &mut inputs.value)] {
            let kind = (*tensor).type_;
            let mut bytes = vec![0u8; sys::ggml_nbytes(tensor)];
            if kind == sys::GGML_TYPE_F32 {
                bytes.copy_from_slice(&numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
            } else {
                let rows = i64::try_from(numbers.len()).unwrap() / width;
                sys::ggml_quantize_chunk(
                    kind,
                    numbers.as_ptr(),
                    bytes.as_mut_ptr().cast(),
                    0,
                    rows,
                    width,
                    ptr::null(),
                );
                let back = (*sys::ggml_get_type_traits(kind)).to_float.unwrap();
                back(bytes.as_ptr().cast(), numbers.as_mut_ptr(), i64::try_from(numbers.len()).unwrap());
            }
            sys::ggml_backend_tensor_set(tensor, bytes.as_ptr().cast(), 0, bytes.len());
        }
        let hidden: Vec<f16> =
            inputs.sees.iter().map(|&sees| if sees { f16::ZERO } else { f16::NEG_INFINITY }).collect();
        sys::ggml_backend_tensor_set(mask, hidden.as_ptr().cast(), 0, 2 * hidden.len());
        assert_eq!(sys::ggml_backend_graph_compute(backend, graph), sys::GGML_STATUS_SUCCESS);
        let mut computed = vec![0f32; sys::ggml_nbytes(out) / 4];
        sys::ggml_backend_tensor_get(out, computed.as_mut_ptr().cast(), 0, 4 * computed.len());
        sys::ggml_backend_buffer_free(buffer);
        sys::ggml_free(context);
        sys::ggml_backend_free(backend);
        computed
    }
}

/// Of twelve uniform numbers: near enough to a normal one.
fn normal(random: &mut impl Rng) -> f32 {
    (0..12).map(|_| random.random_range(-0.5f32..0.5)).sum()
}

#[test]
fn attention_is_as_near_to_the_exact_one_as_that_of_ggml() {
    use Seen::{Before, Own, Some};
    let shape = |width, tokens, heads, cache_heads, streams, keys, seen| Shape {
        width,
        tokens,
        heads,
        cache_heads,
        streams,
        keys,
        seen,
    };
    for (index, (shape, threads)) in [
        (shape(64, 1, 9, 3, 7, 256, Before), 2),
        (shape(64, 33, 9, 3, 1, 100, Before), 2),
        (shape(64, 32, 9, 3, 1, 512, Own), 2),
        (shape(64, 30, 9, 3, 2, 77, Some), 3),
        (shape(128, 3, 4, 4, 2, 50, Before), 1),
        (shape(96, 7, 4, 2, 2, 60, Some), 1),
        (shape(256, 2, 4, 1, 1, 40, Before), 1),
        (shape(64, 5, 12, 1, 1, 90, Some), 2),
    ]
    .into_iter()
    .enumerate()
    {
        for kind in [sys::GGML_TYPE_Q8_0, sys::GGML_TYPE_F16] {
            let mut inputs = drawn(shape, index as u64);
            let ours = by_ggml(shape, &mut inputs, kind, false, threads);
            let ggml = by_ggml(shape, &mut inputs, kind, true, threads);
            let exact = exactly(shape, &inputs);
            let far =
                |found: &[f32]| found.iter().zip(&exact).map(|(&x, y)| (f64::from(x) - y).abs()).fold(0.0, f64::max);
            assert_eq!(ours.len(), exact.len());
            assert!(ours != ggml, "{shape:?}: ggml's own kernel computed it");
            assert!(
                far(&ours) <= far(&ggml) + 5e-4,
                "{shape:?}, keys of type {kind}: {} and {}",
                far(&ours),
                far(&ggml)
            );
        }
    }
}

#[test]
fn attention_of_a_token_is_the_same_whatever_is_computed_beside_it() {
    const TOKENS: usize = 41;
    let whole = Shape { width: 64, tokens: TOKENS, heads: 9, cache_heads: 3, streams: 1, keys: 70, seen: Seen::Before };
    for kind in [sys::GGML_TYPE_Q8_0, sys::GGML_TYPE_F16] {
        let mut inputs = drawn(whole, 5);
        let together = by_ggml(whole, &mut inputs, kind, false, 2);
        for piece in [1, 2, 3, 4, 7, 16] {
            let mut apart = Vec::new();
            for from in (0..TOKENS).step_by(piece) {
                let tokens = piece.min(TOKENS - from);
                let part = |all: &[f32]| all[from * all.len() / TOKENS..(from + tokens) * all.len() / TOKENS].to_vec();
                let mut some = Inputs {
                    query: part(&inputs.query),
                    key: inputs.key.clone(),
                    value: inputs.value.clone(),
                    sees: inputs.sees[from * whole.keys..(from + tokens) * whole.keys].to_vec(),
                };
                apart.extend(by_ggml(Shape { tokens, ..whole }, &mut some, kind, false, 1));
            }
            assert!(together == apart, "keys of type {kind}, {piece} tokens at a time");
        }
    }
}

#[test]
fn a_conversation_gone_wrong_spoils_no_other_that_goes_through_the_cache_with_it() {
    let shape =
        Shape { width: 64, tokens: 2, heads: 9, cache_heads: 3, streams: 1, keys: 260, seen: Seen::Shared(200) };
    for kind in [sys::GGML_TYPE_Q8_0, sys::GGML_TYPE_F16] {
        let mut inputs = drawn(shape, 6);
        let well = by_ggml(shape, &mut inputs, kind, false, 1);
        // More than a half can hold, in a key that the second alone sees.
        inputs.value[201 * shape.cache_heads * shape.width..][..shape.width * shape.cache_heads].fill(1e6);
        let wrong = by_ggml(shape, &mut inputs, kind, false, 1);
        let (first, second) = wrong.split_at(wrong.len() / 2);
        assert!(second.iter().any(|value| !value.is_finite()), "nothing went wrong");
        let worst = first.iter().zip(&well).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        assert!(first.iter().all(|value| value.is_finite()) && worst < 1e-5, "keys of type {kind}: {worst}");
    }
}
