"""What was flattened into names is put together again, whatever the names are."""

from typing import Any

from spanwell_collector.dialects.flattened import take_trees, unwrap

ROOT = "llm.input_messages."


def test_a_list_is_put_together_in_the_order_of_its_numbers() -> None:
    attributes: dict[str, Any] = {f"{ROOT}{index}.message.content": f"text {index}" for index in (10, 2, 0)}

    tree = take_trees(attributes | {"other": 1}, (ROOT,))[ROOT]

    assert unwrap(tree, "message") == [{"content": f"text {index}"} for index in (0, 2, 10)]


def test_what_is_put_together_is_taken_out() -> None:
    attributes: dict[str, Any] = {
        f"{ROOT}0.message.role": "user",
        "gen_ai.prompt.name": "greet",
        "gen_ai.prompt.0.role": "user",
    }

    trees = take_trees(attributes, (ROOT, "gen_ai.prompt."))

    assert attributes == {"gen_ai.prompt.name": "greet"}
    assert trees["gen_ai.prompt."] == [{"role": "user"}]


def test_a_large_number_makes_no_long_list() -> None:
    tree = take_trees({f"{ROOT}999999999.message.role": "user"}, (ROOT,))[ROOT]

    assert tree == [{"message": {"role": "user"}}]


def test_a_leaf_where_a_branch_must_be_makes_room() -> None:
    attributes: dict[str, Any] = {f"{ROOT}0": "leaf", f"{ROOT}0.message": "leaf", f"{ROOT}0.message.role": "user"}

    assert take_trees(attributes, (ROOT,))[ROOT] == [{"message": {"role": "user"}}]


def test_a_path_of_a_thousand_steps_ends() -> None:
    tree = take_trees({ROOT + ".".join(["0"] * 1000): "x", f"{ROOT}1.": "y"}, (ROOT,))[ROOT]

    assert len(tree) == 2


def test_items_that_are_nothing_like_it_are_left_out() -> None:
    assert unwrap([{"message": {"role": "user"}}, {"message": 7}, 3, {}], "message") == [{"role": "user"}]
    assert unwrap({"a": 1}, "message") == []
