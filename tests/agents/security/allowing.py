"""ACLs as `segue acls` names them, given and taken by the super user."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from segue_agents.security.rights import Right

KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional-id": ResourceType.TRANSACTIONAL_ID}
OPERATIONS = {"Read": "READ", "Write": "WRITE", "Create": "CREATE", "Describe": "DESCRIBE",
              "DescribeConfigs": "DESCRIBE_CONFIGS"}  # fmt: skip
WITHIN_S = 20.0


class Allowing:
    """What one principal may do."""

    def __init__(self, plain: str, principal: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": plain})
        self._principal = principal

    def give(self, rights: Iterable[Right]) -> None:
        wanted = [self._binding(right) for right in rights]
        for future in self._admin.create_acls(wanted).values():
            future.result(WITHIN_S)
        self._wait(lambda: set(wanted) <= self._there())

    def take(self, rights: Iterable[Right]) -> None:
        gone = [self._binding(right) for right in rights]
        for future in self._admin.delete_acls([_exactly(binding) for binding in gone]).values():
            future.result(WITHIN_S)
        self._wait(lambda: not set(gone) & self._there())

    @contextmanager
    def without(self, right: Right) -> Iterator[None]:
        self.take([right])
        try:
            yield
        finally:
            self.give([right])

    def _wait(self, true: object) -> None:
        until = time.monotonic() + WITHIN_S
        while not true():  # type: ignore[operator]
            assert time.monotonic() < until, "the broker does not see the ACLs"
            time.sleep(0.02)

    def _there(self) -> set[AclBinding]:
        of = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, self._principal, None, AclOperation.ANY,
                              AclPermissionType.ANY)  # fmt: skip
        return set(self._admin.describe_acls(of).result(WITHIN_S))

    def _binding(self, right: Right) -> AclBinding:
        pattern = ResourcePatternType.PREFIXED if right.pattern == "prefixed" else ResourcePatternType.LITERAL
        return AclBinding(KINDS[right.resource], right.name, pattern, self._principal, "*",
                          AclOperation[OPERATIONS[right.operation]], AclPermissionType.ALLOW)  # fmt: skip


def _exactly(b: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type)
