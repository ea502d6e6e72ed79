#!/usr/bin/env bash
# Trains open-codesage-nano: bash train.sh CORPUS FOLDER. Started again, it resumes where it was stopped.
# CORPUS: `open-codesage corpus train/recipes/corpus.yaml --output CORPUS --decontaminate EVALUATION_SETS`.
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
corpus=$(realpath "$1")
mkdir -p "$2" && cd "$2"
step() { open-codesage "$1" --config "$recipes/$2.yaml" "${@:3}"; }
# Large tensors of a bag of tokens are kept instead of mapped anew at each step: a quarter faster with glibc.
export GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1

[ -d tokenizer ] || step tokenizer tokenizer --corpus "$corpus" --output tokenizer
step pretrain new --corpus "$corpus" --tokenizer tokenizer --output narrow --model hidden_size=384
step contrast draft --corpus "$corpus" --model narrow --output draft
[ -d consistent ] || step consistency consistency --corpus "$corpus" --model draft --output consistent
step pretrain new --corpus "$corpus" --tokenizer tokenizer --output new
step contrast nano --corpus consistent --model new --output nano
