#!/bin/sh
# The paper's visual experiment (arXiv 2403.07794), caption-then-answer: InstructBLIP tuned on
# VQAv2 to answer directly (base), to describe the image first and then answer (describe), or half
# of the rows each way (merged). All three are measured on VQAv2 and GQA, with a request for the
# answer only (vqa, gqa) and with a request to describe the image first (vqa-described,
# gqa-described).
#
#   recipes/paper/visual.sh
#   SMOKE=1 recipes/paper/visual.sh     all steps in a minute, without data or a GPU
#
# It can be killed at any time; the same command resumes it. Results are in OUT (default:
# out/paper-visual). The settings below can be set in the environment. The paper decodes with 5
# beams; seqit has no beam search and decodes greedily.
#
# Needs: GPUs for training (InstructBLIP over Vicuna-7B: 8 × 40 GB), and in the folder DATA
# (default: data), one JSON object per line with image (a path), question, and
#   vqav2/train.jsonl    answer, captions; VQAv2 joined with COCO's captions by image,
#       visualqa.org and cocodataset.org
#   vqav2/val.jsonl      answers (of ten people), captions
#   gqa/testdev.jsonl    answer; the balanced questions of cs.stanford.edu/people/dorarad/gqa
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=recipes/_seqit
. "$here/../_seqit"
OUT=${OUT:-$PWD/out/paper-visual${SMOKE:+-smoke}}
if [ -n "${SMOKE:-}" ]; then
    # shellcheck source=recipes/paper/smoke/_settings
    . "$here/smoke/_settings"
    MODEL=$OUT/smoke/instructblip BENCHMARKS='vqa gqa-described'
fi
# shellcheck source=recipes/paper/_steps
. "$here/_steps"

DATA=${DATA:-$PWD/data}
MODEL=${MODEL:-Salesforce/instructblip-vicuna-7b}
# GQA has no captions. Their source does not matter: the evaluated models never see them.
CAPTIONER=${CAPTIONER:-transformers:$MODEL}
MODELS=${MODELS:-base describe merged}
BENCHMARKS=${BENCHMARKS:-vqa vqa-described gqa gqa-described}
ANSWER_TOKENS=${ANSWER_TOKENS:-128}
TRAINING=${TRAINING-} # more options of seqit train, such as --ranks 8
SEED=${SEED:-7}

need "$DATA/vqav2/train.jsonl" https://visualqa.org
need "$DATA/vqav2/val.jsonl" https://visualqa.org
need "$DATA/gqa/testdev.jsonl" https://cs.stanford.edu/people/dorarad/gqa

# 1. Data: the same rows for all three models; only the chains differ.

step data/train import --format vqa "$DATA/vqav2/train.jsonl"
for variant in $MODELS; do
    step "train/$variant" augment --method caption --variant "$variant" --seed "$SEED" \
        "$OUT/data/train.jsonl"
done

# 2. Training.

for model in $MODELS; do
    # shellcheck disable=SC2086  # several options
    train "$model" "$OUT/train/$model.jsonl" --recipe "$here/../train/instructblip.yaml" \
        --seed "$SEED" $TRAINING
done

# 3. Items, with and without a request to describe the image first.

step items/vqa import --format vqa "$DATA/vqav2/val.jsonl"
step items/gqa import --format vqa "$DATA/gqa/testdev.jsonl"
step items/vqa-described augment --method caption --seed "$SEED" "$OUT/items/vqa.jsonl"
step items/gqa-described augment --method caption --teacher "$CAPTIONER" --seed "$SEED" \
    "$OUT/items/gqa.jsonl"

for model in $MODELS; do
    for benchmark in $BENCHMARKS; do
        step "answers/$model-$benchmark" respond --model "transformers:$OUT/models/$model" \
            --label "$model" --benchmark "$benchmark" --max-new-tokens "$ANSWER_TOKENS" \
            "$OUT/items/$benchmark.jsonl"
        step "scores/$model-$benchmark" score "$OUT/answers/$model-$benchmark.jsonl"
    done
done

# 4. Tables.

# shellcheck disable=SC2086  # several models
seqit compare $MODELS "$OUT"/scores/*.jsonl -o "$OUT/tables/scores.md"
table mixtures "SELECT regexp_extract(file, '([^/]+).jsonl', 1) AS mixture,
    lineage.operation AS operation, count(*) AS rows FROM records GROUP BY ALL ORDER BY ALL" \
    "$OUT"/train/*.jsonl
table lost "SELECT command, stage, reason, count(*) AS rows FROM rejects GROUP BY ALL ORDER BY ALL" \
    "$OUT"/stats/*.rejects.jsonl
show
