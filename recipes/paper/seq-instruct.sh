#!/bin/sh
# The paper's main experiment (arXiv 2403.07794): Llama-3-8B tuned on an unchanged instruction set
# (it), with the teacher's answers (it-regenerated), on chains of one to four iterations of
# Seq-Instruct (sit-1 … sit-4), on their single tasks (separated), and on Evol-Instruct's prompts
# (wizardlm). Every model then answers SeqEval, AlpacaEval, GSM8K, HumanEval and the harness's
# benchmarks.
#
#   recipes/paper/seq-instruct.sh alpaca        or flancot
#   SMOKE=1 recipes/paper/seq-instruct.sh alpaca    all steps in a minute, without data or a GPU
#
# It can be killed at any time; the same command resumes it. Finished steps are not repeated, even
# if settings have changed since: use another OUT for other settings. Results are in OUT (default:
# out/paper-alpaca). The settings below can be set in the environment, such as MODELS='it sit-2' for
# two of the models.
#
# Needs: GPUs for the teacher (70B: 4 × 80 GB; or a server: TEACHER=openai:NAME TEACHER_OPTIONS=
# with OPENAI_BASE_URL) and for training (full fine-tuning of 8B: 8 × 80 GB), OPENAI_API_KEY for the
# judge, VLLM_SEQIT=ENVIRONMENT/bin/seqit if seqit[vllm] is in another environment than training (or
# ANSWERING=transformers), and in the folder DATA (default: data)
#   alpaca_data_cleaned.json   51,760 rows; huggingface.co/datasets/yahma/alpaca-cleaned
#   cot_data.jsonl             FLAN v2's chain-of-thought tasks as prepared by
#                              github.com/allenai/open-instruct, 100,000 rows (for flancot)
#   seqEval.json               SeqEval; github.com/hanxuhu/SeqIns
#   alpaca_eval.json           805 items; huggingface.co/datasets/tatsu-lab/alpaca_eval
#   gsm8k/train.jsonl, gsm8k/test.jsonl     github.com/openai/grade-school-math
#   HumanEval.jsonl.gz         github.com/openai/human-eval
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# Settings that differ between the two sets. FlanCoT has task and content in one text.
case ${1:-} in
    alpaca)
        seeds=alpaca_data_cleaned.json rows='' extract=never
        source=https://huggingface.co/datasets/yahma/alpaca-cleaned
        ;;
    flancot)
        seeds=cot_data.jsonl rows=100000 extract=always
        source=https://github.com/allenai/open-instruct
        ;;
    *)
        echo "usage: ${0##*/} alpaca|flancot" >&2
        exit 2
        ;;
esac

# shellcheck source=recipes/_seqit
. "$here/../_seqit"
OUT=${OUT:-$PWD/out/paper-$1${SMOKE:+-smoke}}
if [ -n "${SMOKE:-}" ]; then
    # shellcheck source=recipes/paper/smoke/_settings
    . "$here/smoke/_settings"
    MODELS='it sit-2' BENCHMARKS='seqeval gsm8k'
    [ "$1" = flancot ] || BENCHMARKS='seqeval alpacaeval gsm8k humaneval'
fi
# shellcheck source=recipes/paper/_steps
. "$here/_steps"

DATA=${DATA:-$PWD/data}
ROWS=${ROWS-$rows} # seeds to sample; empty: all
MODEL=${MODEL:-meta-llama/Meta-Llama-3-8B}
TEACHER=${TEACHER:-vllm:meta-llama/Meta-Llama-3-70B-Instruct}
TEACHER_OPTIONS=${TEACHER_OPTIONS-'--engine-arg tensor_parallel_size=4'}
JUDGE=${JUDGE:-openai:gpt-4-turbo}
JUDGE_OPTIONS=${JUDGE_OPTIONS---no-structured} # this judge does not support JSON Schema
MODELS=${MODELS:-it it-regenerated sit-1 sit-2 sit-3 sit-4 separated wizardlm}
ANSWERING=${ANSWERING:-vllm} # the engine of the trained models: vllm or transformers
ANSWER_TOKENS=${ANSWER_TOKENS:-2048}
TRAINING=${TRAINING-} # more options of seqit train, such as --ranks 8
# The last three are run by the harness, which downloads their data.
BENCHMARKS=${BENCHMARKS:-seqeval alpacaeval gsm8k humaneval mmlu,arc_challenge,commonsense_qa}
SEED=${SEED:-7}

need "$DATA/$seeds" "$source"
need "$DATA/seqEval.json" https://github.com/hanxuhu/SeqIns
need "$DATA/alpaca_eval.json" https://huggingface.co/datasets/tatsu-lab/alpaca_eval
need "$DATA/gsm8k/train.jsonl" https://github.com/openai/grade-school-math
need "$DATA/gsm8k/test.jsonl" https://github.com/openai/grade-school-math
need "$DATA/HumanEval.jsonl.gz" https://github.com/openai/human-eval

# 1. Seeds, decontaminated against the benchmarks, and the items of the benchmarks.

