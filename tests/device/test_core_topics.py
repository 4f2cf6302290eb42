import harness
from firmware.core import topics


def of(thing="greenhouse-1", data="devices/{thing}/data", command="devices/{thing}/commands"):
    return topics.of(thing, data, command)


def test_the_topics_of_the_design():
    data, commands, result, status, shadow = of()
    harness.equal(data, "devices/greenhouse-1/data")
    harness.equal(commands, "devices/greenhouse-1/commands")
    harness.equal(result, "devices/greenhouse-1/commands/result")
    harness.equal(status, "devices/greenhouse-1/status")
    harness.equal(shadow, "$aws/things/greenhouse-1/shadow/")
    kinds = "get/accepted get/rejected update/accepted update/rejected update/delta".split()
    wanted = [commands] + [shadow + kind for kind in kinds]
    harness.equal(topics.subscribes(commands, shadow), wanted)


def test_the_filters_fit_one_subscribe_and_hold_no_wildcard():
    data, commands, result, status, shadow = of()
    heard = topics.subscribes(commands, shadow)
    assert len(heard) <= 8
    for topic in heard:
        assert "+" not in topic and "#" not in topic and topic.count("/") <= 7, topic
    # None is both published and subscribed.
    sent = [data, result, status, shadow + "get", shadow + "update"]
    harness.equal(len(set(sent + heard)), 11)


def test_a_policy_variable_passes_for_a_thing():
    variable = "${iot:Connection.Thing.ThingName}"
    names = of(variable)
    harness.equal(names[0], "devices/" + variable + "/data")
    harness.equal(names[4], "$aws/things/" + variable + "/shadow/")


def test_templates_without_and_with_several_places():
    harness.equal(of(data="$aws/rules/store")[0], "$aws/rules/store")
    harness.equal(of("a", "{thing}/{thing}")[0], "a/a")


def test_what_a_board_that_is_updated_hears_besides():
    usual = topics.subscribes("c", "$aws/things/a/shadow/")
    found = topics.subscribes("c", "$aws/things/a/shadow/", True)
    harness.equal(found[: len(usual)], usual)
    own = ["$aws/things/a/jobs/notify-next", "$aws/things/a/streams/+/data/json"]
    harness.equal((found[len(usual) :], len(found)), (own, 8))
