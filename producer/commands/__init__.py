"""The commands, a module each noun; heavy imports stay inside the functions."""
