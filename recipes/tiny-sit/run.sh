#!/bin/sh
# Does sequential instruction tuning help? Tunes a small model in three ways on the same number of
# tokens, and measures how well each follows chains of one to five tasks. Needs two CPU cores and an
# hour.
#
#   recipes/tiny-sit/run.sh              writes out/tiny-sit/README.md with tables and figures
#   SMOKE=1 recipes/tiny-sit/run.sh      all steps in three minutes, too small to learn anything
#
# OUT names another folder. It can be killed at any time; the same command resumes it: every file is
# written completely or not at all, and existing files are not written again.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=recipes/_seqit
. "$here/../_seqit"

if [ -n "${SMOKE:-}" ]; then
    OUT=${OUT:-out/tiny-sit-smoke}
    roots=800 base_roots=400 test_roots=400 # seeds of the three tunings, the base, and the test
    base_steps=20 steps=5                   # training steps, each of step_tokens tokens
    items=6                                 # test items of each length
    runs=1
else
    OUT=${OUT:-out/tiny-sit}
    roots=60000 base_roots=60000 test_roots=4000
    base_steps=6000 steps=3000
    items=200
    runs='1 2 3'
fi
step_tokens=1024
mkdir -p "$OUT"
cd "$OUT"

say() { printf '\n%s  %s\n' "$(date +%T)" "$*" >&2; }

# The tasks that are added to seeds, from those that seqit augment --list shows.
tasks=question_word,list_numbers,largest_number,content_lines
tasks=$tasks,content_first_sentence,content_last_sentence,uppercase,reversed_words
tasks=$tasks,first_word,last_word,item_bullets,plus_ten,double,quoted,brackets

say 'Seeds: small tasks whose answers a program checks; separate roots for base, training and test'
[ -e seeds.jsonl ] ||
    python "$here/seeds.py" $((roots + base_roots + test_roots)) 1 | seqit import -o seeds.jsonl
[ -e rest.jsonl ] ||
    seqit mix seeds.jsonl --held-out test-1.jsonl="$test_roots" --seed 1 -o rest.jsonl
[ -e train-1.jsonl ] ||
    seqit mix rest.jsonl --held-out base-1.jsonl="$base_roots" --seed 2 -o train-1.jsonl

say 'Chains: each iteration of the builtin teacher adds a task before or after'
for part in base-2 base-3 base-4 train-2 train-3 train-4 test-2 test-3 test-4 test-5; do
    before=${part%-*}-$((${part#*-} - 1))
    [ -e $part.jsonl ] ||
        seqit augment --steps $tasks --shares prefix=1,suffix=1 --seed 1 "$before.jsonl" -o $part.jsonl
done

say 'Training: no chain of five tasks, no held-out combination of two, nothing of the test'
[ -e test-all.jsonl ] ||
    seqit filter test-[1-5].jsonl -o test-all.jsonl
[ -e train.jsonl ] ||
    seqit filter -r chain-length:max_steps=4 -r combination:share=0.15 \
        -r decontaminate:against=test-all.jsonl,fields=input,item_fields=input \
        train-[1-4].jsonl --rejects train-rejects.jsonl --manifest train-manifest.json -o train.jsonl
[ -e test-seen.jsonl ] ||
    seqit filter -r combination:share=0.15 test-all.jsonl -o test-seen.jsonl
[ -e test-unseen.jsonl ] ||
    seqit filter -r combination:share=0.15,side=test test-all.jsonl -o test-unseen.jsonl

say 'Test: as many items of each length, of combinations in training and of held-out ones'
for n in 1 2 3 4 5; do
    for split in seen unseen; do
        [ -e $split-$n.jsonl ] ||
            seqit filter --no-defaults -r chain-length:min_steps=$n,max_steps=$n \
                test-$split.jsonl -o $split-$n.jsonl
    done
    [ -e length-$n.jsonl ] ||
        seqit filter --no-defaults -r chain-length:min_steps=$n,max_steps=$n \
            train.jsonl -o length-$n.jsonl
done
[ -e items-seen.jsonl ] ||
    seqit mix seen-1.jsonl="$items" seen-2.jsonl="$items" seen-3.jsonl="$items" \
        seen-4.jsonl="$items" seen-5.jsonl="$items" -o items-seen.jsonl
[ -e items-unseen.jsonl ] ||
    seqit mix unseen-2.jsonl="$items" unseen-3.jsonl="$items" unseen-4.jsonl="$items" \
        unseen-5.jsonl="$items" -o items-unseen.jsonl

say 'Three mixtures: single tasks (IT), the tasks of chains (separated), chains (SIT)'
[ -e separated.jsonl ] ||
    seqit augment --method separate length-2.jsonl length-3.jsonl length-4.jsonl -o separated.jsonl
[ -e base.jsonl ] || seqit augment --method separate base-4.jsonl -o base.jsonl

say 'Runs, in parallel: a base for single tasks, and its three tunings'
export step_tokens base_steps steps
# shellcheck disable=SC2086  # one word per run
printf '%s\n' $runs | xargs -P 0 -n 1 "$here/one-run.sh"

say 'Scores: every step by program; tables and figures over runs and items'
[ -e scores.jsonl ] || seqit judge --judge builtin answers/*.jsonl -o scores.jsonl
seqit compare IT separated SIT scores.jsonl --metrics following --by chain \
    --figure following.svg -o following.md
seqit compare IT separated SIT scores.jsonl --metrics step --by position,chain \
    --figure steps.svg -o steps.md
seqit sql "
    SELECT regexp_extract(file, 'models/(.*)/', 1) AS model, training->'steps' AS steps,
        training->'tokens' AS tokens, training->'targets' AS answer_tokens,
        round((training->'last'->>'loss')::DOUBLE, 3) AS last_loss
    FROM trainings ORDER BY model" models/*/training.json -f markdown -o budget.md
seqit sql -f markdown -o lineage.md -- "$(cat "$here/lineage.sql")" scores.jsonl \
    answers/SIT-1-seen.jsonl mixture-SIT-1.jsonl models/SIT-1/training.json

{
    echo '# tiny-sit: results'
    echo
    echo 'Written by recipes/tiny-sit/run.sh. Panels and tables: combinations of neighbouring tasks'
    echo 'that training has (seen), and that it does not (unseen); no training row has five tasks.'
    echo
    echo '## Following rate: the share of items in which every task is done, by tasks in the chain'
    echo
    echo '![following rate](following.svg)'
    echo
    cat following.md
    echo
    echo '## Step accuracy, by place in the chain and length of the chain'
    echo
    echo '![step accuracy](steps.svg)'
    echo
    cat steps.md
    echo
    echo '## What each model was trained on'
    echo
    cat budget.md
    echo
    echo '## From a wrong answer to training rows (lineage.sql)'
    echo
    cat lineage.md
} >README.md
say "The results are in $PWD/README.md"
