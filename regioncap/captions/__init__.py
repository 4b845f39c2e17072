"""Captions: from what an engine wrote to one caption for each region."""
