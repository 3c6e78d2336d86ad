"""One worker: read a batch and the states it needs, step, commit.

The truth is in Kafka: the inputs, the changelog, and the committed offsets, which move together in one transaction.
RocksDB is a copy of the changelog that may lag behind it or be lost, and is never ahead: it is written after the
transaction has ended. Whatever is uncertain is dropped and read again from the last commit.

    loop         the three steps, and what comes and goes with partitions
    committer    the transaction, and what each class of error means
    changelog    states and checkpoints as records
    store        states and checkpoints on disk
    recovery     a partition's store brought to its committed offsets
    clock        ticks
    dead_letters records that took no part
    memory       what Python's garbage collector may look at
"""
