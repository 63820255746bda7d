"""Which precision a run computes in."""

import torch

import precision


def test_precision_is_as_asked_or_as_begun_or_as_the_machine_computes_it(tmp_path, monkeypatch):
    for native in (False, True):
        monkeypatch.setattr(precision, "native", lambda _, native=native: native)
        assert precision.chosen(None, None, "cpu") == native
        assert [precision.chosen(asked, "f32", "cpu") for asked in (None, False, True)] == [False, False, True]
        assert precision.chosen(None, "bf16", "cpu")
    monkeypatch.setattr(precision.platform, "system", lambda: "Linux")
    for line, known in (("flags\t\t: fpu avx512_bf16 clflush", True), ("Features\t: fp asimd bf16", True), ("flags : fpu avx2", False)):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{line}\n")
        assert bool(precision.INSTRUCTIONS & set(precision.flags(tmp_path / "cpuinfo"))) == known


def test_half_precision_is_taken_only_where_it_is_faster(monkeypatch):
    linear, clock = torch.nn.functional.linear, [0.0]
    for half, taken in ((0.5, True), (0.95, False), (1.5, False)):
        def slow(x, weight, half=half):
            clock[0] += half if x.dtype == torch.bfloat16 else 1.0
            return linear(x, weight)

        monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
        monkeypatch.setattr(torch.nn.functional, "linear", slow)
        before = torch.get_rng_state()
        assert precision.faster(8, 8, 8) == taken
        assert torch.equal(before, torch.get_rng_state())
        for known in (True, False):
            monkeypatch.setattr(precision, "flags", lambda known=known: ["avx512_bf16"] if known else ["avx2"])
            assert precision.native("cpu") == (taken and known)
