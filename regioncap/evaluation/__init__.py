"""Evaluation: measures which way of showing regions gives right captions.

truth      what a region holds, and what a caption makes of it
placing    where the regions of a made scene lie
scenes     made pictures whose regions are known; photographs with known things
in_process ways of showing regions, run on an engine in this process
as_job     the same scenes as jobs, through queue, workers and store
scores     how right the captions are
report     a page to look at
trust      what verification catches, and what it flags by mistake
baseline   what became better or worse since an earlier evaluation
"""
