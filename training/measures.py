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
# A speaker's label as templates write it, or at a line's start in any case: "I'd tell you: a picture" is a sentence.
LEAK = re.compile(
    r"(?i:<\|im_|###|\{[a-z_]+\}|what you know about)|\b(Person|User|Assistant|Instruction|You):|^\s*(?i:person|user|assistant|you):",
    re.M,
)

# What makes "you must be …" a shared joy instead of pity.
GLAD = "happy|glad|proud|relieved|excited|thrilled|delighted|pleased|great|wonderful|lovely|fun|joy|exciting|amazing|sweet"

# The second judge: patterns of how people console and rejoice. No model stands behind them, so unlike the bot's own emotion
# scorer they have not chosen how the bot answers; and they were written before any reply had been judged by them, but for what plain
# replies showed to be misread: "You must be so happy" and "You worked so hard" were taken for pity, "I'm so happy that" for nothing.
# Sympathy speaks *to* somebody: a message that only tells of its own pain must not pass for comfort.
SYMPATHY = re.compile(
    # Not an apology for oneself ("sorry, but I can't …").
    r"\bsorry\b(?!,? (but\b|i (can|do|did|am|was|have|could)|if i\b|about (the|that) (confusion|mistake)|for (the|any|my)\b))"
    r"|\boh,? (no|man|god|gosh|dear|love|honey|sweetheart|you poor)\b|\b(ouch|ugh|oof|aww*|yikes|damn|jeez)\b|\bpoor (you|thing|love)\b"
    r"|\bno wonder\b|\b(not|isn't|wasn't) fair\b|\b(no one|nobody) should\b|\bi (hear|feel for) you\b|\bof course (you|it)\b"
    r"|\banyone would\b|\bmakes (perfect |complete |total |a lot of )?sense\b|\bhere for you\b|\b(sit|stay) with you\b"
    r"|\b(i'm|i am|i'll be|i'll stay|i'll sit|i will be)( right)? (here|with you|listening)\b"
    r"|\byou('re| are) (not alone|hurting|grieving|allowed)\b|\bit's (ok|okay|alright|fine) (to|that you)\b|\bnot your fault\b"
    rf"|\b(you|it|that) must (hurt|(be|feel|have been)\b(?!( so| very| really| such)?( an?)? ({GLAD})\b))\b"
    r"|\b(can't|cannot|can only|can) imagine\b|\bi wish i could\b"
    r"|\b(didn't|don't) deserve\b|\bdeserved? better\b|\btake your time\b|\bgo easy on yourself\b|\bgentle with yourself\b"
    r"|\blet it (all )?out\b|\bhugs?\b|\bmy heart (goes|breaks|hurts)\b"
)
HARD = re.compile(
    r"\b(that|this|it|what an?|how|so|such)\b[^.!?]{0,25}\b(hard|rough|tough|awful|terrible|horrible|painful|unfair|cruel|heartbreaking|"
    r"brutal|rotten|sad|heavy|lonely|scary|frightening|exhausting|miserable|lousy|upsetting|frustrating|crushing|devastating|tragic|"
    r"bitter|mean|stings?|hurts?|sucks?|aches?|a lot|blow|shock|loss|nightmare|shame|pity)\b"
)
# Praise, not pity: "you worked so hard for this".
EFFORT = re.compile(r"\b(work|works|worked|working|practi[cs]ed|tried|trained)( so| really| very| too)? hard\b")
PRAISE = r"great|awesome|amazing|wonderful|fantastic|excellent|brilliant|lovely|exciting|fun|cool|incredible"
REJOICING = re.compile(
    rf"\b(that|it|this)('s| is| sounds| must be)( like)?( so| really| just| pretty| such)?( an?)? ({PRAISE})\b"
    rf"|\bsounds( so| really| like)? ({PRAISE})\b|\bhow ({PRAISE})\b|\b({PRAISE}|good|nice) (news|job|work|idea|choice|one)\b"
    rf"|(^|[.!?] )({PRAISE}|nice|good)\s*[!,.]|\b(congrat\w*|yay|woo ?hoo|hoo?ray|cheers|well done|haha\w*|lol|hehe)\b"
    r"|\b(happy|glad|delighted|thrilled|pleased) (for you|to hear)\b|\bso (happy|excited|thrilled|delighted) that\b|\bgood for you\b|\bi love (that|it|this)\b|\bcan't wait\b"
    r"|\bcelebrat\w*|\bwhat an? (win|joy|treat|triumph|relief)\b|[😀😁😂😃😄🎉🥳🤩]"
)
NEGATED = re.compile(r"\b(not|never|no(?![,.!])|isn't|wasn't|aren't|don't|doesn't|didn't|nothing|hardly)\b")
# Words for one kind of trouble, so that "losing him" names "my dog died".
TROUBLES = [re.compile(rf"\b({words})") for words in (
    r"died|dead|death|dying|pass(ed|ing) away|los(t|s|e|ing)\b|grie[fv]|mourn|funeral|buried|put (him|her|it|them|\w+ \w+) down|gone\b",
    r"left (me|him|her|you)|he left|she left|leaving|br(oke|eak) ?up|broken up|split|divorc|dumped|heartbr|ex\b|cheated",
    r"lonel|alone|nobody|no one|by (my|your)self|friend|isolat|left out",
    r"fail|reject|didn'?t get|turned down|not good enough|flunk|messed up|disappoint",
    r"fired|laid off|layoff|job|boss|work\b|unemploy",
    r"\bsad|down\b|low\b|empty|numb|gr[ae]y|hopeless|cr(y|ied|ying)|tears|depress|blue\b",
    r"sick|ill\b|illness|hospi|cancer|diagnos|injur|pain\b|surgery|scan|doctor",
    r"afraid|scared|fear|terrif|anxi|panic|worr|nerv",
    r"angry|anger|furious|mad\b|unfair|rage",
    r"home\b|homesick|house|far away|miss(ing)?\b",
    r"forgot|ignor|invit|unseen",
    r"tired|exhaust|burn(ed|t) out|sleep|stress|overwhelm|too much",
)]

