# The topics of one thing, all in one place: the firmware uses them, and tools/aws/policy.py
# makes the least-privilege policy from the three lists at the end.
# Attributes are bytes, as umqtt hands topics to its callback; the lists are text.

RESULT_SUFFIX = "/result"


class Topics:
    def __init__(self, thing, telemetry_topic, command_topic):
        command = fill(command_topic, thing)
        shadow = "$aws/things/" + thing + "/shadow/"
        self.data = fill(telemetry_topic, thing).encode()
        self.commands = command.encode()
        self.result = (command + RESULT_SUFFIX).encode()
        self.status = status(thing).encode()
        self.shadow_get = (shadow + "get").encode()
        self.shadow_update = (shadow + "update").encode()
        self.get_accepted = (shadow + "get/accepted").encode()
        self.get_rejected = (shadow + "get/rejected").encode()
        self.update_accepted = (shadow + "update/accepted").encode()
        self.update_rejected = (shadow + "update/rejected").encode()
        self.delta = (shadow + "update/delta").encode()


def fill(template, thing):
    return template.replace("{thing}", thing)


def status(thing):
    # Not a shadow topic: AWS ignores a last will sent to one (aws-facts 1.8).
    return "devices/" + thing + "/status"


def publishes(topics):
    # (topic, retained?) of everything the firmware sends, the last will included.
    # Only status is retained: AWS refuses that on every topic that starts with $.
    return (
        (topics.data.decode(), False),
        (topics.result.decode(), False),
        (topics.status.decode(), True),
        (topics.shadow_get.decode(), False),
        (topics.shadow_update.decode(), False),
    )


def subscribes(topics):
    # Exact topics, no wildcards, and at most the 8 filters AWS takes in one SUBSCRIBE.
    return (
        topics.commands.decode(),
        topics.get_accepted.decode(),
        topics.get_rejected.decode(),
        topics.update_accepted.decode(),
        topics.update_rejected.decode(),
        topics.delta.decode(),
    )


def receives(topics):
    # What may arrive; the same, because every filter is a whole topic.
    return subscribes(topics)
