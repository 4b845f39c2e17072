"""Outputs: what users take: exports, galleries, audits and corrected captions."""
