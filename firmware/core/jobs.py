# The topics of a board that is updated by AWS IoT Jobs (docs/updates.md), also for
# tools/aws/policy.py. On demand.


def topics(thing):
    # (publishes, subscribes). A + in what it publishes is the id of a job, or of a stream.
    job, stream = ["$aws/things/{}/{}/".format(thing, kind) for kind in ("jobs", "streams")]
    sent = [job + "$next/get", job + "+/update", stream + "+/get/json"]
    return sent, [job + "notify-next", stream + "+/data/json"]
