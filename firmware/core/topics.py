# The topics of one thing, as text: the firmware uses them, and tools/aws/policy.py makes the
# least-privilege policy from publishes() and subscribes(). On demand, at boot.


def of(thing, telemetry_topic, command_topic):
    # (data, commands, result, status, prefix of the shadow's). Status is none of the shadow's: AWS
    # ignores a last will sent to one (aws-facts 1.8).
    data = telemetry_topic.replace("{thing}", thing)
    commands = command_topic.replace("{thing}", thing)
    status = "devices/" + thing + "/status"
    return data, commands, commands + "/result", status, "$aws/things/" + thing + "/shadow/"


def publishes(topics):
    # (topic, retained?) of everything the firmware sends, the last will included. Only status is
    # retained: AWS refuses that on every topic that starts with $.
    data, _, result, status, shadow = topics
    sent = data, result, status, shadow + "get", shadow + "update"
    return [(topic, topic == status) for topic in sent]


def subscribes(topics):
    # What may arrive: exact topics, no wildcards, and at most the 8 filters AWS takes in one
    # SUBSCRIBE.
    kinds = "get/accepted get/rejected update/accepted update/rejected update/delta"
    return [topics[1]] + [topics[4] + kind for kind in kinds.split()]
