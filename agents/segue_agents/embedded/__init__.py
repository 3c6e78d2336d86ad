"""A real Apache Kafka as a child process, and a schema registry: what `segue demo`, `segue up` and the tests run when no
broker is named.

Never something that is merely like Kafka: when Java or the jars cannot be had, starting says so and stops.
"""

from segue_agents.embedded.apicurio import Apicurio
from segue_agents.embedded.broker import Broker
from segue_agents.embedded.jars import KAFKA_VERSION
from segue_agents.embedded.server import ensure_kafka
from segue_agents.embedded.standing import Standing, down, registry_up, status, up

__all__ = ["KAFKA_VERSION", "Apicurio", "Broker", "Standing", "down", "ensure_kafka", "registry_up", "status", "up"]
