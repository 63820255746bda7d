"""What hearing danger rests on: its data, what counts as heard, and how the bar is chosen."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import danger
import data
import overlap
from calibrate import LOOK_ALIKES, danger_bias, threshold
from data import LABELS
from evaluate import concerns
from train import Loss, Recipe


class Messages(unittest.TestCase):
    def test_every_part_has_all_classes_and_no_message_twice(self):
        for part, least in (("train", 2000), ("dev", 300), ("test", 300)):
            rows = danger.rows(part)
            self.assertGreater(len(rows), least)
            self.assertEqual({row.danger for row in rows}, {0, 1, 2})
            self.assertEqual(len({row.text.lower() for row in rows}), len(rows))

    def test_who_is_in_danger_is_sad_and_of_the_others_no_feeling_is_learnt(self):
        for row in danger.rows("train"):
            sad = row.target[LABELS.index("sadness")] == 1.0
            self.assertEqual((sad, row.weight), (True, 0.5) if row.danger == 1 else (False, 0.0))

    def test_what_is_near_a_test_is_not_trained_on(self):
        tests = [row.text for part in ("dev", "test") for row in danger.rows(part)]
        train = [row.text for row in danger.training_rows()]
        self.assertGreater(len(train), 2000)
        self.assertEqual(overlap.near_duplicates(tests, train), [])

    def test_a_broken_line_is_named(self):
        for line in ("sad\ti am sad", "nobody i am sad", "nobody\t "):
            with tempfile.TemporaryDirectory() as folder, mock.patch.object(danger, "HERE", Path(folder)):
                (Path(folder) / "danger").mkdir()
                (Path(folder) / "danger/dev.tsv").write_text(f"nobody\tall is well\n{line}\n", encoding="utf-8")
                with self.assertRaisesRegex(data.Problem, "dev.tsv:2 is no label and message"):
                    danger.rows("dev")

    def test_of_messages_that_may_speak_of_it_nothing_is_learnt(self):
        rows = [data.Example(text, data.soft(["neutral"])) for text in ("Lovely weather", "i want to DIE", "no reason to go on", "she cuts herself",
                                                                   "thinking of killing myself", "i wish i was never born")]
        self.assertEqual([row.danger for row in danger.without_danger(rows)], [0] + 5 * [danger.UNREAD])


class Hearing(unittest.TestCase):
    LOGITS = np.array([[2.0, 0.0, 0.0], [0.5, 0.3, 0.2], [1.0, 0.0, 2.0]])

    def test_two_likely_dangers_together_outweigh_none(self):
        self.assertEqual(danger.heard(self.LOGITS).tolist(), [0, 1, 2])
        powers = np.exp(self.LOGITS)
        self.assertEqual((danger.alarms(self.LOGITS) > 0).tolist(), (powers[:, 1:].sum(1) > powers[:, 0]).tolist())

    def test_who_is_heard_as_someone_else_is_heard_but_not_right(self):
        figures = danger.summarize(np.array([0, 2, 1, 0]), np.array([0, 1, 1, 2]))
        self.assertEqual(figures["themselves"], {"rows": 2, "danger": 1.0, "right": 0.5})
        self.assertEqual(figures["someone_else"], {"rows": 1, "danger": 0.0, "right": 0.0})
        self.assertEqual(figures["nobody"], {"rows": 1, "danger": 0.0, "right": 1.0})

    def test_no_more_than_the_share_lies_above_the_threshold(self):
        alarms = np.arange(100.0)
        for share, above in ((0.0, 0), (0.05, 5), (0.002, 0)):
            self.assertEqual(int((alarms > threshold(alarms, share)).sum()), above)

    def test_few_look_alikes_are_taken_for_danger(self):
        def logits(texts):
            return np.stack([np.array([0.0, len(text) / 8, -np.inf]) for text in texts])

        with mock.patch("builtins.print"):
            bias = danger_bias(logits)
        dev = danger.rows("dev")
        found = danger.heard(logits([row.text for row in dev]) + bias.numpy())
        mistaken = [at for at, row in zip(found, dev) if row.danger == 0 and at > 0]
        self.assertTrue(0 < len(mistaken) <= LOOK_ALIKES * sum(row.danger == 0 for row in dev), mistaken)
        self.assertEqual(bias[1:].tolist(), [0.0, 0.0])

    def test_the_binary_is_asked_line_by_line(self):
        with tempfile.TemporaryDirectory() as folder:
            binary = Path(folder) / "bot"
            binary.write_text('#!/bin/sh\nwhile read -r line; do case "$line$AI_FRIEND_SAFETY_DANGER_ABOVE" in\n'
                              '"a b0.5") echo \'{"concern":"someone_else"}\';; *) echo \'{"concern":null}\';; esac; done\n')
            binary.chmod(0o700)
            self.assertEqual(concerns(binary, ["a\nb", "c"], 0.5).tolist(), [2, 0])
            self.assertEqual(concerns(binary, ["a\nb"], 1.0).tolist(), [0])


class Learning(unittest.TestCase):
    def test_unread_rows_change_no_weight(self):
        rows = danger.rows("dev")[:4]
        loss = Loss(Recipe(), [data.Example(label, data.soft([label])) for label in LABELS], torch.device("cpu"))
        logits = torch.zeros(4, 3, requires_grad=True)
        for row in rows[1:]:
            row.danger = danger.UNREAD
        loss.of_danger(logits, rows).backward()
        self.assertGreater(float(logits.grad[0].abs().sum()), 0.0)
        self.assertEqual(float(logits.grad[1:].abs().sum()), 0.0)


if __name__ == "__main__":
    unittest.main()
