"""The product on a real GPU, beside a plain `LLM.generate`: `python -m bench.gpu`."""
