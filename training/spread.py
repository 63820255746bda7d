"""Several adapters of one recipe, trained with other seeds: how far their figures lie apart, the base beside them."""

import controls
from judging import outcome


def points(arms: dict) -> dict:
    """{measure: [unit, a figure for each arm]} of all that may be told."""
    made = {}

    def add(name: str, unit: str, figure) -> None:
        made[name] = [unit, *(figure(arm) for arm in arms.values())]

    first = next(iter(arms.values()))
    for mode in sorted(first["losses"]["by mode"]):
        add(f"reply loss, {mode} (nats a token)", "nats", lambda arm: arm["losses"]["by mode"][mode]["loss"])
    if "wrong persona costs" in first["losses"]:
        add("a wrong persona costs (nats a token)", "nats", lambda arm: arm["losses"]["wrong persona costs"])
    for part in ("facts", "behaviour"):
        for name in first[part]:
            add(name, "share", lambda arm: arm[part][name][0])
    for name, told in controls.by_measure({arm: figures.get("controlled", {}) for arm, figures in arms.items()}).items():
        if controls.sound(told):
            unit = next(iter(told.values()))["unit"]
            add(name, unit, lambda arm: arm["controlled"][name]["means"]["replies"][0])
    return made


def table(arms: dict) -> str:
    """The base, then the mean of the others, the least and the most of them, in Markdown."""
    show = lambda unit, value: f"{value:.0%}" if unit == "share" else f"{value:.3f}"
    base, *others = arms
    rows = [[name, show(unit, of_base), show(unit, sum(of) / len(of)), f"{show(unit, min(of))} to {show(unit, max(of))}"]
            for name, (unit, of_base, *of) in points(arms).items()]
    return outcome.markdown(["", base, f"mean of {', '.join(others)}", "least to most"], rows)
