"""The topics that pairwatch needs: which, of what shape, and why."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streams.settings import Settings

_DAY_MS = 86_400_000
#: A request is at most 1 MiB; its key, headers and the batch around it come on top.
_FORWARDED_BYTES_MAX = 2 * 2**20


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it should be.

    Parameters
    ----------
    name
        Its name in Kafka.
    partitions
        How many it is created with.
    configs
        Kafka's topic configs.
    remedy
        What to do about another number of partitions; `None` where any number will do.
    is_ours
        `False` for the gateway's own topic, whose retention and replicas are not our business.
    """

    name: str
    partitions: int
    configs: Mapping[str, str]
    remedy: str | None = None
    is_ours: bool = True


def changelog_topic(settings: Settings) -> str:
    """Return the name that Faust gives to the changelog of the table `accounts`."""
    return f"{settings.kafka.group}-accounts-changelog"


def plan(settings: Settings, replication: int, source_partitions: int) -> tuple[Topic, ...]:
    """Return the topics that these settings need.

    Parameters
    ----------
    settings
        All of them.
    replication
        Copies of each partition, 1 or more.
    source_partitions
        The partitions that the topic with the accounts' requests has or will have.
    """
    topics = settings.topics
    # With three copies one broker may fail without a loss and without a stop; with two, asking
    # for both would stop everything when one is restarted.
    durable = {"min.insync.replicas": "2" if replication >= 3 else "1"}
    by_time = {"cleanup.policy": "delete", **durable}
    by_key = {
        "cleanup.policy": "compact",
        # Whoever was away for less than this still learns what was lifted or evicted.
        "delete.retention.ms": str(7 * _DAY_MS),
        # Old values of quiet keys go too: what was said of an account is not kept by accident.
        "max.compaction.lag.ms": str(7 * _DAY_MS),
        # Clean early: who starts from nothing reads little more than what is in force.
        "min.cleanable.dirty.ratio": "0.2",
        **durable,
    }
    # A weekend's stop can be caught up with.
    requests = {"retention.ms": str(3 * _DAY_MS), **by_time}
    needed = [
        Topic(
            name=topics.requests,
            partitions=topics.partitions,
            configs=requests,
            remedy=f"set topics.partitions = {source_partitions}"
            if topics.keyed_by_account
            else None,
            is_ours=False,
        )
    ]
    if not topics.keyed_by_account:
        needed.append(
            Topic(
                name=topics.requests_by_account,
                partitions=topics.partitions,
                configs={"max.message.bytes": str(_FORWARDED_BYTES_MAX), **requests},
                # Adding partitions to it would part accounts from the state they have.
                remedy=f"set topics.partitions = {source_partitions}",
            )
        )
    return (
        *needed,
        Topic(
            name=changelog_topic(settings),
            partitions=source_partitions,
            configs=by_key,
            remedy=f"{topics.accounts_source} has {source_partitions} and the two must agree: "
            "stop the workers, delete this topic and run `pairwatch topics` again; the state is "
            "learned anew",
        ),
        Topic(
            name=topics.decisions,
            partitions=topics.partitions,
            # An account may ask for a reason weeks later.
            configs={"retention.ms": str(90 * _DAY_MS), **by_time},
        ),
        Topic(name=topics.decisions_state, partitions=topics.partitions, configs=by_key),
        Topic(
            name=topics.dead_letters,
            partitions=topics.partitions,
            # Time to find and mend a broken shipper. They hold customers' data: no longer.
            configs={"retention.ms": str(14 * _DAY_MS), **by_time},
        ),
        Topic(
            name=topics.link_activity,
            partitions=source_partitions,
            configs=requests,
            remedy=f"set topics.partitions = {source_partitions}",
        ),
        Topic(
            name=topics.notices,
            partitions=source_partitions,
            # As long as the requests that they stand beside; what holds longer is state.
            configs={"max.message.bytes": str(_FORWARDED_BYTES_MAX), **requests},
            remedy=f"set topics.partitions = {source_partitions}",
        ),
        Topic(
            name=topics.control,
            # `allow` and `release` mean what they mean in the order in which they were said.
            partitions=1,
            # All that operators ever said is little. The broker's own time is what a message's is
            # held against: nobody can send later what was held back.
            configs={
                "retention.ms": "-1",
                "message.timestamp.type": "LogAppendTime",
                **by_time,
            },
            remedy="order holds within one partition only: stop the workers, delete this topic, "
            "run `pairwatch topics` again and repeat what must stay in force",
        ),
    )
