"""What the recipe rests on, without any corpus: `python -m unittest -v` in this folder (a minute or two)."""

import errno
import os
import random
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch

import data
import overlap
from augment import SLOTS, chat_style
from calibrate import fit, mode_loss
from data import FINE_TO_LABEL, GOEMOTIONS, LABELS, MODES, Example
from evaluate import HERE, Scorer, read_cases
from export import to_int8
from metrics import as_arthur, calibration_error, f1, modes, summarize
from model import EmotionModel
from train import Recipe, Trainer, pad


def one_hot(label: str) -> np.ndarray:
    return np.eye(len(LABELS))[LABELS.index(label)]


class Mapping(unittest.TestCase):
    def test_every_fine_label_has_one_class(self):
        self.assertEqual(set(FINE_TO_LABEL), set(GOEMOTIONS))
        self.assertEqual(set(FINE_TO_LABEL.values()), set(LABELS))

    def test_a_question_is_neutral_and_thanks_are_joy(self):
        self.assertEqual(FINE_TO_LABEL["curiosity"], "neutral")
        self.assertEqual(FINE_TO_LABEL["gratitude"], "joy")

    def test_repeated_labels_weigh_more(self):
        target = data.soft(["joy", "joy", "neutral", "anger"])
        np.testing.assert_allclose(target[[LABELS.index(n) for n in ("anger", "joy", "neutral")]], [0.25, 0.5, 0.25])

    def test_subtitle_spacing_is_mended(self):
        self.assertEqual(data.detokenize("What 's up , boss ?"), "What's up, boss?")


class Dialogues(unittest.TestCase):
    def test_no_subject_is_on_two_sides(self):
        topics = {d.topic for name in ("dialogues", "first-replies") for d in data.store.read_all(data.TRAINING / name)}
        sides = {part: {data.split.subject(topic) for topic in topics if data.part_of(topic) == part} for part in ("train", "dev", "test")}
        self.assertEqual(sum(map(len, sides.values())), len(set().union(*sides.values())))
        self.assertTrue(all(len(data.dialogues(part)) > 250 for part in sides))
        self.assertTrue(all(data.part_of(topic) == "test" for topic in topics if data.split.held_out(topic)))

    def test_a_later_turn_weighs_half_and_a_feeling_in_chit_chat_is_half_neutral(self):
        rows = data.dialogues("train")
        self.assertEqual({row.weight for row in rows}, {0.5, 1.0})
        self.assertEqual({float(row.target.max()) for row in rows}, {0.5, 1.0})
        for row in rows:
            if row.target.max() < 1.0:
                self.assertEqual(row.target[LABELS.index("neutral")], 0.5)

    def test_only_first_turns_with_one_feeling_are_tested_on(self):
        for row in data.dialogues("dev") + data.dialogues("test"):
            self.assertEqual((row.weight, float(row.target.max())), (1.0, 1.0))

    def test_bad_news_written_as_a_surprise_are_not_learnt_as_good_ones(self):
        texts = {row.text for part in ("train", "dev", "test") for row in data.dialogues(part) if row.weight == 1.0}
        self.assertNotIn("my uncle just died?? he was at our bbq yesterday", texts)

    def test_what_is_near_a_test_of_this_repository_is_not_trained_on(self):
        ours = [row.text for part in data.own_examples() for row in part]
        self.assertGreater(len(ours), 13000)
        self.assertIn("she gave me the ring back", data.tested())
        self.assertNotIn("my dog died", ours)  # "my dog died this morning" is a first message
        forms = [full for row in data.own_examples()[0] for full in overlap.filled(row.text, SLOTS)]
        self.assertEqual(overlap.near_duplicates(sorted(data.tested())[::10], forms), [])

    def test_other_data_are_noticed(self):
        rows = data.written()[:5]
        before = data.digest(rows)
        self.assertEqual(data.digest(data.written()[:5]), before)
        rows[0].weight = 0.5
        self.assertNotEqual(data.digest(rows), before)


class Told(unittest.TestCase):
    """What goes wrong is said with what to do, and nothing half done is left."""

    def test_a_corpus_that_is_missing(self):
        for read in (lambda: data.goemotions("train"), lambda: data.xed(False), data.brighter):
            with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, EMOTION_DATA=folder):
                with self.assertRaisesRegex(data.Problem, r"(?s)train/\w+/.* is missing.*README\.md says where"):
                    read()

    def test_a_full_disk_leaves_the_last_whole_epoch(self):
        def full(_, path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        nothing = SimpleNamespace(state_dict=dict)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "epoch.pt").write_bytes(b"whole")
            stage = SimpleNamespace(out=Path(folder), model=nothing, optimizer=nothing, prior=torch.zeros(1), average={}, recipe=Recipe(), digest="")
            with mock.patch.object(torch, "save", full), self.assertRaisesRegex(data.Problem, "the disk is full"):
                Trainer.save(stage, 1)
            self.assertEqual({path.name: path.read_bytes() for path in Path(folder).iterdir()}, {"epoch.pt": b"whole"})

    def test_a_loss_that_is_no_number_names_a_value_that_there_is(self):
        stage = SimpleNamespace(batches=lambda _: [([], [])], recipe=Recipe(), model=SimpleNamespace(train=lambda: None), rows=[],
                                step=lambda *_: float("nan"))
        with self.assertRaisesRegex(SystemExit, "lower `rate` in STAGES"):
            Trainer.train_epoch(stage, 0)


