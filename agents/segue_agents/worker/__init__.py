"""One worker: read a batch and the states it needs, step, commit.

The truth is in Kafka: the inputs, the changelog, and the committed offsets, which move together in one transaction.
RocksDB is a copy of the changelog that may lag behind it or be lost, and is never ahead: it is written after the
transaction has ended. Whatever is uncertain is dropped and read again from the last commit.

    loop         the three steps, and what comes and goes with partitions
    committer    what goes out and how it becomes final, as the loop knows it
    transactions exactly once; why a producer is replaced that has committed
    at_least_once without transactions
    producing    what both share: a producer that is made anew, calls that are repeated
    reactions    what each class of error does to a transaction: a table
    backoff      pauses before the next attempt
    watchdog     says when a worker is alive and gets nothing done
    changelog    states and checkpoints as records
    store        states and checkpoints on disk
    recovery     a partition's store brought to its committed offsets
    clock        ticks
    dead_letters records that took no part
    memory       what Python's garbage collector may look at
"""
