"""Synthetic sessions: each keeps to one topic, as real ones do, so that its prompts are anything but independent."""

from random import Random
from typing import Final

from spanwell_collector.worker.drift import Prompt

TOPICS: Final = {
    "billing": (
        "invoice charge refund payment card coupon balance receipt",
        "Why was my {} {} wrong?|Send the {} for my {}",
    ),
    "login": (
        "password account code token session browser lockout phone",
        "The {} {} never arrives|Reset my {} and {}",
    ),
    "sql": (
        "table join index query column partition view schema",
        "Write a {} over a {}|Why is my {} without {} slow?",
    ),
    "travel": (
        "flight hotel visa airport luggage train ticket beach",
        "Find a {} near the {}|Is the {} part of my {}?",
    ),
    "health": (
        "sleep diet fever vitamin doctor stress therapy blood",
        "What helps with {} after {}?|Is {} good for {}?",
    ),
    "ops": (
        "cluster pod alert node memory disk latency rollback",
        "The {} restarts after each {}|How do I scale {} and {}?",
    ),
}
RECALL: Final = (
    "powerbank lithium recall hazard serial swollen charger",
    "Is my {} part of the {}?|My {} looks {}, what now?",
)


def deal_sessions(seed: int, count: int, new_topic_share: float = 0.0) -> list[Prompt]:
    """Prompts of `count` sessions, three a session on average and twenty at most, in bursts."""
    random = Random(seed)
    topics = list(TOPICS.values())
    prompts = []
    for number in range(count):
        words, templates = RECALL if random.random() < new_topic_share else random.choice(topics)
        for _ in range(min(20, 1 + int(random.expovariate(1 / 3)))):
            template = random.choice(templates.split("|"))
            prompts.append(Prompt(f"{seed}-{number}", template.format(*random.sample(words.split(), 2))))
    return prompts