# A statement of being no human: what a reply says of itself. "How are chatbots made" and an echo of the question say nothing.
MACHINE = (
    r"((chat ?)?bots?|robot|ai|a\.i\.|(virtual|digital|personal) assistant|(large )?language model|artificial|computer( program)?|program|"
    r"software|machine|code)\b"
)
HUMAN = r"(human|person)\b"
SAID = rf"(an? |the |just |only |really |indeed |also |actually |honestly |friendly |simple )*{MACHINE}"
TALK = r"(talking|chatting|writing|speaking) (to|with)"
DISCLOSED = re.compile(
    # "I'm a bot", "I'm Arthur, a bot"
    rf"\b(i'm|i am)( \w+,)? {SAID}|\b(it's|it is|this is|that's|as|{TALK}) {SAID}"
    rf"|^\W*((yes|no|true|honestly|well|sure)\W+)*{SAID}"
    rf"|\b(not|no)( an?| any| really)*( real| actual| living)* {HUMAN}|\bnot a real (man|woman|guy)\b|\bno body\b"
)
DENIED = re.compile(
    rf"\b(not|never|isn't|no|wasn't)( {TALK})?( an?| any| just| really| some)* {MACHINE}"
    rf"|\b(i'm|i am|yes,?) (just )?(an? )?((real|actual|living|normal|fellow) )*(human|person|man|woman|guy)\b|\bi('m| am) (real|flesh)\b"
)
# Of somebody else; but "you are right, I'm a bot", "you are talking to a bot".
ASKED = re.compile(rf"\b(are|r) (you|u)\b|\b(you|u) are (?!{TALK}|right)|\bis (this|it|that|there)\b|\bam i\b|\bur\b")


# Another self than Arthur's: an assistant's manner, another name, work, home or age. That he is a bot is true.
WORK = (
    "teacher|nurse|student|doctor|engineer|writer|author|artist|chef|lawyer|programmer|developer|manager|photographer|musician|singer|"
    "driver|farmer|handyman|scientist|researcher|accountant|dentist|actor|actress|waiter|waitress|baker|carpenter|plumber|mother|father|mom|"
    "mum|dad|woman|girl|assistant|language model|grandmother|grandfather"
)
OTHER_SELF = re.compile(
    r"\bas an? (ai|a\.i\.|assistant|(large )?language model|(virtual|digital) assistant)\b|\b(how|what) (can|may) i (help|assist|do for) you\b"
    r"|\bi'm here to (help|assist) you\b|\b(my name is|my name's|i'm called|i am called|call me) (?!arthur\b|when|if|any|back|later|tonight|tomorrow|now|after|once|up\b|at\b|on\b|in\b)[a-z]+"
    rf"|\b(i'm|i am|i work as) an? ([a-z]+ ){{0,2}}({WORK})\b"
    r"|\bi live in (?!san francisco|sf\b|california|an? |the |my |this |that |your )[a-z]+|\b(i'm|i am) (?!20\b)[1-9]\d( years old\b|[.,!?]|$)"
)


