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


def subscribes(commands, prefix, updates=False):
    # At most the 8 filters that AWS takes in one SUBSCRIBE, two of them those of jobs.
    kinds = "get/accepted get/rejected update/accepted update/rejected update/delta"
    found = [commands] + [prefix + kind for kind in kinds.split()]
    if updates:
        found += [prefix[:-7] + "jobs/notify-next", prefix[:-7] + "streams/+/data/json"]
    return found
