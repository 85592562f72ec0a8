#!/bin/sh
# Trains a classifier, an epoch at a time, and goes on where it was killed: any language will do, here sh and awk.
# Usage: sh ablations/command.sh EPOCHS RATE MOMENTUM SCALE SEED
set -eu
epochs=$1 program=$(dirname "$0")/command.awk
state=$HARNESS_CHECKPOINTS/state # survives a kill

step() { # one epoch, or the score
    awk -v mode="$1" -v rate="$2" -v momentum="$3" -v scale="$4" -v seed="$5" -v log_file="$HARNESS_LOG" \
        -v epochs="$epochs" -f "$program" "$state"
}

[ -f "$state" ] || { echo "epoch 0" >"$state.new" && mv "$state.new" "$state"; }
shift
while [ "$(awk '/^epoch/ {print $2}' "$state")" -lt "$epochs" ]; do
    step train "$@" >"$state.new"
    mv "$state.new" "$state" # whole or not at all
done
step score "$@" >"$HARNESS_METRICS"
