#!/bin/sh
# The paper's multilingual experiment (arXiv 2403.07794), translate-then-predict: Alpaca, in which
# the inputs of 4,750 rows for each of four languages are in that language. Models are trained to
# translate the input first and then answer (single-turn, multi-turn), to answer without a
# translation (crosslingual), to repeat or paraphrase the input first (placebo), or on English
# inputs only (it). All are measured on XQuAD and MGSM in these languages: with the original prompts
# (xquad, mgsm), and with a request to translate before answering (xquad-translated,
# mgsm-translated).
#
#   recipes/paper/multilingual.sh
#   SMOKE=1 recipes/paper/multilingual.sh     all steps in a minute, without data or a GPU
#
# It can be killed at any time; the same command resumes it. Results are in OUT (default:
# out/paper-multilingual). The settings below can be set in the environment.
#
# Needs: GPUs for training (full fine-tuning of 8B: 8 × 80 GB), a teacher (only for the placebo's
# paraphrases), and in the folder DATA (default: data)
#   alpaca_data_cleaned.{en,de,zh,ru,es}.json    Alpaca-cleaned, translated row by row;
#       github.com/hplt-project/monolingual-multilingual-instruction-tuning (training-data)
#   xquad/xquad.{en,de,zh,ru,es}.json    1,190 items per language; github.com/google-deepmind/xquad
#   mgsm/mgsm_{en,de,zh,ru,es}.tsv       250 items per language;
#       github.com/google-research/url-nlp (mgsm)
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=recipes/_seqit
. "$here/../_seqit"
OUT=${OUT:-$PWD/out/paper-multilingual${SMOKE:+-smoke}}
if [ -n "${SMOKE:-}" ]; then
    # shellcheck source=recipes/paper/smoke/_settings
    . "$here/smoke/_settings"
    ROWS=3 MODELS='it single-turn placebo' BENCHMARKS='xquad-translated mgsm'
fi
# shellcheck source=recipes/paper/_steps
. "$here/_steps"

DATA=${DATA:-$PWD/data}
ROWS=${ROWS:-4750}                        # rows per language
PLACEBOS=${PLACEBOS:-$((ROWS * 80 / 95))} # rows per placebo: 4,000
MODEL=${MODEL:-meta-llama/Meta-Llama-3-8B}
TEACHER=${TEACHER:-vllm:meta-llama/Meta-Llama-3-70B-Instruct}
TEACHER_OPTIONS=${TEACHER_OPTIONS-'--engine-arg tensor_parallel_size=4'}
MODELS=${MODELS:-it crosslingual single-turn multi-turn placebo}
BENCHMARKS=${BENCHMARKS:-xquad xquad-translated mgsm mgsm-translated}
ANSWERING=${ANSWERING:-vllm} # the engine of the trained models: vllm or transformers
ANSWER_TOKENS=${ANSWER_TOKENS:-2048}
TRAINING=${TRAINING-} # more options of seqit train, such as --ranks 8
SEED=${SEED:-7}
languages='de zh ru es'

alpaca=https://github.com/hplt-project/monolingual-multilingual-instruction-tuning
against=
for language in en $languages; do
    need "$DATA/alpaca_data_cleaned.$language.json" "$alpaca"
    need "$DATA/xquad/xquad.$language.json" https://github.com/google-deepmind/xquad
    need "$DATA/mgsm/mgsm_$language.tsv" https://github.com/google-research/url-nlp
    against=$against+$DATA/xquad/xquad.$language.json+$DATA/mgsm/mgsm_$language.tsv
done

# in_all FORMAT BEFORE AFTER: import BEFORELANGUAGEAFTER of all languages, which have the same rows.
in_all() {
    name=$1 before=$2 after=$3
    set --
    for language in en $languages; do
        set -- "$@" "$DATA/$before$language$after"
    done
    step "data/parallel-$name" import --format "$name" --languages en,de,zh,ru,es "$@"
}

# 1. Alpaca in five languages: the rows without an input, in English, which are the base of all
# mixtures; and from the rows with an input, 4,750 different ones for each language.

in_all alpaca alpaca_data_cleaned. .json
step data/clean filter --rule "decontaminate:against=${against#+}" \
    "$OUT/data/parallel-alpaca.jsonl"
step data/base filter --no-defaults --rule length:field=input,max_characters=0 \
    "$OUT/data/clean.jsonl"
step data/rest filter --no-defaults --rule length:field=input,min_characters=1 \
    "$OUT/data/clean.jsonl"
