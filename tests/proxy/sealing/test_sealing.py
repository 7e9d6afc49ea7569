"""A sealed text is read with its key alone, and whoever erases the key erases the text."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_proxy.sealing.__main__ import main
from spanwell_proxy.sealing.box import UnsealError, seal, unseal
from spanwell_proxy.sealing.keeping import SHOWN, open_keeping, unseal_all, users_path
from spanwell_proxy.sealing.project import ProjectKey, erase_key, find_key, key_path, make_key, read_key
from spanwell_proxy.sealing.users import UserKeys

KEY, OTHER, ID = bytes(32), bytes(31) + b"1", b"12345678"
ASKED = json.dumps([{"role": "user", "parts": [{"type": "text", "content": 'Where is "Anna"?\n' * 40}]}])


@given(st.text(max_size=2000))
def test_any_text_comes_back(text: str) -> None:
    assert unseal(seal(text, ID, KEY), KEY) == text


def test_the_same_text_is_never_sealed_alike() -> None:
    assert seal("text", ID, KEY) != seal("text", ID, KEY)


def test_another_key_or_a_changed_text_is_told() -> None:
    token = seal("text", ID, KEY)
    changed = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]

    for tried, key in ((token, OTHER), (changed, KEY), ("enc1:short", KEY), ("enc1:%%%", KEY)):
        with pytest.raises(UnsealError):
            unseal(tried, key)


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)

    first, second = find_key(settings), find_key(settings)

    assert first == second
    assert stat.S_IMODE(key_path(settings).stat().st_mode) == 0o600
    assert [path.name for path in key_path(settings).parent.iterdir()] == ["project.key"]
    assert make_key(key_path(settings)) == first


@pytest.mark.parametrize("content", ["", "not base64!", "c2hvcnQ="])
def test_what_is_no_key_is_told_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "project.key"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError, match="this is no key") as caught:
        read_key(path)

    assert not content or content not in str(caught.value)


def test_a_named_key_file_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keygen"):
        find_key(Settings(data=tmp_path, key_file=tmp_path / "missing.key"))


@pytest.mark.parametrize("how", ["project", "user"])
def test_messages_are_stored_sealed_and_read_again(tmp_path: Path, how: str) -> None:
    settings = Settings(data=tmp_path, seal_texts=how)  # type: ignore[arg-type]
    keep = open_keeping(settings)
    assert keep

    stored = keep(ASKED, "anna")
    project = find_key(settings)
    users = UserKeys(users_path(settings), project) if how == "user" else None
    line, lost = unseal_all(json.dumps({"input": stored}), project, users)

    assert json.loads(stored)[0]["parts"][0]["content"] == SHOWN
    assert "Anna" not in stored
    assert json.loads(json.loads(line)["input"]) == json.loads(ASKED)
    assert lost == 0


def test_an_erased_key_takes_its_texts_along_and_nobody_elses(tmp_path: Path) -> None:
    project = ProjectKey(KEY)
    users = UserKeys(tmp_path / "users.db", project)
    tokens = {user: seal(f"of {user}", *users.find(user)) for user in ("anna", "bob")}

    erased = users.erase("anna"), users.erase("anna")
    line, lost = unseal_all(f"{tokens['anna']} {tokens['bob']}", project, users)

    assert erased == (True, False)
    assert (line, lost) == (f"{tokens['anna']} of bob", 1)
    assert seal("new", *users.find("anna"))[:16] != tokens["anna"][:16]


@pytest.mark.parametrize(
    "said",
    [
        '{"a":' * 900 + '"enc1:x"' + "}" * 900,
        '[{"role":"encrypted","parts":[{"type":"encrypted","sealed":"no enc1:"}]}]',
        '[{"role":"encrypted","parts":[{"type":"encrypted","sealed":{"enc1:":1}}]}]',
    ],
)
def test_what_only_looks_sealed_does_not_stop_the_reading(said: str) -> None:
    project = ProjectKey(KEY)
    token = seal("of anna", project.id, project.derive("texts"))

    line, lost = unseal_all(json.dumps({"said": said, "sealed": token}), project, None)

    assert json.loads(line)["sealed"] == "of anna"
    assert lost == 0


def test_an_erased_project_key_is_overwritten_where_it_stands(tmp_path: Path) -> None:
    path, other_name = tmp_path / "project.key", tmp_path / "same.key"
    make_key(path)
    other_name.hardlink_to(path)

    erase_key(path)

    assert not path.exists()
    assert set(other_name.read_bytes()) == {0}


def test_the_file_of_keys_alone_tells_nothing(tmp_path: Path) -> None:
    users = UserKeys(tmp_path / "users.db", ProjectKey(KEY))
    secret = users.find("anna@example.com").secret
    users.close()

    data = (tmp_path / "users.db").read_bytes()

    assert b"anna" not in data
    assert secret not in data
    assert secret.hex().encode() not in data
    with pytest.raises(UnsealError):
        UserKeys(tmp_path / "users.db", ProjectKey(OTHER)).find("anna@example.com") and UserKeys(
            tmp_path / "users.db", ProjectKey(OTHER)
        ).find_by_id(ID)


def test_without_texts_nothing_is_kept() -> None:
    assert open_keeping(Settings(capture_content=False)) is None


@pytest.mark.parametrize(("mask", "left"), [("off", 2), ("secrets", 1), ("pii", 0)])
def test_texts_are_masked_as_is_asked_for(mask: str, left: int) -> None:
    keep = open_keeping(Settings(mask=mask))  # type: ignore[arg-type]
    assert keep

    text = keep('["sk-abcdefgh01234567", "anna@example.com"]', "")

    assert ("sk-" in text) + ("anna@" in text) == left


def test_the_command_makes_decrypts_and_erases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANWELL_DATA", str(tmp_path))
    settings = Settings(data=tmp_path, seal_texts="user")
    made, again = main(["keygen"]), main(["keygen"])
    keep = open_keeping(settings)
    assert keep
    export = tmp_path / "export.jsonl"
    export.write_text(keep(ASKED, "anna") + "\n" + keep(ASKED, "") + "\n", encoding="utf-8")
    capsys.readouterr()

    read = main(["decrypt", str(export)])
    shown = capsys.readouterr().out
    erased = main(["erase-key", "anna"])
    partly = main(["decrypt", str(export)])

    assert (made, again, read, erased, partly) == (0, 2, 0, 0, 1)
    assert shown.count("Anna") == 80
    assert capsys.readouterr().out.count("Anna") == 40
    assert main(["erase-key", "--project"]) == 0
    assert main(["decrypt", str(export)]) == 2
