"""The page that `regioncap serve` shows: jobs, their progress and failures, and their galleries.

    app        the addresses, and what each answers
    access     who is let in, and what browsers are told to refuse
    catalogue  jobs and how far they are, kept for some seconds
    window     the records of a job that one page shows, and why records failed
    pictures   the pictures of records

It reads the store, and Redis for progress where that is there; it writes nothing.
"""
