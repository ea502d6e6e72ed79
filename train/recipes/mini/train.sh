#!/usr/bin/env bash
# Trains open-codesage-mini on a GPU: bash train.sh CORPUS FOLDER [SHARE]. Started again, it resumes where it was stopped.
# CORPUS: `open-codesage corpus train/recipes/corpus.yaml --output CORPUS --decontaminate EVALUATION_SETS`.
# SHARE: what all-MiniLM-L6-v2 counts beside the trained weights; choose it by `open-codesage average --tasks`.
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
corpus=$(realpath "$1")
mkdir -p "$2" && cd "$2"

[ -d start ] || python "$recipes/start.py" start
[ -d start-without-dropout ] || python "$recipes/start.py" start-without-dropout --no-dropout
for run in first second; do
    open-codesage contrast --config "$recipes/$run.yaml" --corpus "$corpus" --model start-without-dropout --output $run
done
[ -d trained ] || open-codesage average first second --output trained
# The first model gives the tokenizer and the longest input, so it is the start.
[ -d averaged ] || open-codesage average start trained --share "${3:-0.5}" --output averaged
[ -d open-codesage-mini ] || open-codesage export --model averaged --output open-codesage-mini --dtype bfloat16 \
    --base-model sentence-transformers/all-MiniLM-L6-v2 --base-license apache-2.0
