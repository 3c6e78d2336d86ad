"""`segue demo`: a real Kafka, a real worker, a simulated shop, and what happens in words."""
