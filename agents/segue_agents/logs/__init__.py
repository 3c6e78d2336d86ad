"""What a worker says, and what it never says: the `events`, their renderer (`setup`), how persons are named."""