against=$DATA/seqEval.json+$DATA/alpaca_eval.json+$DATA/gsm8k/test.jsonl+$DATA/HumanEval.jsonl.gz
step data/imported import "$DATA/$seeds"
step data/clean filter --rule "decontaminate:against=$against" "$OUT/data/imported.jsonl"
step data/it mix "$OUT/data/clean.jsonl${ROWS:+=$ROWS}" --cap 1x --seed "$SEED"

step items/seqeval import "$DATA/seqEval.json"
step items/alpacaeval import "$DATA/alpaca_eval.json"
step items/gsm8k import --format gsm8k "$DATA/gsm8k/test.jsonl"
step items/humaneval import --format humaneval "$DATA/HumanEval.jsonl.gz"
step items/shots import --format gsm8k "$DATA/gsm8k/train.jsonl"

# 2. The teacher, with the sampling of the paper (in process also top-k 50, which is the default).

# shellcheck disable=SC2086  # several options
teach() {
    name=$1
    shift
    step "$name" augment --teacher "$TEACHER" $TEACHER_OPTIONS --seed "$SEED" \
        --temperature 1 --top-p 0.9 --max-new-tokens 2048 "$@"
}

teach data/it-regenerated --method regenerate "$OUT/data/it.jsonl"
# Kept rows keep their answer, so chains start from regenerated ones: one teacher answers all rows.
teach data/sit-1 --extract "$extract" "$OUT/data/it-regenerated.jsonl"
teach data/sit-2 --extract "$extract" "$OUT/data/sit-1.jsonl"
teach data/sit-3 --extract "$extract" "$OUT/data/sit-2.jsonl"
teach data/sit-4 --extract "$extract" "$OUT/data/sit-3.jsonl"
teach data/separated --method separate "$OUT/data/sit-2.jsonl"
teach data/wizardlm --method evol-instruct --iterations 4 "$OUT/data/it-regenerated.jsonl"

# 3. Training, after decontamination again: teachers also write items of benchmarks.

for model in $MODELS; do
    step "train/$model" filter --rule "decontaminate:against=$against" "$OUT/data/$model.jsonl"
    # shellcheck disable=SC2086  # several options
    train "$model" "$OUT/train/$model.jsonl" --recipe "$here/../train/sit-8b.yaml" \
        --template "$here/../train/tags.jinja" --seed "$SEED" $TRAINING
done

# 4. Answers and scores.

# answer MODEL BENCHMARK [OPTION]...: write the model's answers to the benchmark's items.
answer() {
    name=$1 items=$2
    shift 2
    step "answers/$name-$items" respond --model "$ANSWERING:$OUT/models/$name" --label "$name" \
        --benchmark "$items" --max-new-tokens "$ANSWER_TOKENS" "$@" "$OUT/items/$items.jsonl"
}

# judge NAME [OPTION]... ANSWERS: write the judge's scores of answers.
# shellcheck disable=SC2086  # several options
judge() {
    name=$1
    shift
    step "scores/$name" judge --judge "$JUDGE" $JUDGE_OPTIONS --seed "$SEED" "$@"
}

# measure MODEL BENCHMARK: write the scores of a model.
measure() {
    answers=$OUT/answers/$1-$2.jsonl
    case $2 in
        seqeval)
            answer "$1" "$2"
            judge "$1-$2" --metrics quality,following "$answers"
            ;;
        alpacaeval) # and wins against the first model
            answer "$1" "$2"
            judge "$1-$2" --metrics quality "$answers"
            if [ "$1" != "$first" ]; then
                judge "$1-$2-wins" --against "$OUT/answers/$first-$2.jsonl" "$answers"
            fi
            ;;
        gsm8k)
            answer "$1" "$2" --shots "$OUT/items/shots.jsonl" --num-fewshot 8
            step "scores/$1-$2" score "$answers"
            ;;
        humaneval)
            answer "$1" "$2" --samples 20 --temperature 0.8 --top-p 0.95
            step "scores/$1-$2" score --allow-code-execution --pass-at 1,10 "$answers"
            ;;
        *)
            step "scores/$1-$2" bench --model "$ANSWERING:$OUT/models/$1" --label "$1" --tasks "$2"
            ;;
    esac
}

first=${MODELS%% *}
for model in $MODELS; do
    for benchmark in $BENCHMARKS; do
        measure "$model" "$benchmark"
    done
done

# 5. Tables.

# shellcheck disable=SC2086  # several models
seqit compare $MODELS "$OUT"/scores/*.jsonl -o "$OUT/tables/scores.md"
table seqeval-by-iteration "SELECT model, metric, iteration, n, missing, mean, low, high
    FROM by_iteration WHERE benchmark = 'seqeval' ORDER BY ALL" "$OUT"/scores/*.jsonl
table operations "SELECT regexp_extract(file, '([^/]+).jsonl', 1) AS data, lineage.operation AS operation,
    count(*) AS rows, round(100 * count(*) / sum(count(*)) OVER (PARTITION BY file), 1) AS percent
    FROM records GROUP BY file, operation ORDER BY ALL" "$OUT"/data/*.jsonl
table lost "SELECT command, stage, reason, count(*) AS rows FROM rejects GROUP BY ALL ORDER BY ALL" \
    "$OUT"/stats/*.rejects.jsonl
show