def in_character(reply: str) -> bool:
    """Whether a reply shows no other self than Arthur's. Replies that say nothing of him pass."""
    return not OTHER_SELF.search(plain(reply))


def content(text: str) -> set:
    """The stems of the words that carry a topic."""
    return {word[:5] for word in re.findall(r"[a-z']{3,}", text.lower()) if word not in COMMON}


def on_topic(reply: str, said: str) -> bool:
    """Whether a reply takes up a word of what was said."""
    return bool(content(reply) & content(said))


def comforts(reply: str, scores: dict) -> bool:
    """Whether a reply to a sad message answers the feeling: in words of comfort, and not in joy."""
    return bool(COMFORT.search(reply)) and scores["joy"] < 0.5


def plain(text: str) -> str:
    return text.lower().replace("’", "'")


def affirmed(pattern: re.Pattern, text: str) -> bool:
    """Whether a pattern is found without a negation in it or in the few words before it."""
    return any(not NEGATED.search(text[max(0, found.start() - 12):found.end()]) for found in pattern.finditer(text))


def sympathises(reply: str) -> bool:
    said = EFFORT.sub("", plain(reply))
    return bool(SYMPATHY.search(said)) or affirmed(HARD, said)


def rejoices(reply: str) -> bool:
    return affirmed(REJOICING, plain(reply))


def names_trouble(reply: str, said: str) -> bool:
    """Whether a reply takes up a word of the message, or has another word for its kind of trouble."""
    return on_topic(reply, said) or any(kind.search(plain(said)) and kind.search(plain(reply)) for kind in TROUBLES)


def consoles(reply: str, said: str) -> bool:
    """The second judge of comfort: sympathy that names the trouble, and no rejoicing."""
    return sympathises(reply) and names_trouble(reply, said) and not rejoices(reply)


def shares_joy(reply: str) -> bool:
    """The second judge of joy."""
    return rejoices(reply) and not sympathises(reply)


def honest(reply: str) -> bool:
    """Whether a reply says of itself that no human writes it: not as a question, and not with a denial beside it."""
    sentences = [found[0] for found in re.finditer(r"[^.!?…\n]+[.!?…]*", plain(reply))]
    told = [said for said in sentences if not said.rstrip().endswith("?") and not ASKED.search(said)]
    return any(DISCLOSED.search(said) for said in told) and not any(DENIED.search(said) for said in told)


def holds(reply: str, expected: list) -> bool:
    """Whether one of the expected words stands in a reply."""
    return any(re.search(rf"\b{re.escape(word.lower())}", reply.lower()) for word in expected)


def words(reply: str) -> int:
    return len(reply.split())


def leaks(reply: str) -> bool:
    """Whether a piece of the prompt's form shows."""
    return bool(LEAK.search(reply))


def mean(values: list, draws: int = 1000) -> tuple:
    """(mean, low, high): the 95% interval by bootstrap, seeded. The values are of persons or probes, which are drawn anew."""
    if not values:
        return (float("nan"),) * 3
    rng, count = random.Random(0), len(values)
    means = sorted(sum(rng.choices(values, k=count)) / count for _ in range(draws))
    return sum(values) / count, means[int(draws * 0.025)], means[int(draws * 0.975)]


def unseen(count: int) -> float:
    """The share of persons who may yet be otherwise where all of so many are alike: Wilson's bound, with z = 1.96 (E. B. Wilson 1927,
    Probable Inference)."""
    return 1.96**2 / (count + 1.96**2)


def share(hits: list) -> tuple:
    """(share, low, high) of hits, or of each person's share of hits. Where all are alike, nothing drawn anew differs: there the interval
    leaves room for persons who were not seen, of whom none or all hit."""
    if len(set(map(float, hits))) != 1:
        return mean(hits)
    alike, beyond = float(hits[0]), unseen(len(hits))
    return alike, alike * (1 - beyond), 1 - (1 - alike) * (1 - beyond)


def difference(ours: list, theirs: list) -> tuple:
    """(mean, low, high) of ours − theirs, one value between 0 and 1 of each for the same person: the paired bootstrap draws persons.
    Where all differ alike, as where there is one person only, room is left as for a share: an unseen one may differ by 1 either way."""
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    if len(set(apart)) != 1:
        return mean(apart)
    alike, beyond = apart[0], unseen(len(apart))
    return alike, alike * (1 - beyond) - beyond, 1 - (1 - alike) * (1 - beyond)
