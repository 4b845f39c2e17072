"""What fits on cards of usual sizes, by calculation: the table of docs/performance.md.

    python -m bench.memory [--cards 24 48 80] [--utilization 0.92]

The models are those of bench/gpu/shapes.py, with the words that Qwen's checkpoints of these names
have. `regioncap.engines.memory` has the formulas; nothing is measured.
"""

from __future__ import annotations

import argparse

from bench import as_command
from bench.gpu.shapes import SHAPES
from regioncap.engines.memory import Card, Model, plan, read_model

_GIB, _GB = 1 << 30, 10**9
#: Rows of the words' tables, and whether what is said goes by the same one.
_WORDS = {"3b": (151_936, True), "7b": (152_064, False)}
#: Of a picture, with 300 of words and an answer as long as it may be, and as it mostly is.
REQUESTS = {"1,280": 1280 + 300 + 512, "391": 391 + 300 + 128}


def model_of(name: str) -> Model:
    """The shape of a model."""
    shape = SHAPES[name]
    vocabulary, tied = _WORDS[name]
    text = {**shape.text, "vocab_size": vocabulary}
    return read_model(
        {"text_config": text, "vision_config": shape.vision, "tie_word_embeddings": tied}
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--cards", type=float, nargs="+", default=[24, 48, 80], help="GB")
    parser.add_argument("--utilization", type=float, default=0.92)
    options = parser.parse_args()
    heads = ["card, GB", "model", "weights", "GiB of weights", "computing", "keys and values"]
    heads += ["tokens", *(f"at once of {tokens}" for tokens in REQUESTS)]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for memory_gb in options.cards:
        for name in _WORDS:
            for weights in ("bf16", "fp8"):
                card = Card(int(memory_gb * _GB), options.utilization)
                found = plan(model_of(name), card, fp8=weights == "fp8")
                parts = (found.weights_bytes, found.computing_bytes, found.kv_bytes)
                cells = [f"{memory_gb:g}", name.upper(), weights]
                cells += [f"{part / _GIB:.1f}" for part in parts]
                cells += [f"{found.kv_tokens:,}"]
                cells += [f"{found.requests(tokens):,}" for tokens in REQUESTS.values()]
                print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    as_command(main)
