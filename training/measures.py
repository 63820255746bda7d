"""What can be counted in a reply, and how sure a share of replies is."""

import random
import re

# Words that carry no topic.
COMMON = set(
    "a an and are as at be been but by can did do does for from had has have he her him his how i if in into is it its just like "
    "me my no not of on or our out she so some that the their them then there they this to too up us was we were what when where "
    "which who why will with would you your im its dont thats u ur really very one get got all about more than now day time good "
    "know think want make going go well oh yeah ok".split()
)
COMFORT = re.compile(
    r"\b(sorry|hurts?|heavy|hard|rough|tough|awful|painful|unfair|lonely|miss|ache|aches|sad|scared|scary|angry|tired|exhaust\w*|"
    r"cruel|loss|grief|stings?|horrible|terrible|rotten|no wonder|makes sense|with you|listening|breathe|gentle)\b", re.I
)
LEAK = re.compile(r"<\|im_|###|\b(Person|User|Assistant|Instruction|You):|\{[a-z_]+\}|What you know about", re.I)


def content(text: str) -> set:
    """The stems of the words that carry a topic."""
    return {word[:5] for word in re.findall(r"[a-z']{3,}", text.lower()) if word not in COMMON}


def on_topic(reply: str, said: str) -> bool:
    """Whether a reply takes up a word of what was said."""
    return bool(content(reply) & content(said))


def comforts(reply: str, scores: dict) -> bool:
    """Whether a reply to a sad message answers the feeling: in words of comfort, and not in joy."""
    return bool(COMFORT.search(reply)) and scores["joy"] < 0.5


def holds(reply: str, expected: list) -> bool:
    """Whether one of the expected words stands in a reply."""
    return any(re.search(rf"\b{re.escape(word.lower())}", reply.lower()) for word in expected)


def words(reply: str) -> int:
    return len(reply.split())


def leaks(reply: str) -> bool:
    """Whether a piece of the prompt's form shows."""
    return bool(LEAK.search(reply))


def share(hits: list, draws: int = 1000) -> tuple:
    """(mean, low, high): the 95% interval by bootstrap, seeded."""
    if not hits:
        return (float("nan"),) * 3
    rng, count = random.Random(0), len(hits)
    means = sorted(sum(rng.choices(hits, k=count)) / count for _ in range(draws))
    return sum(hits) / count, means[int(draws * 0.025)], means[int(draws * 0.975)]
