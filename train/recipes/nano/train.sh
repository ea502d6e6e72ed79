#!/usr/bin/env bash
# Trains open-codesage-nano: bash train.sh CORPUS FOLDER. Started again, it goes on where it was stopped.
# CORPUS: `open-codesage corpus train/recipes/corpus.yaml --output CORPUS --decontaminate EVALUATION_SETS`.
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
corpus=$(realpath "$1")
mkdir -p "$2" && cd "$2"
step() { open-codesage "$1" --config "$recipes/$2.yaml" "${@:3}"; }

[ -d tokenizer ] || step tokenizer tokenizer --corpus "$corpus" --output tokenizer
step pretrain new --corpus "$corpus" --tokenizer tokenizer --output new
step contrast words --corpus "$corpus" --model new --output words
step contrast words-long --corpus "$corpus" --model words --output words-long
[ -d consistent ] || step consistency consistency --corpus "$corpus" --model words-long --output consistent
step pretrain stage1 --corpus "$corpus" --tokenizer tokenizer --init-from words-long --output stage1
step contrast stage2 --corpus consistent --model stage1 --output stage2
