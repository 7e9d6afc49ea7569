"""What the demo's customers ask and what a good assistant answers, by topic. Data only.

Topics are lexically distinct on purpose: a shift from some to another must be visible to a detector that reads words.
`{order}`, `{city}`, `{amount}`, `{serial}` and `{day}` are filled in for each session.
"""

from dataclasses import dataclass

from spanwell.demo.planted import SHIFT_TOPIC


@dataclass(frozen=True)
class Topic:
    """One subject. `keywords` recognise it in a prompt; without `answers`, the assistant does not know it."""

    name: str
    keywords: frozenset[str]
    questions: tuple[str, ...]
    followups: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SUPPORT: tuple[Topic, ...] = (
    Topic(
        "invoices",
        _words("invoice invoices vat charged billing statement receipt receipts tax"),
        (
            "I was charged {amount} euros but my invoice says something else. Which billing statement is right?",
            "Can you send the invoice for {order} again with our VAT number on it?",
            "My accountant needs the receipt of {day}. Where do I download past invoices?",
            "Why is there tax on my billing statement although we are exempt? The amount is {amount} euros.",
        ),
        (
            "And can the invoice go to a second address?",
            "Will the corrected billing statement replace the old receipt?",
            "How long are receipts kept?",
        ),
        (
            "Open Account, then Billing, then Documents: every invoice is listed there as a PDF, with its VAT number.",
            "Two charges on one statement are a reservation and the booking itself; the reservation disappears "
            "within 3 days.",
            "I have changed the billing address on file. The next invoice carries it, and I have sent you a corrected "
            "copy.",
        ),
    ),
    Topic(
        "login",
        _words("password login sign locked authenticator reset verification username"),
        (
            "I reset my password twice and the login page still says it is wrong.",
            "My account is locked since {day} after too many sign in attempts. How do I unlock it?",
            "The authenticator code is never accepted when I sign in from {city}.",
            "I forgot which username I used. Can you send the verification link again?",
        ),
        (
            "The reset mail does not arrive. Is there another way to sign in?",
            "Can I switch the authenticator off for a day?",
            "Does the new password log out my other devices?",
        ),
        (
            "Choose Forgot password on the login page; the link is valid for 30 minutes and works once.",
            "A locked account opens by itself after 15 minutes. You can also unlock it at once with a backup code.",
            "Authenticator codes depend on the clock: set your phone's time to automatic and try again.",
        ),
    ),
    Topic(
        "delivery",
        _words("parcel courier delivery shipped tracking delivered depot carrier"),
        (
            "Where is my parcel {order}? The courier said it would be delivered on {day}.",
            "Tracking for {order} has shown the same depot in {city} for days.",
            "The carrier marked {order} as delivered but no parcel is here in {city}.",
            "Can the delivery of {order} be moved to {day}? Nobody is home before.",
        ),
        (
            "Can the courier leave the parcel with a neighbour?",
            "Which carrier has it and what is the tracking link?",
            "What happens if the depot loses it?",
        ),
        (
            "The parcel left the depot this morning and the courier delivers it between 14:00 and 18:00.",
            "Use the tracking link in your shipping mail: under Change delivery you can pick another day or a locker.",
            "A parcel marked as delivered is usually with a neighbour; if it is not there by tomorrow, we send "
            "another one.",
        ),
    ),
    Topic(
        "returns",
        _words("return returns refund refunded exchange wrong size label"),
        (
            "I want to return the jacket from {order}, the size is wrong. Is an exchange possible?",
            "When will my refund of {amount} euros arrive? I posted the return on {day}.",
            "The return label for {order} does not print.",
            "Can I exchange a gift without the order number and get a refund to my own card?",
        ),
        (
            "Do I pay for the return label?",
            "Can I have the refund as a voucher instead?",
            "Is the exchange sent before my return arrives?",
        ),
        (
            "You have 30 days: open Orders, choose Return, print the label and drop the box at any shop.",
            "Refunds reach your card 3 to 5 working days after the return is scanned in our warehouse.",
            "An exchange is free: pick the right size when you register the return and we send it the same day.",
        ),
    ),
    Topic(
        "plans",
        _words("plan upgrade downgrade subscription seats trial renew cancel annual"),
        (
            "We want to upgrade from the team plan to annual. Do the {amount} unused euros carry over?",
            "How do I cancel the subscription before the trial ends on {day}?",
            "Can I add five seats to our plan for only one month?",
            "What do I lose when I downgrade the subscription?",
        ),
        (
            "Does the annual plan renew by itself?",
            "Can seats be moved between colleagues?",
            "Is there a trial of the larger plan?",
        ),
        (
            "Go to Settings, then Plan: an upgrade starts at once and the unused part of the old plan is credited.",
            "Cancel any time before the renewal date under Settings, Plan, Cancel; you keep access until that date.",
            "Seats are counted by the day, so 5 extra seats for a month appear as one line on the next bill.",
        ),
    ),
    Topic(
        "app errors",
        _words("app crash crashes screen freezes update android iphone button blank"),
        (
            "The app crashes on my iphone whenever I open the camera since the update of {day}.",
            "A blank screen is all I see on android after the last update.",
            "The app freezes when I press the save button. I am in {city} on hotel wifi.",
            "Since the update the button for photos is gone from the start screen.",
        ),
        (
            "I reinstalled the app and the screen still freezes.",
            "Which android version does the update need?",
            "Do I lose my photos if I reinstall the app?",
        ),
        (
            "Close the app, clear its cache under Settings, Apps, Storage, and open it again: your data stays.",
            "Version 4.12.1 repairs this crash and is in the store since this morning; please update and try again.",
            "Send us the report under Help, Report a problem: it holds the log we need, and no photos.",
        ),
    ),
)

