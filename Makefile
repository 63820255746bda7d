# One command each. `make help` lists them; the work is in scripts/, which the container image runs too.

SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := $(or $(CARGO_TARGET_DIR),target)/release/ai-friend

.PHONY: help demo run build test lint bench bench-engine load models tools emotion-train emotion-eval train train-test evaluate image

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS='…' is passed on:  make run ARGS='--help'"

demo: build ## Talk to the friend here: Bot API emulator, real bot, real models, one terminal
	@$(BIN) demo $(ARGS)

run: build ## Serve Telegram: TG_BOT_TOKEN=… make run
	@$(BIN) run $(ARGS)

build: tools models ## Build the release binary (the first build compiles llama.cpp: about 15 minutes on 2 cores)
	@scripts/build.sh

test: tools models ## Everything that CI checks: format, clippy, licences, unit, whole-bot and house-rules tests
	@scripts/test.sh

lint: tools ## Only format, clippy and cargo deny
	@scripts/test.sh lint

bench: tools models ## Benchmarks: the emotion scorer beside Python, and the whole bot
	@scripts/bench.sh $(ARGS)

bench-engine: tools models ## Benchmarks of the batching engine beside llama.cpp's own roof and llama-server
	@scripts/bench.sh engine $(ARGS)

load: build ## Simulated users against the real bot, with a report
	@$(BIN) load $(ARGS)

models: tools ## Fetch the embedded models that are missing or broken, and check every sha256
	@scripts/fetch-models.sh

tools: ## Install what building needs and is missing (apt-get)
	@scripts/install-tools.sh

emotion-train: tools ## Train the emotion classifier again, from the data in EMOTION_DATA
	@scripts/emotion.sh train $(ARGS)

emotion-eval: build ## Measure the emotion classifier on every held-out set, in Rust and in Python
	@scripts/emotion.sh eval $(ARGS)

train: build ## Train the friend's adapter on training/dialogues, or go on with a stopped run (needs PyTorch)
	@scripts/training.sh train $(ARGS)

train-test: build ## Test the training pipeline on tiny models, and the emotion recipe (needs PyTorch; about 6 minutes)
	@scripts/training.sh test $(ARGS)

evaluate: build ## Measure the adapter beside the base (needs the training environment)
	@scripts/training.sh evaluate $(ARGS)

image: ## Build the container image (CPU; TARGET=cuda for NVIDIA)
	@scripts/build-image.sh $(ARGS)
