from collections import Counter

from spanwell_proxy.routing.prefix import hash_text, prefix_key, rank


def ask(*texts: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def test_questions_after_the_same_long_document_share_a_key() -> None:
    document = "All about foxes. " * 1000

    assert prefix_key(ask(document + "Do they sleep?")) == prefix_key(ask(document + "Do they swim?"))


def test_other_documents_and_models_have_other_keys() -> None:
    keys = {prefix_key(each) for each in (ask("a" * 3000), ask("b" * 3000), ask("a" * 3000) | {"model": "owl"})}

    assert len(keys) == 3


def test_weights_share_the_keys() -> None:
    names = {"a": 1.0, "b": 3.0}
    owners = Counter(
        max(names, key=lambda name: rank(hash_text(f"key {number}"), hash_text(name), names[name]))
        for number in range(4000)
    )

    assert 0.7 < owners["b"] / 4000 < 0.8


def test_a_deployment_that_leaves_moves_its_own_keys_alone() -> None:
    names = [hash_text(name) for name in "abcd"]
    keys = [hash_text(f"key {number}") for number in range(500)]
    before = [max(names, key=lambda name, key=key: rank(key, name, 1.0)) for key in keys]  # type: ignore[misc]
    after = [max(names[:3], key=lambda name, key=key: rank(key, name, 1.0)) for key in keys]  # type: ignore[misc]

    assert all(old == new for old, new in zip(before, after, strict=True) if old != names[3])
