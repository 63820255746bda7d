"""Measures beside controls. A control is what nobody should call a good reply: one that somebody else was given (`shuffled`), one of
a dialogue about something else (`random`), the message itself (`echo`), one made without what is asked for (`unaided`). A measure that does not put it below the arms' own
replies tells good from bad no better than chance: it is left out of the table, whatever it says, and a note gives its figures."""

import measures
from judging import outcome, transcripts

NAMES = {"shuffled": "replies shuffled (control)", "random": "replies of other dialogues (control)", "echo": "echo (control)", "unaided": "without the memory (control)"}
LEFT_OUT = "Left out, as a control is not clearly below the replies of each arm, so that the measure says nothing:"


def variants(log: list) -> dict:
    """{kind: talks}: an arm's own, and what the controls make of them."""
    talks = [transcripts.talk(turns) for turns in log]
    made = {"replies": talks, "random": transcripts.drawn(talks), "echo": transcripts.echo(talks)}
    return made | ({"shuffled": transcripts.shuffled(talks)} if len(talks) > 1 else {})


def tell(values: dict, unit: str = "share") -> dict:
    """From {kind: a value for each person} to means and intervals, and by how much the replies are above each control."""
    controls = [kind for kind in NAMES if kind in values]
    mean = measures.share if unit == "share" else measures.mean
    return {"unit": unit, "values": values, "means": {kind: mean(values[kind]) for kind in ("replies", *controls)},
            "above": {kind: measures.difference(values["replies"], values[kind]) for kind in controls}}


def failures(arms: dict) -> list:
    """[(arm, control)] of one measure, {arm: tell(…)}: where the 95% interval of replies − control is not above 0."""
    # `not … > 0` is also true of the NaN of a measure without persons.
    return [(arm, kind) for arm, told in arms.items() for kind, (_, low, _) in told["above"].items() if not low > 0]


def sound(arms: dict) -> bool:
    """Whether a measure may be told; one without any control may not, as nothing vouches for it."""
    return all(told["above"] for told in arms.values()) and not failures(arms)


def show(unit: str, found: tuple) -> str:
    return outcome.percent(found) if unit == "share" else "{:.3f} ({:.3f}–{:.3f})".format(*found)


def signed(unit: str, found: tuple) -> str:
    if unit == "share":
        return "{:+.0f} points ({:+.0f} to {:+.0f})".format(*(100 * value for value in found))
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*found)


def by_measure(arms: dict) -> dict:
    """{arm: {measure: …}} turned about."""
    names = next(iter(arms.values()))
    return {name: {arm: told[name] for arm, told in arms.items()} for name in names}


def rows(arms: dict) -> list:
    """[label, a cell for each arm] of every sound measure and its controls."""
    made = []
    for name, told in by_measure(arms).items():
        first = next(iter(told.values()))
        for kind in first["means"] if sound(told) else ():
            label = name if kind == "replies" else f"{name}, {NAMES[kind]}"
            made.append([label, *(show(one["unit"], one["means"][kind]) for one in told.values())])
    return made


def differences(arms: dict) -> list:
    """[label, difference] of every sound measure: each other arm against the first, the same persons paired."""
    made = []
    for name, told in by_measure(arms).items():
        (one, before), *others = told.items()
        for other, after in others if sound(told) else ():
            found = measures.difference(after["values"]["replies"], before["values"]["replies"])
            made.append([f"{name}, {other} − {one}", signed(before["unit"], found)])
    return made


def figures(told: dict) -> str:
    """One arm's means, its replies' first."""
    mean = lambda kind: ("{:.0%}" if told["unit"] == "share" else "{:.3f}").format(told["means"][kind][0])
    return ", ".join([mean("replies"), *(f"{NAMES[kind]} {mean(kind)}" for kind in told["above"])])


def notes(arms: dict) -> list:
    """What is left out, with its figures, so that leaving out hides nothing: a sentence for each measure."""
    return [f"{name}: " + "; ".join(f"{arm} {figures(one)}" for arm, one in told.items())
            for name, told in by_measure(arms).items() if not sound(told)]


def left_out(sentences: list) -> str:
    """Those sentences as a list in Markdown."""
    return "".join([f"{LEFT_OUT}\n\n", *(f"- {text}\n" for text in sentences)])


def likelier(scored: dict) -> list:
    """[(arm, control)] whose loss under another model, {arm: {kind: {mode: …}}}, is not above the replies' own. There is one loss
    for all persons, so no interval."""
    return [(arm, kind) for arm, told in scored.items() for kind in NAMES
            if kind in told and not told[kind]["ALL"]["loss"] > told["replies"]["ALL"]["loss"]]


def likelier_note(scored: dict) -> str:
    """The same sentence for that loss, as perplexities: there the replies' should be the lower one."""
    mean = lambda told, kind: f"{told[kind]['ALL']['perplexity']:.1f}"
    arms = (f"{arm} " + ", ".join([mean(told, "replies"), *(f"{NAMES[kind]} {mean(told, kind)}" for kind in NAMES if kind in told)])
            for arm, told in scored.items())
    return f"perplexity under {next(iter(scored.values()))['model']}: " + "; ".join(arms)
