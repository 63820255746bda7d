# ai-friend for any x86-64 or arm64 machine; `--target cuda` for NVIDIA GPUs.
#
#   docker build --target cpu -t ai-friend .    (without BuildKit, no target means that CUDA's stages are built as well)
#   docker run -e TG_BOT_TOKEN=… -v friend-data:/data -v friend-models:/models ai-friend
#   docker build --target cuda -t ai-friend . && docker run --gpus all -e MODEL=… -e TG_BOT_TOKEN=… ai-friend
#
# Every step is one of the scripts that `make` runs. The bases are arguments, so that it can be built from others:
# RUST needs cargo 1.92 or later and apt-get, BASE glibc no older than RUST's.
ARG RUST=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim
ARG CUDA_DEVEL=nvidia/cuda:12.8.1-devel-ubuntu24.04
ARG CUDA_RUNTIME=nvidia/cuda:12.8.1-runtime-ubuntu24.04

FROM ${RUST} AS rust

FROM rust AS build-cpu
WORKDIR /src
# Only what these two steps read, so that a change of the sources repeats neither.
COPY Cargo.toml ./
COPY scripts/lib.sh scripts/install-tools.sh scripts/fetch-models.sh scripts/
COPY models/pins.txt models/
RUN scripts/install-tools.sh
RUN AI_FRIEND_MODELS=/stage/models scripts/fetch-models.sh
COPY . .
# An empty RUSTFLAGS replaces .cargo/config.toml's target-cpu=native: the image brings all CPU variants instead.
RUN RUSTFLAGS="" scripts/build.sh --features dynamic-backends
RUN scripts/stage-image.sh /stage/app

FROM ${BASE} AS cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home friend \
    && install -d -o friend -g friend /data /models
COPY --from=build-cpu /stage/app /app
ENV AI_FRIEND_DATA=/data AI_FRIEND_MODELS=/models LD_LIBRARY_PATH=/app ORT_DISABLE_TELEMETRY=1 ORT_DYLIB_PATH=/app/libonnxruntime.so \
    AI_FRIEND_WEB_LISTEN=127.0.0.1:9090
# By its number: Kubernetes' runAsNonRoot cannot tell of a name that it is not root's.
USER 10001
WORKDIR /app
VOLUME ["/data", "/models"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD ["/app/healthcheck.sh"]
ENTRYPOINT ["/app/ai-friend"]
CMD ["run"]

FROM ${CUDA_DEVEL} AS build-cuda
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH
WORKDIR /src
COPY Cargo.toml ./
COPY scripts/lib.sh scripts/install-tools.sh scripts/fetch-models.sh scripts/
COPY models/pins.txt models/
RUN scripts/install-tools.sh
RUN AI_FRIEND_MODELS=/stage/models scripts/fetch-models.sh
COPY . .
RUN RUSTFLAGS="" scripts/build.sh --features cuda,dynamic-backends
RUN scripts/stage-image.sh /stage/app

FROM ${CUDA_RUNTIME} AS cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home friend \
    && install -d -o friend -g friend /data /models
COPY --from=build-cuda /stage/app /app
ENV AI_FRIEND_DATA=/data AI_FRIEND_MODELS=/models LD_LIBRARY_PATH=/app ORT_DISABLE_TELEMETRY=1 ORT_DYLIB_PATH=/app/libonnxruntime.so \
    AI_FRIEND_WEB_LISTEN=127.0.0.1:9090 AI_FRIEND_MODEL_GPU_LAYERS=999
# By its number: Kubernetes' runAsNonRoot cannot tell of a name that it is not root's.
USER 10001
WORKDIR /app
VOLUME ["/data", "/models"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD ["/app/healthcheck.sh"]
ENTRYPOINT ["/app/ai-friend"]
CMD ["run"]

# What `docker build` makes when no target is named.
FROM cpu AS default
