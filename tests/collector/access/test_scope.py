"""A token of one project, asked and told through a real collector."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import PROTOBUF, poll
from tests.services import Service, start_collector

ROOT = {"authorization": "Bearer token-1"}


class Door:
    """A collector with a root token, two projects, and a way to make tokens."""

    def __init__(self, service: Service, http: httpx.Client) -> None:
        self.service = service
        self.http = http

    def make(self, role: str, project: str = "*", headers: dict[str, str] = ROOT) -> httpx.Response:
        wanted = {"name": f"{role} of {project}", "role": role, "project": project}
        return self.http.post("/api/v1/tokens", json=wanted, headers=headers)

    def bearer(self, role: str, project: str = "*") -> dict[str, str]:
        return {"authorization": f"Bearer {self.make(role, project).json()['secret']}"}

    def send(self, batch: Any, headers: dict[str, str]) -> int:
        body = batch.SerializeToString()
        return self.http.post("/v1/traces", content=body, headers=PROTOBUF | headers).status_code

    def count(self, project: str) -> int:
        rows = self.http.get("/api/v1/traces", params={"project": project}, headers=ROOT).json()["rows"]
        return sum(row["spans"] for row in rows)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    service = start_collector(tmp_path_factory.mktemp("door"), {"SPANWELL_API_TOKEN": "token-1"})
    with httpx.Client(base_url=service.settings.collector_url, timeout=30) as http:
        door = Door(service, http)
        door.send(make_batch([SpanIn(0xB1, attributes=call())], {"spanwell.project": "bank"}), ROOT)
        door.send(make_batch([SpanIn(0x51, attributes=call())], {"spanwell.project": "shop"}), ROOT)
        door.send(make_batch([SpanIn(0xD1, attributes={**call(), "user.id": "alice"})]), ROOT)
        poll(lambda: sum(map(door.count, ("bank", "shop", "default"))), lambda spans: spans == 3)
        yield door
    assert service.stop() == 0


def test_what_a_key_of_one_project_sends_is_of_that_project(door: Door) -> None:
    key = door.bearer("ingest", "till")
    elsewhere = {"spanwell.project": "bank"}

    assert door.send(make_batch([SpanIn(0x71, attributes={**call(), **elsewhere})], elsewhere), key) == 200

    assert poll(lambda: door.count("till"), lambda spans: spans == 1) == 1
    assert door.count("bank") == 1


def test_a_key_sends_and_reads_nothing(door: Door) -> None:
    key = door.bearer("ingest")

    assert door.send(make_batch([SpanIn(0x72)], {"spanwell.project": "late"}), key) == 200
    assert door.http.get("/api/v1/overview", headers=key).status_code == 403
    assert door.http.get("/metrics", headers=key).status_code == 403


def test_a_reader_sends_nothing(door: Door) -> None:
    assert door.send(make_batch([SpanIn(0x73)]), door.bearer("viewer")) == 403


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ("traces", 200),
        ("traces?project=shop", 200),
        ("traces?project=bank", 403),
        ("traces?project=shop&project=bank", 403),
        ("traces?project=", 403),
        (f"traces/{0x51:032x}", 200),
        (f"traces/{0xB1:032x}", 404),
        (f"traces/{0xB1:032x}?project=bank", 403),
        ("scores", 200),
        ("scores?project=bank", 403),
        ("compare?metric=requests&a.project=bank", 403),
        ("compare?metric=requests&b.project=bank", 403),
        ("traces?attribute.project=bank", 200),
        ("retention", 403),
        ("catalog", 200),
        ("tokens", 403),
    ],
)
def test_a_reader_of_one_project_reads_no_other(door: Door, question: str, status: int) -> None:
    viewer = door.bearer("viewer", "shop")

    assert door.http.get(f"/api/v1/{question}", headers=viewer).status_code == status


def test_a_question_that_takes_no_project_is_not_for_a_reader_of_one(door: Door) -> None:
    paths = door.http.get("/openapi.json", headers=ROOT).json()["paths"]
    viewer = door.bearer("viewer", "shop")
    unbound = [
        path
        for path, actions in paths.items()
        if path.startswith("/api/v1/")
        and "{" not in path
        and "get" in actions
        and "project" not in [each["name"] for each in actions["get"].get("parameters", [])]
    ]

    answers = {path: door.http.get(path, headers=viewer).status_code for path in unbound}

    assert answers.pop("/api/v1/catalog") == 200
    assert set(answers.values()) == {403}


def test_a_question_that_names_no_project_is_about_the_tokens_own(door: Door) -> None:
    rows = door.http.get("/api/v1/traces", headers=door.bearer("viewer", "bank")).json()["rows"]

    assert [row["trace_id"] for row in rows] == [f"{0xB1:032x}"]


@pytest.mark.parametrize("parameter", ["attribute.project!=shop", "attribute.project_id!=shop"])
def test_a_parameter_that_looks_like_a_project_names_none(door: Door, parameter: str) -> None:
    rows = door.http.get(f"/api/v1/traces?{parameter}", headers=door.bearer("viewer", "shop")).json()["rows"]

    assert [row["trace_id"] for row in rows] == [f"{0x51:032x}"]


def test_the_other_side_of_a_comparison_is_of_the_tokens_project_too(door: Door) -> None:
    viewer = door.bearer("viewer", "till2")

    (row,) = door.http.get("/api/v1/compare?metric=requests&a.project=till2", headers=viewer).json()["rows"]

    assert (row["a"], row["b"]) == (0, 0)


def test_an_administrator_of_one_project_forgets_in_no_other(door: Door) -> None:
    path = "/api/v1/users/alice?projects=shop&dry_run=true"

    found = [
        door.http.delete(path, headers=headers).json()["rows"]["spans"]
        for headers in (door.bearer("admin", "shop"), ROOT)
    ]

    assert found == [0, 1]


@pytest.mark.parametrize(("project", "status"), [({"project": "shop"}, 201), ({"project": "bank"}, 403), ({}, 403)])
def test_an_editor_of_one_project_scores_no_other(door: Door, project: dict[str, str], status: int) -> None:
    score = {"trace_id": f"{1:032x}", "name": "good", "value": 1, "source": "user", **project}
    editor = door.bearer("editor", "shop")

    assert door.http.post("/api/v1/scores", json=score, headers=editor).status_code == status
    assert door.http.post("/api/v1/scores", json=[score], headers=editor).status_code == status


def test_what_is_no_json_is_refused_and_nothing_worse(door: Door) -> None:
    editor = door.bearer("editor", "shop")

    reply = door.http.post("/api/v1/scores", content=b"\xff{", headers={**editor, "content-type": "text/plain"})

    assert reply.status_code == 403


@pytest.mark.parametrize("project", ["*", "shop"])
def test_more_than_anybody_would_post_is_not_read(door: Door, project: str) -> None:
    headers = {**door.bearer("editor", project), "content-type": "application/json"}

    reply = door.http.post("/api/v1/scores", content=b'["' + b"x" * (9 << 20) + b'"]', headers=headers)

    assert reply.status_code == 413
    assert reply.json()["error"]["message"] == "the request is larger than 8388608 bytes"


def test_the_sql_door_is_for_readers_of_all_projects(door: Door) -> None:
    address = f"http://127.0.0.1:{door.service.settings.sql_port}/?query=SELECT+1"

    replies = [door.http.get(address, headers=headers) for headers in (door.bearer("viewer"), door.bearer("ingest"))]
    replies.append(door.http.get(address, headers=door.bearer("viewer", "shop")))

    assert [reply.status_code for reply in replies] == [200, 403, 403]


def test_an_administrator_of_one_project_hands_out_no_more_than_that(door: Door) -> None:
    admin = door.bearer("admin", "shop")
    other = door.make("viewer", "bank").json()["id"]

    assert door.make("viewer", "shop", admin).status_code == 201
    assert door.make("viewer", "bank", admin).status_code == 403
    assert door.make("viewer", "*", admin).status_code == 403
    assert door.http.delete(f"/api/v1/tokens/{other}", headers=admin).status_code == 404
    assert {row["project"] for row in door.http.get("/api/v1/tokens", headers=admin).json()["rows"]} == {"shop"}
    assert door.http.get("/api/v1/tokens/audit", headers=admin).status_code == 403


@pytest.mark.parametrize("name", ["", "\x1b[2J", "two\nlines", "x" * 201])
def test_a_name_that_cannot_be_shown_is_refused(door: Door, name: str) -> None:
    reply = door.http.post("/api/v1/tokens", json={"name": name, "role": "viewer"}, headers=ROOT)

    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "name")


def test_a_token_is_blocked_rotated_and_deleted(door: Door) -> None:
    made = door.make("viewer").json()
    path, old = f"/api/v1/tokens/{made['id']}", {"x-api-key": made["secret"]}

    statuses = [door.http.get("/api/v1/catalog", headers=old).status_code]
    for action in ("block", "unblock", "rotate"):
        answer = door.http.post(f"{path}/{action}", headers=ROOT).json()
        statuses.append(door.http.get("/api/v1/catalog", headers=old).status_code)
    new = {"x-api-key": answer["secret"]}
    statuses.append(door.http.get("/api/v1/catalog", headers=new).status_code)
    door.http.delete(path, headers=ROOT)
    statuses.append(door.http.get("/api/v1/catalog", headers=new).status_code)

    assert statuses == [200, 401, 200, 401, 200, 401]


def test_no_token_is_made_while_nobody_could_undo_it(collector: Any) -> None:
    reply = collector.http.post("/api/v1/tokens", json={"name": "app", "role": "viewer"})

    assert reply.status_code == 409
    assert "set SPANWELL_API_TOKEN first" in reply.json()["error"]["message"]
