"""Synthetic-Persona-Chat (CC BY 4.0, Jandaghi et al. 2023): talks in which both sides follow a list of facts.

One speaker becomes the friend, whose facts are the persona in the prompt; the other one's facts become the memory. Most of
its replies are bland, so only stretches are taken whose replies are of a fair length and free of its stock phrases."""

import csv
import re
from pathlib import Path

from .near import words
from .problem import Problem
from .store import Dialogue

FILE = "synthetic-persona-chat/valid.csv"
LICENCE = "Synthetic-Persona-Chat, CC BY 4.0"
STOCK = re.compile(
    r"that sounds|sounds (like|fun|great|good)|glad to hear|sorry to hear|nice (talking|to meet|chatting)|that'?s (great|awesome|amazing|cool|really)"
    r"|\(name\)|\[|have a (nice|great|good) day|as an ai|i'm doing (well|good|great)|what do you like to do|do for fun|absolutely|me too|i agree|^(they|it|you|we|i) (are|is|do|am|know|have)[!,]|^yeah|i know, right",
    re.I,
)
SWAPS = {"i": "they", "i'm": "they are", "im": "they are", "my": "their", "me": "them", "mine": "theirs", "i've": "they have",
         "i'd": "they would", "i'll": "they will", "am": "are", "was": "were", "myself": "themselves"}


def about_them(fact: str) -> str:
    """"I am a nurse." as memory holds it: "they are a nurse"."""
    swapped = " ".join(SWAPS.get(word.lower().replace("’", "'"), word) for word in fact.strip().rstrip(".!").split())
    return swapped.replace("their self", "themselves").replace("has they", "have they")


def facts_of(cell: str) -> list:
    return [fact.strip().rstrip(".") for fact in cell.splitlines() if fact.strip()]


def talk(cell: str) -> list:
    """(speaker 1 or 2, text), turn by turn."""
    found = re.findall(r"^User ([12]): *(.+)$", cell, re.M)
    return [(int(speaker), " ".join(text.split())) for speaker, text in found]


def decent(text: str) -> bool:
    return 7 <= len(words(text)) <= 40 and not STOCK.search(text) and text.count("?") < 2


def stretches(turns: list, friend: int) -> list:
    """The longest run of person and friend in turns, with decent replies only; 4 to 8 turns."""
    best, run = [], []
    pairs = [(turns[i], turns[i + 1]) for i in range(len(turns) - 1) if turns[i][0] != friend and turns[i + 1][0] == friend]
    for person, reply in pairs:
        run = run + [("person", person[1], None), ("friend", reply[1], None)] if decent(reply[1]) else []
        if len(run) > len(best) and len(run) <= 8:
            best = run
    return best if len(best) >= 4 else []


def intro_of(facts: list) -> str:
    about = ". ".join(facts)
    return f"You are a kind and empathetic interlocutor. About you: {about}. You are talking to a new person. Below is an instruction that describes a task."


def read(folder: Path) -> list:
    """Dialogues of FOLDER/synthetic-persona-chat/valid.csv, those first whose friend speaks most from its facts."""
    path = folder / FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", "DIALOGUE_DATA names the folder that holds synthetic-persona-chat/.") from None
    ranked = []
    for number, row in enumerate(rows):
        personas = {1: facts_of(row["user 1 personas"]), 2: facts_of(row["user 2 personas"])}
        turns = talk(row["Best Generated Conversation"])
        for friend in (2, 1):
            taken = stretches(turns, friend)
            used = " ".join(text.lower() for who, text, _ in taken if who == "friend")
            # Only where the friend draws on its facts is there anything to learn from the persona in the prompt.
            draws = sum(any(len(word) > 4 and word in used for word in words(fact)) for fact in personas[friend])
            if taken and draws:
                memory = [about_them(fact) for fact in personas[3 - friend][:4]]
                made = Dialogue(f"spc-{number}", "GENERAL", f"spc-{number}", "any", memory, taken, intro_of(personas[friend]))
                length = sum(len(words(text)) for text in made.texts("friend")) / len(made.texts("friend"))
                ranked.append((-draws * min(length, 16) / len(made.turns), number, made))
                break
    return [made for _, _, made in sorted(ranked, key=lambda entry: entry[:2])]
