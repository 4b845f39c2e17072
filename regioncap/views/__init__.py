"""Views: from boxes and pixels to the marked pictures and prompts that an engine gets; pure."""
