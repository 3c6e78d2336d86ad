"""One worker: read a batch and the states it needs, step, commit.

The truth is in Kafka: the inputs, the changelog, and the committed offsets, which move together in one transaction.
Whatever is uncertain is dropped and read again from the last commit.

    loop          the three steps, and what comes and goes with partitions
    owned         a partition this worker has, and what has happened since the last commit
    breaker       stops a partition whose records are mostly refused
    balance       every record consumed is accounted for
    accounts      numbers, counted per batch and told at the commit
    gauges        numbers that are worked out when they are asked for: ages, and what is stale
    watchdog      says when a worker is alive and gets nothing done
    clock         ticks
    dead_letters  records that took no part
    memory        what Python's garbage collector may look at
"""