RECALL = Topic(
    SHIFT_TOPIC,
    _words("recall recalled battery batteries overheats swollen powerbank lithium serial hazard"),
    (
        "Is my powerbank with serial {serial} part of the battery recall?",
        "The lithium battery of my powerbank is swollen and overheats. Is it safe to keep charging? Serial {serial}.",
        "I read about the recall of overheating batteries. How do I dispose of a recalled powerbank in {city}?",
        "Do you replace recalled batteries bought before {day}? The serial is {serial}.",
    ),
    (
        "Is a swollen lithium battery a fire hazard on a plane?",
        "Which serial numbers are recalled exactly?",
        "Where do I bring the powerbank, given the hazard?",
    ),
)

CODE: tuple[Topic, ...] = (
    Topic(
        "python async",
        _words("asyncio await coroutine gather timeout cancelled semaphore"),
        (
            "Write an asyncio helper that runs coroutines with at most {amount} at once.",
            "Why is my coroutine never awaited when I call gather inside a timeout?",
            "Show how to cancel an asyncio task and wait until it is cancelled.",
        ),
        ("Can it also stop at the first error?", "Add a timeout to it."),
        (
            "Guard each call with a semaphore:\n\n```python\nasync def bounded(limit, *calls):\n"
            "    gate = asyncio.Semaphore(limit)\n\n    async def run(call):\n        async with gate:\n"
            "            return await call()\n\n    return await asyncio.gather(*(run(c) for c in calls))\n```\n\n"
            "`gather` keeps the order of its arguments, so results line up with the calls.",
            "Cancel the task, then await it inside `contextlib.suppress(asyncio.CancelledError)`; without the await it "
            "may still be running its cleanup when you go on.",
        ),
    ),
    Topic(
        "sql",
        _words("sql query index join rows clickhouse group slow"),
        (
            "This SQL query joins two tables and scans {amount} million rows. How do I make it fast?",
            "Give me a ClickHouse query for the p95 latency a minute, group by model.",
            "When does an index on the join column not help?",
        ),
        ("And if the rows are not sorted by time?", "Explain the query plan line by line."),
        (
            "Aggregate before the join and let the primary key prune:\n\n```sql\nSELECT toStartOfMinute(ts) AS minute, "
            "model, quantile(0.95)(duration_ms)\nFROM spans\nWHERE ts >= now() - INTERVAL 1 HOUR\nGROUP BY minute, "
            "model\nORDER BY minute\n```\n\nThe filter on `ts` reads 12 granules instead of 4,096.",
            "Put the column you filter on most at the front of ORDER BY, then check with EXPLAIN indexes = 1.",
        ),
    ),
    Topic(
        "tests",
        _words("pytest fixture test tests mock assert coverage flaky"),
        (
            "Write a pytest fixture that starts a server on a free port and stops it.",
            "My test is flaky because of time. How do I test it without a mock?",
            "Turn these {amount} copied tests into one parametrized pytest test.",
        ),
        ("Should the fixture be module scoped?", "Add a test for the error."),
        (
            "Bind port 0 and hand the socket over:\n\n```python\n@pytest.fixture\ndef server():\n"
            "    with Server(port=0) as running:\n        yield running.url\n```\n\nThe kernel picks the port, so two "
            "runs never collide.",
            "Pass the clock in as an argument. The test then counts 1, 2, 3 and nothing sleeps.",
        ),
    ),
    Topic(
        "types",
        _words("mypy protocol generic typing dataclass annotation overload"),
        (
            "mypy says my dataclass field has an incompatible default. What is the annotation?",
            "When should I use a Protocol instead of a base class?",
            "Type a decorator so that mypy keeps the signature of the wrapped function.",
        ),
        ("Does pyright agree with that typing?", "Show the overload too."),
        (
            "Use ParamSpec:\n\n```python\ndef traced(call: Callable[P, T]) -> Callable[P, T]:\n    @wraps(call)\n"
            "    def inner(*args: P.args, **kwargs: P.kwargs) -> T:\n        return call(*args, **kwargs)\n\n"
            "    return inner\n```\n\nBoth mypy and pyright keep the signature.",
            "A Protocol where two real implementations exist, a plain function everywhere else.",
        ),
    ),
)

