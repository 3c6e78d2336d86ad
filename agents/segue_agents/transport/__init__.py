"""librdkafka under Faust: one consumer, on one thread, that feeds a Faust channel with batches."""
