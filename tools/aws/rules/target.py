"""What a target of the rules is; a new one is a file like s3.py and one word in documents.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.aws.errors import found

if TYPE_CHECKING:
    from tools.aws.clients import Clients

TAG = "fieldmouse"  # on everything that was made here; its value is the name of the rules


@dataclass(frozen=True)
class Home:
    """One set of rules: its name, and the account and region it lives in."""

    clients: Clients
    name: str
    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this account; IAM is global and has no region in it."""
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    @property
    def role(self) -> str:
        return f"{self.name}-rules-{self.region}"

    @property
    def role_arn(self) -> str:
        return self.arn("iam", f"role/{self.role}")

    @property
    def tags(self) -> list[dict[str, str]]:
        """The mark of what was made here, so that `destroy` knows it again."""
        return [{"Key": TAG, "Value": self.name}]


@dataclass(frozen=True)
class Step:
    """One resource, in parts that can be compared: policy statements, actions, lines of SQL.

    ``look`` gives the parts that are there, None if the resource is missing, ToolError if it
    cannot be used. ``make`` makes it or sets it right; ``finish`` comes after all other steps and
    takes away what was needed until then.
    """

    what: str
    look: Callable[[], list[Any] | None]
    make: Callable[[], object]
    want: tuple[Any, ...] = ()
    finish: Callable[[], object] | None = None


class Target:
    """One kind of receiver: its option, its action in a rule, what it needs, how it goes again."""

    option = ""  # such as "--dynamodb"
    metavar = ""
    help = ""
    kind = ""  # the key of its action in a topic rule: "dynamoDBv2"
    alarms = False  # gets what raises an alarm, and nothing else while there is one

    def check(self, value: str) -> None:
        """ToolError for a value of the option that AWS would refuse."""

    def action(self, value: str, home: Home) -> dict[str, Any]:
        """What stands under ``kind`` in the rule."""
        raise NotImplementedError

    def allows(self, action: dict[str, Any], home: Home) -> tuple[str, str] | None:
        """The IAM action and the ARN that the role needs for such an action; None: no right."""
        raise NotImplementedError

    def steps(self, value: str, home: Home, columns: list[str]) -> Iterator[Step]:
        """What has to be there before the rule; ``columns``: the names that SELECT gives."""
        yield from ()

    def release(self, action: dict[str, Any], home: Home) -> Iterator[Step]:
        """What an action leaves behind elsewhere that goes when the rule loses it."""
        yield from ()

    def note(self, action: dict[str, Any], home: Home, again: str) -> str:
        """What a person should know about an action in force; ``again``: the command so far."""
        return ""

    def destroy(self, home: Home, data: bool) -> Iterator[str]:
        """Remove what has the tag, stored readings only with ``data``; yields a line each."""
        yield from ()


def exists(ask: Callable[[], Any]) -> list[Any] | None:
    """``look`` of a resource without parts."""
    return None if found(ask) is None else []


def drop(what: str, data: bool, remove: Callable[[], object]) -> str:
    """The line of ``destroy`` about stored readings, which only ``data`` removes."""
    if data:
        remove()
    return f"{what}: {'removed' if data else 'kept, --with-data removes it'}"
