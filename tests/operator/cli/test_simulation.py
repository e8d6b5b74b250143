"""What would change, in words and for programs."""

import copy
from typing import Any

from tests.operator import builders
from tokenflow_operator.cli.difference import FieldChange
from tokenflow_operator.cli.simulation import Action, ObjectChange, Simulation, applied, deleted, document, text
from tokenflow_operator.kube.objects import ObjectRef

KEY = builders.policy().key
GATEWAY = ObjectRef("Deployment", "demo-gateway")


def deployment(*, replicas: int = 2, image: str = "a") -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "gateway", "image": image}]}}
    metadata = {"name": "demo-gateway", "namespace": "default"}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas, "template": template}}


def simulation(*objects: ObjectChange, words: str = "", **changes: Any) -> Simulation:
    return Simulation(**{"key": KEY, "fields": (), "exists": True, "objects": objects, "words": words, **changes})


def test_a_new_template_restarts_the_pods_that_run() -> None:
    change = applied(GATEWAY, before=deployment(), after=deployment(image="b", replicas=3))
    assert (change.action, change.restarts) == (Action.CHANGE, 2)


def test_more_replicas_restart_none() -> None:
    assert applied(GATEWAY, before=deployment(), after=deployment(replicas=3)).restarts == 0


def test_the_pods_of_a_daemon_set_are_those_of_its_nodes() -> None:
    before = {**deployment(), "kind": "DaemonSet", "status": {"desiredNumberScheduled": 7}}
    after = copy.deepcopy(before) | {"spec": {"template": {}}}
    assert applied(ObjectRef("DaemonSet", "nodes-agent"), before=before, after=after).restarts == 7


def test_what_comes_goes_or_is_refused_has_no_fields() -> None:
    assert applied(GATEWAY, before=None, after=deployment()).action is Action.CREATE
    assert deleted(deployment()).action is Action.DELETE
    refused = applied(GATEWAY, before=deployment(), after=None)
    assert refused.action is Action.REFUSED
    assert not simulation(refused).accepted


def test_settings_in_a_config_map_are_taken_over_live_but_for_those_of_pods() -> None:
    paths = ("spec.mode", "generation", "spec.gateway.replicas", "spec.security", "spec.security.allowCIDRs")
    fields = tuple(FieldChange(path=f"data[runtime.json].{path}", before=1, after=2) for path in paths)
    config = ObjectChange(ref=ObjectRef("ConfigMap", "demo-runtime"), action=Action.CHANGE, fields=fields)
    assert simulation(config).live == ["spec.mode", "spec.security.allowCIDRs"]


def test_all_is_told_in_words() -> None:
    change = applied(GATEWAY, before=deployment(), after=deployment(image="b"))
    gone = ObjectChange(ref=ObjectRef("HorizontalPodAutoscaler", "demo-hintsvc"), action=Action.DELETE)
    field = FieldChange(path="spec.mode", before="Off", after="Shadow")
    assert text([simulation(change, gone, fields=(field,))]).splitlines() == [
        "PacingPolicy default/demo",
        '  spec.mode: "Off" -> "Shadow"',
        "  ~ Deployment/demo-gateway",
        '      spec.template.spec.containers[gateway].image: "a" -> "b"',
        "  - HorizontalPodAutoscaler/demo-hintsvc",
        "  pods that restart: 2 of Deployment/demo-gateway",
    ]


def test_a_refusal_is_told_with_its_words() -> None:
    refused = applied(GATEWAY, before=None, after=None)
    told = text([simulation(refused, words="forbidden: exceeded quota", exists=False)])
    assert told.splitlines()[:3] == [
        "PacingPolicy default/demo (new)",
        "  ! Deployment/demo-gateway: the API server would not take it",
        "  refused: forbidden: exceeded quota",
    ]
    assert document([simulation(refused)])["accepted"] is False


def test_programs_get_the_same() -> None:
    change = applied(GATEWAY, before=deployment(), after=deployment(image="b"))
    resource = document([simulation(change)])["resources"][0]
    assert (resource["name"], resource["objects"][0]["restarts"]) == ("demo", 2)
    assert resource["objects"][0]["fields"] == [
        {"path": "spec.template.spec.containers[gateway].image", "before": "a", "after": "b"}
    ]
