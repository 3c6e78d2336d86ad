"""What Kafka's ACLs do not allow, in words: which right is missing, on what, and how it is given."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError

from segue.errors import NotAllowed

KINDS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}
"""error code -> the kind of resource that the right is missing on"""
GIVE_IT: Final = "`segue acls {role} --format kafka-acls --principal User:NAME` prints the commands that give them."


def is_refusal(error: Any) -> bool:
    """Whether a KafkaError says that a right is missing."""
    return hasattr(error, "code") and error.code() in KINDS


def missing_right(error: Any, operation: str, *, topic: str = "", group: str = "", transactional_id: str = "") -> str:
    """`Write on topic 'orders'`. `operation`: on the resource that was asked for; a group is always to be Read."""
    kind = KINDS[error.code()]
    name = {"topic": topic, "group": group, "transactional id": transactional_id, "cluster": "kafka-cluster"}[kind]
    needs = {"topic": operation, "group": "Read", "transactional id": "Write", "cluster": operation}[kind]
    return f"{needs} on {kind} {name!r}" if name else f"{needs} on a {kind}"


def refusal(right: str, who: str = "this client", role: str = "worker") -> NotAllowed:
    """`right`: as `missing_right` says it. `role`: whose set of rights it belongs to (see `rights`)."""
    return NotAllowed(f"Kafka does not allow {who} what it needs: {right}.", GIVE_IT.format(role=role))


def raise_refusal(error: Any, operation: str, role: str = "worker", **resource: str) -> None:
    """Raises NotAllowed if a KafkaError says that a right is missing; does nothing otherwise."""
    if is_refusal(error):
        raise refusal(missing_right(error, operation, **resource), role=role)
