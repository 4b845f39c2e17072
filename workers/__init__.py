"""Workers: Celery's entry points, and what a worker process does besides the work itself.

    render, caption   what `celery -A workers.render|caption` runs
    janitor           the janitor as a process of its own

    task              Celery's message as the delivery of a shard
    shards            what both do around a shard;  turnstile  lets a suspect one run alone
    recall            brings back the shards that wait
    intake            how many shards a caption worker takes, so that its engine is kept full
    backup            allows one more worker to do a last shard whose holder is slow
    shard_times       how long shards took, which tells who is slow
    drain             the end of a worker;  process  its process, as the drain sees it
    monitor           what a worker tells of itself;  exporter  serves it,  health  judges it
    logs              logging

The work is that of the stages in `regioncap.jobs`.
"""
