# The topics of one thing, as text, also for tools/aws/policy.py. On demand, at boot.


def of(thing, data, commands):
    # (data, commands, result, status, prefix of the shadow's), from two templates. Status is none
    # of the shadow's: AWS ignores a last will sent to one (aws-facts 1.8).
    data, commands = data.replace("{thing}", thing), commands.replace("{thing}", thing)
    status, prefix = "devices/{}/status".format(thing), "$aws/things/{}/shadow/".format(thing)
    return data, commands, commands + "/result", status, prefix


def alarms(status):
    # Of the topic of status, text or bytes.
    return status[: -len("status")] + ("alarms" if isinstance(status, str) else b"alarms")


def subscribes(commands, prefix):
    # Exact topics, no wildcards, and at most the 8 filters that AWS takes in one SUBSCRIBE.
    kinds = "get/accepted get/rejected update/accepted update/rejected update/delta"
    return [commands] + [prefix + kind for kind in kinds.split()]


def jobs(thing):
    # Of a board that is updated by AWS IoT Jobs (docs/updates.md): three that it publishes to, in
    # which + is the id of a job or a stream, then the two that it subscribes to.
    prefix = "$aws/things/{}/".format(thing)
    kinds = (
        "{0}jobs/$next/get {0}jobs/+/update {0}streams/+/get/json"
        " {0}jobs/notify-next {0}streams/+/data/json"
    )
    return kinds.format(prefix).split()
