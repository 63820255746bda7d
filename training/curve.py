"""The loss curve: CSV as it goes, PNG and TensorBoard at the end. It is written whole from the run's state, so a resumed run's
curve has no double points."""

import csv
import io
from pathlib import Path

from dataset import saving

COLUMNS = ("step", "epoch", "loss", "held_out", "lr", "tokens", "seconds")


def write_csv(path: Path, rows: list) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([["" if value is None else f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows])
    saving.write(path, lambda beside: beside.write_text(text.getvalue()))


def draw(path: Path, rows: list, title: str) -> None:
    import matplotlib
    from PIL import Image

    matplotlib.use("Agg")
    import matplotlib.pyplot as plot

    steps, losses = [row[0] for row in rows if row[2] is not None], [row[2] for row in rows if row[2] is not None]
    span = max(1, len(losses) // 20)
    smooth = [sum(losses[max(0, i - span) : i + 1]) / len(losses[max(0, i - span) : i + 1]) for i in range(len(losses))]
    figure, axes = plot.subplots(figsize=(7, 4))
    axes.plot(steps, losses, color="#bbb", linewidth=0.8, label="step")
    axes.plot(steps, smooth, color="#1f77b4", label="mean of the last steps")
    held = [(row[0], row[3]) for row in rows if row[3] is not None]
    axes.plot(*zip(*held), "o-", color="#d62728", label="held out") if held else None
    axes.set(xlabel="step", ylabel="loss of a reply's token (nats)", title=title)
    axes.legend()
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    plot.close(figure)
    # A curve has few colours: so many are half the bytes, and nobody sees the difference.
    image = Image.open(drawn).convert("RGB").quantize(colors=16, dither=Image.Dither.NONE)
    saving.write(path, lambda beside: image.save(beside, format="PNG", optimize=True))


def tensorboard(folder: Path, rows: list) -> None:
    from tensorboardX import SummaryWriter

    for old in folder.glob("events.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for step, _, loss, held, lr, *_ in rows:
            for name, value in (("loss/train", loss), ("loss/held_out", held), ("lr", lr)):
                if value is not None:
                    writer.add_scalar(name, value, step)
