"""A real Apache Kafka as a child process: what `segue demo`, `segue up` and the tests run when no broker is named.

Never something that is merely like Kafka: when Java or the jars cannot be had, starting says so and stops.
"""

from segue_agents.embedded.broker import Broker
from segue_agents.embedded.jars import KAFKA_VERSION
from segue_agents.embedded.server import ensure_kafka
from segue_agents.embedded.standing import Standing, down, status, up

__all__ = ["KAFKA_VERSION", "Broker", "Standing", "down", "ensure_kafka", "status", "up"]
