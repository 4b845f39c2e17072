"""Captions: from what an engine wrote to one caption for each region.

conversation  asks about a record's regions, and again about those without a caption
answers       one caption for each region from an answer
attributes    likewise where a schema asked for fields beside captions
verification  asks captions back, to know which are wrong
json_answers, region_names, markdown, texts, refusals  what it reads an answer with
"""
