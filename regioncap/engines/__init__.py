"""Engines: what turns a marked picture and a prompt into text."""
