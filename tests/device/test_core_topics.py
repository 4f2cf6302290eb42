import harness
from firmware.core import topics


def of(thing="greenhouse-1", data="devices/{thing}/data", command="devices/{thing}/commands"):
    return topics.Topics(thing, data, command)


def test_the_topics_of_the_design():
    made = of()
    harness.equal(made.data, b"devices/greenhouse-1/data")
    harness.equal(made.commands, b"devices/greenhouse-1/commands")
    harness.equal(made.result, b"devices/greenhouse-1/commands/result")
    harness.equal(made.status, b"devices/greenhouse-1/status")
    shadow = b"$aws/things/greenhouse-1/shadow/"
    harness.equal(made.shadow_get, shadow + b"get")
    harness.equal(made.get_accepted, shadow + b"get/accepted")
    harness.equal(made.get_rejected, shadow + b"get/rejected")
    harness.equal(made.shadow_update, shadow + b"update")
    harness.equal(made.update_accepted, shadow + b"update/accepted")
    harness.equal(made.update_rejected, shadow + b"update/rejected")
    harness.equal(made.delta, shadow + b"update/delta")


def test_every_topic_is_published_or_subscribed_and_none_is_both():
    made = of()
    sent = [topic for topic, _ in topics.publishes(made)]
    heard = list(topics.subscribes(made))
    named = [value.decode() for value in made.__dict__.values()]
    harness.equal(sorted(sent + heard), sorted(named))
    harness.equal(len(set(named)), 11)


def test_only_status_is_retained():
    retained = [topic for topic, retain in topics.publishes(of()) if retain]
    harness.equal(retained, ["devices/greenhouse-1/status"])


def test_the_filters_fit_one_subscribe_and_hold_no_wildcard():
    heard = topics.subscribes(of())
    assert len(heard) <= 8
    for topic in heard:
        assert "+" not in topic and "#" not in topic and topic.count("/") <= 7, topic
    harness.equal(topics.receives(of()), heard)


def test_a_policy_variable_passes_for_a_thing():
    variable = "${iot:Connection.Thing.ThingName}"
    sent = topics.publishes(of(variable))
    harness.equal(sent[0], ("devices/" + variable + "/data", False))
    harness.equal(sent[4][0], "$aws/things/" + variable + "/shadow/update")


def test_templates_without_and_with_several_places():
    harness.equal(of(data="$aws/rules/store").data, b"$aws/rules/store")
    harness.equal(of("a", "{thing}/{thing}").data, b"a/a")


harness.run(globals())
