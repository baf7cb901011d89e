#!/bin/sh
# one-run.sh RUN: train a base and its three tunings, and let them answer the test, in the folder of
# run.sh, which calls this script. RUN is the seed of the weights, the sampling and the row order.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
: "${step_tokens:?is set by run.sh}" "${base_steps:?is set by run.sh}" "${steps:?is set by run.sh}"
run=$1 base=models/base-$1
# One thread, so that the numbers do not depend on the number of cores.
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1

log=logs/$run.log
mkdir -p logs models answers
exec 3>&2 >>"$log" 2>&1
ended() {
    status=$?
    [ $status = 0 ] && return
    { echo "tiny-sit: run $run failed; the end of $PWD/$log:" && tail -n 20 "$log"; } >&3
}
trap ended EXIT
say() { printf '%s  %s\n' "$(date +%T)" "$*" >&3; }

# train NAME FILE... OPTION...: train models/NAME once; the model card is written last.
train() {
    name=$1
    shift
    [ -e "models/$name/README.md" ] && return
    say "$name: training"
    seqit train "$@" --output "models/$name" --seed "$run" --resume --length 256 \
        --batch-tokens "$step_tokens" --micro-batch 4 --no-checkpointing \
        --checkpoint-every 1000 --log-every 20
}

[ -e "models/new-$run/config.json" ] || python "$here/model.py" "$run" "models/new-$run" <base.jsonl
train "base-$run" base-1.jsonl base.jsonl --model "models/new-$run" \
    --learning-rate 2e-3 --schedule cosine --max-steps "$base_steps"

for arm in IT separated SIT; do
    tuned=$arm-$run
    case $arm in
        IT) sources=length-1.jsonl=1.0 ;;
        separated) sources=separated.jsonl=1.0 ;;
        SIT) sources='length-1.jsonl=0.25 length-2.jsonl=0.25 length-3.jsonl=0.25 length-4.jsonl=0.25' ;;
    esac
    # Some more tokens than the training needs, as sequences are not always full.
    # shellcheck disable=SC2086  # several sources
    [ -e "mixture-$tuned.jsonl" ] ||
        seqit mix $sources --tokens $((step_tokens * steps * 21 / 20)) \
            --tokenizer "$base" --seed "$run" -o "mixture-$tuned.jsonl"
    train "$tuned" "mixture-$tuned.jsonl" --model "$base" --learning-rate 1.5e-3 --max-steps "$steps"
    for split in seen unseen; do
        [ -e "answers/$tuned-$split.jsonl" ] && continue
        say "$tuned: answers ($split)"
        seqit respond --model "transformers:models/$tuned" --label "$arm" --benchmark "$split" \
            --engine-arg batch_size=100 --max-new-tokens 100 --no-cache \
            "items-$split.jsonl" -o "answers/$tuned-$split.jsonl"
    done
done
