"""The way to Kafka: what may not go over it in clear (`wire`), and who needs which right at its end (`rights`)."""