FAQ: tuple[str, ...] = (
    "What are your opening hours?",
    "Do you ship to Switzerland?",
    "How long is the warranty?",
    "Is there a student discount?",
    "Which cards can I pay with?",
    "Where is your nearest shop?",
    "Do you offer gift wrapping?",
    "How can I reach a person?",
)

FAQ_ANSWERS: tuple[str, ...] = (
    "Our shops are open Monday to Saturday from 9:00 to 20:00, and the chat answers every day until 22:00.",
    "Yes. We ship to 31 countries, Switzerland among them; delivery takes 3 to 5 working days and costs 7.90 euros.",
    "Every product has a warranty of 24 months; keep the receipt, or find it in your account.",
    "Students save 10 percent all year: verify once under Account, Discounts.",
    "We take Visa, Mastercard, American Express, SEPA debit and PayPal.",
    "Open the map at /shops and allow your location: the nearest shop is at the top, with its opening hours.",
    "Yes, for 3.50 euros a parcel: choose it in the last step before you pay, and add a card with up to 200 letters.",
    "Write the word agent in this chat, or call 0800 123 456 between 8:00 and 20:00.",
)

DOCUMENTS: tuple[tuple[str, str], ...] = (
    (
        "spool",
        "The collector appends every accepted batch to a spool on disk before it answers. A group of requests shares "
        "one fsync, so the cost of safety is paid once for many. After a crash the spool is read again, and the "
        "segment's name serves as a token that keeps an insert from counting twice.",
    ),
    (
        "limits",
        "A key carries a budget in dollars an hour and a limit of requests a minute. The proxy reserves the largest "
        "possible cost before it calls a model and settles the difference afterwards. A key over its budget gets an "
        "answer with status 429 and the time at which the window resets.",
    ),
    (
        "routing",
        "A model name may have several deployments with weights. The router draws one by weight, skips those whose "
        "breaker is open, and retries another when the first fails before its first token. Fallbacks name the models "
        "to ask when every deployment has failed.",
    ),
    (
        "caching",
        "The exact cache keys on the whole request, the model and the caller's team. An answer is served again until "
        "its time to live ends. Streams are recorded as they pass and replayed chunk by chunk. A request can leave "
        "the cache out with one header.",
    ),
    (
        "scores",
        "A score belongs to a trace or to one of its spans. Users, people who label, code and judges all write "
        "scores, and each keeps its source. A judge reads a rubric and answers with a label and a reason; its own "
        "calls are marked so that they are neither judged nor billed.",
    ),
    (
        "alerts",
        "A rule compares a metric over a window with a threshold. It must hold for some seconds before the alert "
        "fires, and a second, lower threshold decides when it recovers. Every change is posted to a receiver with a "
        "signature that the receiver can verify.",
    ),
)

DOCS_QUESTIONS: tuple[tuple[str, str], ...] = (
    ("spool", "What happens to accepted batches when the collector crashes?"),
    ("limits", "Why does my key get status 429 although the budget is not used up?"),
    ("routing", "How does the router choose between two deployments of one model?"),
    ("caching", "How long is a cached answer served, and can a request skip it?"),
    ("scores", "Who can write scores, and are judges billed to the user?"),
    ("alerts", "How do I keep an alert from flapping around its threshold?"),
)