rest=$OUT/data/rest.jsonl
for language in $languages; do
    step "data/rest-$language" mix "$rest" --held-out "$OUT/data/seeds-$language.jsonl=$ROWS" \
        --seed "$SEED"
    rest=$OUT/data/rest-$language.jsonl
done

# 2. The variants of these rows; inputs that cannot be translated, such as numbers, are unchanged.

for language in $languages; do
    for variant in single-turn multi-turn crosslingual; do
        step "data/$variant-$language" augment --method translate --variant "$variant" \
            --from "$language" --content input --on-inapplicable pass --seed "$SEED" \
            "$OUT/data/seeds-$language.jsonl"
    done
done

# placebo LANGUAGE [OPTION]...: 4,000 of that language's rows, in English, with a placebo step.
placebo() {
    language=$1
    shift
    step "data/placebo-seeds-$language" mix "$OUT/data/seeds-$language.jsonl=$PLACEBOS" \
        --cap 1x --seed "$SEED"
    step "data/placebo-$language" augment "$@" --seed "$SEED" --on-inapplicable pass \
        "$OUT/data/placebo-seeds-$language.jsonl"
}

# paraphrase LANGUAGE CHAIN
# shellcheck disable=SC2086  # several options
paraphrase() {
    placebo "$1" --method paraphrase --chain "$2" --teacher "$TEACHER" $TEACHER_OPTIONS
}

case " $MODELS " in
    *' placebo '*)
        placebo de --method repeat
        paraphrase zh paraphrase
        paraphrase ru paraphrase-repeat
        paraphrase es repeat-paraphrase
        ;;
esac

# 3. Mixtures and models. The base has 32k rows in English, the four files 19,000 together.

for model in $MODELS; do
    kind=$model
    if [ "$model" = it ]; then
        kind=seeds
    fi
    step "train/$model" mix "$OUT/data/base.jsonl" "$OUT/data/$kind-de.jsonl" \
        "$OUT/data/$kind-zh.jsonl" "$OUT/data/$kind-ru.jsonl" "$OUT/data/$kind-es.jsonl" \
        --seed "$SEED"
    # shellcheck disable=SC2086  # several options
    train "$model" "$OUT/train/$model.jsonl" --recipe "$here/../train/sit-8b.yaml" \
        --template "$here/../train/tags.jinja" --seed "$SEED" $TRAINING
done

# 4. Items: each question in each of the four languages, with and without a request to translate.
# Scoring is strict: with the request, only the text after `Answer:` counts.

in_all xquad xquad/xquad. .json
in_all mgsm mgsm/mgsm_ .tsv
for benchmark in xquad mgsm; do
    step "items/$benchmark" augment --method translate --variant crosslingual --languages-per-row all \
        --seed "$SEED" "$OUT/data/parallel-$benchmark.jsonl"
    step "items/$benchmark-translated" augment --method translate --languages-per-row all \
        --seed "$SEED" "$OUT/data/parallel-$benchmark.jsonl"
done

for model in $MODELS; do
    for benchmark in $BENCHMARKS; do
        step "answers/$model-$benchmark" respond --model "$ANSWERING:$OUT/models/$model" \
            --label "$model" --benchmark "$benchmark" --max-new-tokens "$ANSWER_TOKENS" \
            "$OUT/items/$benchmark.jsonl"
        step "scores/$model-$benchmark" score "$OUT/answers/$model-$benchmark.jsonl"
    done
done

# 5. Tables.

# shellcheck disable=SC2086  # several models
seqit compare $MODELS "$OUT"/scores/*.jsonl -o "$OUT/tables/scores.md"
table by-language "SELECT model, scores.benchmark, metric,
    responses.item ->> '$.metadata.translation.source' AS language, count(*) AS n,
    round(avg(value), 4) AS mean
    FROM scores JOIN responses USING (id, model, sample)
    WHERE metric IN ('accuracy', 'em', 'f1') GROUP BY ALL ORDER BY ALL" \
    "$OUT"/scores/*.jsonl "$OUT"/answers/*.jsonl
table mixtures "SELECT regexp_extract(file, '([^/]+).jsonl', 1) AS mixture,
    lineage.operation AS operation, count(*) AS rows FROM records GROUP BY ALL ORDER BY ALL" \
    "$OUT"/train/*.jsonl
table lost "SELECT command, stage, reason, count(*) AS rows FROM rejects GROUP BY ALL ORDER BY ALL" \
    "$OUT"/stats/*.rejects.jsonl
show
