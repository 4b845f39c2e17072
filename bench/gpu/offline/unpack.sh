# shellcheck shell=bash
# To be sourced on the GPU machine, in the project's root, once all parts lie in $GPU_DIR/parts.
export GPU_DIR=${GPU_DIR:-/var/tmp/gpu}
mkdir -p "$GPU_DIR/site"
if [ ! -f "$GPU_DIR/site/.whole" ]; then
  cat "$GPU_DIR"/parts/site.[1-9] | python3 -c "
import os, sys, tarfile
site = os.environ['GPU_DIR'] + '/site'
tarfile.open(fileobj=sys.stdin.buffer, mode='r|xz').extractall(site, filter='fully_trusted')
" && touch "$GPU_DIR/site/.whole"
  # By all cores at once, rather than by each process as it imports. Some files are for other Pythons.
  python3 -m compileall -q -j 0 "$GPU_DIR/site" >/dev/null 2>&1 || true
fi
export PYTHONPATH=$GPU_DIR/site:$PWD PATH=$GPU_DIR/site/bin:$PATH PYTHONUNBUFFERED=1
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 TOKENIZERS_PARALLELISM=false
# Without the package flashinfer, vLLM 0.26 dies at the first sampler unless it is told so.
export VLLM_USE_FLASHINFER_SAMPLER=0
