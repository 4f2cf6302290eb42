# The topics of one thing, as text: the firmware uses them, and tools/aws/policy.py makes the
# least-privilege policy from publishes() and subscribes(). On demand, at boot.


def of(thing, telemetry_topic, command_topic):
    # (data, commands, result, status, prefix of the shadow's). Status is none of the shadow's: AWS
    # ignores a last will sent to one (aws-facts 1.8).
    command_topic = command_topic.replace("{thing}", thing)
    return (
        telemetry_topic.replace("{thing}", thing),
        command_topic,
        command_topic + "/result",
        "devices/" + thing + "/status",
        "$aws/things/" + thing + "/shadow/",
    )


def publishes(topics):
    # (topic, retained?) of everything the firmware sends, the last will included.
    # Only status is retained: AWS refuses that on every topic that starts with $.
    data, _, result, status, shadow = topics
    return (
        (data, False),
        (result, False),
        (status, True),
        (shadow + "get", False),
        (shadow + "update", False),
    )


def subscribes(topics):
    # What may arrive: exact topics, no wildcards, and at most the 8 filters AWS takes in one
    # SUBSCRIBE.
    _, commands, _, _, shadow = topics
    return (
        commands,
        shadow + "get/accepted",
        shadow + "get/rejected",
        shadow + "update/accepted",
        shadow + "update/rejected",
        shadow + "update/delta",
    )
