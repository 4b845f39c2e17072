"""Evaluation: which way of showing regions works is measured, not believed.

truth     what a region holds, and what a caption makes of it
layouts   where the regions of a made scene lie
scenes    made pictures whose regions are known; photographs with known things
runner    ways of showing regions, run on an engine through the product's own path
scores    what came of it, summed up
report    a page to look at
"""
