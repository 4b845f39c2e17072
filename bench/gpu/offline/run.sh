#!/usr/bin/env bash
# The whole measurement on a GPU machine without a network: in the project's root, once all parts of
# bundle.sh lie in $GPU_DIR/parts. The files come to $OUT (by default gpu-out), with the rows that
# docs/performance has of the same card; the table is printed last.
#
#     bench/gpu/offline/run.sh [SHAPE] [options of bench.gpu]
#
# LIMIT_S   seconds for all [570]
set -uo pipefail
limit_s=${LIMIT_S:-570}
out=${OUT:-gpu-out}
shape=${1:-3b}
shift

export GPU_DIR=${GPU_DIR:-/var/tmp/gpu}
model=$GPU_DIR/$shape
device=cpu
command -v nvidia-smi >/dev/null && device=cuda
if [ ! -f "$model/generation_config.json" ]; then # what is written last
  rm -rf "$model"
  PYTHONPATH=$PWD timeout 150 python3 -m bench.gpu.shapes "$model" "$shape" "$device" &
fi

# shellcheck source=bench/gpu/offline/unpack.sh
. bench/gpu/offline/unpack.sh
[ -f "$GPU_DIR/site/.whole" ] || { echo "the parts are not whole" >&2; exit 1; }
echo "unpacked after $SECONDS s"
wait
[ -f "$model/generation_config.json" ] || { echo "the model was not made" >&2; exit 1; }
echo "model there after $SECONDS s"

mkdir -p "$out"
cp docs/performance/gpu-*.json "$out" 2>/dev/null
timeout -s INT -k 8 $((limit_s - SECONDS)) python3 -m bench.gpu --shape "$shape" --model "$model" \
  --folder "$out" --logs "$out" --budget-s $((limit_s - SECONDS - 25)) "$@"
