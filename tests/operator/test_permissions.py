from tokenflow_api.crdgen import stale
from tokenflow_operator import permissions
from tokenflow_operator.permissions import GRANTS, Part

ADMINISTRATION = {"*", "escalate", "bind", "impersonate"}


def test_the_committed_files_are_up_to_date() -> None:
    assert stale(permissions.files()) == []


def test_no_right_is_a_wildcard_or_leads_to_others() -> None:
    for grant in GRANTS:
        assert not {*grant.verbs, grant.resource, grant.group} & ADMINISTRATION
        assert grant.subresource in {"", "status"}


def test_secrets_are_read_by_name_alone() -> None:
    secrets = [grant for grant in GRANTS if grant.resource == "secrets"]
    assert all(grant.names for grant in secrets)
    # Its own alone, where it keeps the webhook's certificates, is written.
    assert [grant.part for grant in secrets if grant.verbs != ("get",)] == [Part.WEBHOOK]


def test_nothing_is_granted_twice() -> None:
    granted = [(grant.part, grant.group, grant.resource, grant.names, verb) for grant in GRANTS for verb in grant.verbs]
    assert len(granted) == len(set(granted))


def test_rules_join_what_differs_in_the_resource_alone() -> None:
    assert permissions.rules(Part.NAMESPACES)[0] == {
        "apiGroups": ["tokenflow.io"],
        "resources": ["pacingpolicies", "telemetryagents"],
        "verbs": ["list", "watch", "get"],
    }
