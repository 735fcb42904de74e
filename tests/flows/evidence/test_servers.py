"""A report says of each server that had answered with a model of before what it took since."""

from flows.evidence.report_contents import _servers
from flows.workspace.served_versions import taking
from flows.workspace.workspace import Workspace


def test_each_server_stands_with_what_it_took_or_as_pending(fresh: Workspace) -> None:
    with taking(fresh.root, "127.0.0.1:1") as one, taking(fresh.root, "127.0.0.1:2") as other:
        one(1)
        other(2)
        one(3)

        switched, pending = _servers(fresh, {1, 2})

    assert (switched.server, switched.held, switched.version) == ("127.0.0.1:1", 1, 3)
    assert switched.taken_at is not None
    assert (pending.server, pending.held, pending.version) == ("127.0.0.1:2", 2, None)


def test_who_ended_or_never_had_it_is_left_out(fresh: Workspace) -> None:
    with taking(fresh.root, "127.0.0.1:1") as ended:
        ended(1)
    with taking(fresh.root, "127.0.0.1:2") as newer:
        newer(3)
        assert _servers(fresh, {1, 2}) == []
