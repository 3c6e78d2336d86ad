"""The states of the persons, outside memory: the changelog, which is the truth, and the store, which is a copy of it.

The store may lag behind the changelog or be lost, and is never ahead: it is written after the transaction has ended.

    changelog    states and checkpoints as records of a compacted topic
    checkpoint   how far a partition has come: what ties states, offsets and time together
    links        which of the changelog's records a restore believes
    layouts      which rules the states were written under
    slot         a worker's folder, for one process at a time
    store        states and checkpoints on disk
    manifest     a look at RocksDB's own list of files before RocksDB reads it
    standing     what a store found at a start is good for: a table
    recovery     a partition's store brought to its committed offsets
    progress     how far restores are, for whoever watches
"""
