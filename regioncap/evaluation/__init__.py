"""Evaluation: which way of showing regions works is measured, not believed.

truth      what a region holds, and what a caption makes of it
placing    where the regions of a made scene lie
scenes     made pictures whose regions are known; photographs with known things
in_process ways of showing regions, run on an engine in this process
as_job     the same scenes as jobs, through queue, workers and store
scores     what came of it, summed up
report     a page to look at
"""
