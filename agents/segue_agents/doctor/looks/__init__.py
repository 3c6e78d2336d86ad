"""Where the facts come from: Kafka, this machine, the contracts. Nothing here writes, but `clock` when it is told to."""
