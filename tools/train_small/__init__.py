"""Makes the small model: a Qwen2.5-VL of about two million parameters that reads numbered marks."""