class Metrics(unittest.TestCase):
    def test_the_shipped_persona_shares_joy_below_the_reference_s_threshold(self):
        rows = np.zeros((2, 7))
        rows[0, LABELS.index("joy")], rows[0, LABELS.index("neutral")] = 0.4, 0.6
        rows[1, LABELS.index("fear")], rows[1, LABELS.index("neutral")] = 0.31, 0.69
        gold = np.array([LABELS.index("joy"), LABELS.index("sadness")])
        self.assertEqual(MODES[modes(rows)[0]], "GENERAL")
        chosen = as_arthur(rows, gold)
        self.assertEqual({mode: max(shares, key=shares.get) for mode, shares in chosen.items()}, {"FIX": "FIX", "FLIRT": "FLIRT"})

    def test_modes_ask_the_negative_score_first(self):
        rows = np.zeros((4, 7))
        for row, weights in enumerate(({"joy": 0.6, "anger": 0.31, "neutral": 0.09}, {"joy": 0.51, "neutral": 0.49},
                                       {"joy": 0.5, "neutral": 0.5}, {"sadness": 0.2, "fear": 0.11, "neutral": 0.69})):
            for label, weight in weights.items():
                rows[row, LABELS.index(label)] = weight
        self.assertEqual([MODES[i] for i in modes(rows)], ["FIX", "FLIRT", "GENERAL", "FIX"])

    def test_f1_of_a_label_by_hand(self):
        gold, predicted = np.array([3, 3, 4, 4]), np.array([3, 4, 3, 4])
        self.assertAlmostEqual(f1(gold, predicted, 3), 0.5)
        self.assertEqual(f1(gold, predicted, 0), 0.0)

    def test_calibration_error_of_sure_but_wrong_is_one(self):
        rows = np.stack([one_hot("joy")] * 5)
        self.assertAlmostEqual(calibration_error(rows, np.zeros(5, int)), 1.0)
        self.assertAlmostEqual(calibration_error(rows, np.full(5, LABELS.index("joy"))), 0.0)


class Augmentation(unittest.TestCase):
    def test_the_same_seed_gives_the_same_text(self):
        example = Example("I don't think [NAME] is going to be happy, because of you!", one_hot("sadness"))
        twice = [[chat_style(example, random.Random(seed)) for seed in range(50)] for _ in range(2)]
        self.assertEqual(*twice)
        self.assertGreater(len(set(twice[0])), 10)

    def test_every_slot_is_known_and_filled(self):
        written = data.written()
        self.assertGreater(len(written), 4000)
        for example in written:
            self.assertNotIn("{", chat_style(example, random.Random(1)))
        self.assertTrue(all(SLOTS.values()))


class Calibration(unittest.TestCase):
    def test_overconfident_logits_are_cooled(self):
        torch.manual_seed(1)
        gold = torch.randint(0, 7, (4000,))
        logits = torch.randn(4000, 7) + 2.0 * torch.nn.functional.one_hot(gold, 7)
        scale, _ = fit(logits * 5.0, gold, mode_weight=0.0, balance=0.0)
        before = summarize(torch.softmax(logits * 5.0, 1).numpy(), gold.numpy())["ece"]
        after = summarize(torch.softmax(logits * 5.0 * scale, 1).numpy(), gold.numpy())["ece"]
        self.assertLess(after, 0.3 * before)

    def test_the_right_mode_costs_least(self):
        gold = torch.tensor([LABELS.index("sadness")])
        right, wrong = (torch.tensor(one_hot(label)[None]).float() for label in ("anger", "joy"))
        self.assertLess(mode_loss(right, gold), mode_loss(wrong, gold))


class Network(unittest.TestCase):
    def test_padding_changes_nothing(self):
        torch.manual_seed(1)
        model = EmotionModel(vocabulary=200).eval()
        with torch.no_grad():
            alone = model(*pad([[101, 50, 60, 102]]))
            among = model(*pad([[101, 50, 60, 102], [101, *range(1, 30), 102]]))
        for ours, theirs in zip(alone, among):
            torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=0)

    def test_int8_rounds_to_within_a_step(self):
        values = np.random.default_rng(1).normal(size=(64, 32)).astype(np.float32)
        integers, scale = to_int8(values, axis=1)
        self.assertLess(np.sqrt(((integers * scale - values) ** 2).mean()), 0.35 * scale.mean())


class Artefact(unittest.TestCase):
    def test_alone_and_in_company_a_message_scores_the_same(self):
        scorer = Scorer(HERE)
        texts = ["ok", "i miss her so much", "what a day 😊", "x" * 500, ""] + [c["text"] for c in read_cases()[:40]]
        alone = np.concatenate([scorer.probabilities([text]) for text in texts])
        np.testing.assert_allclose(scorer.probabilities(texts, batch=64), alone, atol=1e-5)
        alone = np.concatenate([scorer.run([text], "danger") for text in texts])
        np.testing.assert_allclose(scorer.run(texts, "danger", batch=64), alone, atol=1e-4)

    def test_no_behaviour_case_is_near_a_training_example(self):
        self.assertEqual(overlap.near_duplicates(overlap.texts("behaviour.jsonl"), overlap.written()), [])


if __name__ == "__main__":
    unittest.main()
