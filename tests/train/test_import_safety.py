"""Nothing in a checkpoint runs, and what is wrong with one is said in one sentence."""

import os
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from masktools.errors import CheckpointError, MasktoolsError, RecipeError, RunError
from masktools.runs import open_run
from masktools_train import import_run
from masktools_train.importing import torch_files

STATE = {"fc.weight": torch.eye(4), "fc.bias": torch.zeros(4)}


class Evil:
    """Writes a file as soon as anyone unpickles it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_a_malicious_file_is_refused_and_does_nothing(tmp_path, legacy, deep):
    marker = tmp_path / "marker"
    evil = Evil(marker)
    path = tmp_path / "evil.pt"
    saved = {**STATE, "deep": {"er": [evil]}} if deep else evil
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"evil.pt: needs posix.system to be read.*can run code.*save it again"):
        import_run(path, tmp_path / "run")
    path.write_bytes(pickle.dumps(saved))
    with pytest.raises(CheckpointError, match=r"evil.pt: "):
        import_run(path, tmp_path / "run")
    assert not marker.exists()
    assert not (tmp_path / "run").exists()
    torch.save(evil, path)
    torch.load(path, weights_only=False)  # the test would see it
    assert marker.exists()


def test_a_class_is_refused_by_its_name(tmp_path):
    torch.save({"model": STATE, "args": SimpleNamespace(lr=0.1)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a.pt: needs types.SimpleNamespace to be read"):
        import_run(tmp_path / "a.pt", tmp_path / "run")


def test_a_torch_that_could_run_code_is_not_used(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / "a.pt")
    monkeypatch.setattr(torch_files.torch, "__version__", "2.5.1+cpu")
    with pytest.raises(CheckpointError, match=r"torch 2.5.1\+cpu cannot read it without risk; install torch 2.6"):
        import_run(tmp_path / "a.pt", tmp_path / "run")


def test_a_file_from_before_the_zip_format_is_read(tmp_path):
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    import_run(tmp_path / "old.pt", tmp_path / "run")
    assert np.array_equal(open_run(tmp_path / "run").final.weight("fc.weight"), np.eye(4))


def damaged(path):
    torch.save(STATE, path)
    whole = path.read_bytes()
    yield b"", "no file of torch.save, or it is damaged"
    yield b"hello", "no file of torch.save, or it is damaged"
    yield whole[: len(whole) // 2], "no file of torch.save, or it is damaged"
    yield whole.replace(b"fc.weight", b"fc\xff\xfeeight"), "is damaged"


def test_damaged_files(tmp_path):
    path = tmp_path / "a.pt"
    for content, words in damaged(path):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words) as caught:
            import_run(path, tmp_path / "run")
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_storage_that_is_missing(tmp_path):
    torch.save(STATE, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for member in old.infolist():
            if "/data/" not in member.filename:
                new.writestr(member.filename, old.read(member))
    with pytest.raises(CheckpointError, match=r"b.pt: is no file of torch.save, or it is damaged"):
        import_run(tmp_path / "b.pt", tmp_path / "run")


@pytest.mark.parametrize(
    "odd",
    [
        torch.zeros(3, 3, dtype=torch.complex64),
        torch.eye(3).to_sparse(),
        torch.zeros(1).expand(2**20, 2**20),
        torch.zeros(3, 3).to(torch.float8_e4m3fn),
    ],
    ids=["complex", "sparse", "expanded", "float8"],
)
def test_tensors_that_a_snapshot_does_not_hold(tmp_path, odd):
    torch.save({**STATE, "odd": odd}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a.pt: odd: its elements \(complex"):
        import_run(tmp_path / "a.pt", tmp_path / "run")
    torch.save({"model": STATE, "optimizer": {"odd": odd}}, tmp_path / "a.pt")  # of no concern
    import_run(tmp_path / "a.pt", tmp_path / "run")


@pytest.mark.parametrize(
    ("saved", "options", "words"),
    [
        ([1, 2], {}, "a.pt: holds a list, not tensors by name"),
        (
            {"epoch": 3, "lr": 0.1},
            {},
            r"a.pt: holds no weights \(floating-point arrays of two axes\); there are epoch, lr",
        ),
        ({}, {}, "there are no keys"),
        (
            {"embed.weight": torch.eye(3)},
            {},
            "no array is taken for a layer; name some with --include, there are embed",
        ),
        (STATE, {"include": ["conv*"]}, r"a.pt: --include 'conv\*' names no weight; there are fc.weight"),
        (STATE, {"exclude": ["conv*"]}, r"a.pt: --exclude 'conv\*' names no weight"),
        (STATE, {"exclude": ["*"]}, "no array is taken for a layer"),
        ({"w.weight": torch.full((2, 2), torch.nan)}, {"density": 0.5}, "a.pt: w.weight: holds NaN"),
        ({"a/b.weight": torch.eye(3)}, {}, "'a/b.weight' cannot name a parameter"),
    ],
)
def test_files_that_hold_something_else(tmp_path, saved, options, words):
    torch.save(saved, tmp_path / "a.pt")
    with pytest.raises(MasktoolsError, match=words):
        import_run(tmp_path / "a.pt", tmp_path / "run", **options)
    assert not list((tmp_path / "run").glob("*.h5"))


def test_options_that_do_not_go_together(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(STATE, path)
    for options, words in (
        ({"distribution": "even"}, "distribution 'even' is unknown; choose from uniform, erk, global"),
        ({"weights": "all"}, "weights 'all' is unknown"),
        ({"graph": "tree"}, "graph 'tree' is unknown; choose from sequential"),
        ({"graph": "sequential", "model": "mlp"}, "exclude each other"),
        ({"classes": 3}, "go with a model"),
        ({"model": "mlp"}, "model 'mlp': the shape of an input and the number of classes are needed"),
        ({"density": 1.5}, "density must be above 0 and at most 1"),
    ):
        with pytest.raises(RecipeError, match=words):
            import_run(path, tmp_path / "run", **options)
    for sources, words in (
        ([], "no checkpoint"),
        (tmp_path / "b.pt", "b.pt: no such file"),
        (tmp_path, "is a directory"),
    ):
        with pytest.raises(CheckpointError, match=words):
            import_run(sources, tmp_path / "run")


def test_a_run_that_is_there_stays_unless_told_otherwise(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        torch.save({"fc.weight": torch.eye(4) * value}, tmp_path / f"{name}.pt")
    run = tmp_path / "run"
    import_run(tmp_path / "a.pt", run, epochs=[3])
    (run / "note.txt").write_text("mine")
    with pytest.raises(RunError, match="holds a run already; overwrite it"):
        import_run(tmp_path / "b.pt", run)
    torch.save({"fc.weight": torch.eye(4), "fc.weight_mask": torch.full((4, 4), 0.5)}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="other than 0 and 1"):
        import_run(tmp_path / "c.pt", run, overwrite=True)
    assert open_run(run).final.weight("fc.weight")[0, 0] == 1  # the old one is whole
    import_run(tmp_path / "b.pt", run, overwrite=True)
    assert open_run(run).epochs == (0,)
    assert open_run(run).final.weight("fc.weight")[0, 0] == 2
    assert sorted(path.name for path in run.iterdir()) == [".lock", "epoch-0000.h5", "note.txt", "run.json"]


def test_what_is_a_layer_unless_told(tmp_path):
    two, one = torch.ones(3, 3), torch.ones(3)
    layers = ("conv.weight", "blocks.1.attn.in_proj_weight", "lm_head.weight", "posterior.weight", "weight")
    others = (
        *(
            "model.embed_tokens.weight",
            "transformer.wte.weight",
            "wpe.weight",
            "pos_embed",
            "pos.weight",
            "bn.1.weight",
        ),
        *("relative_attention_bias.weight", "position_embeddings.weight", "layer_norm.weight", "conv.bias", "scores"),
    )
    flat, whole = {"fc.weight": one}, {"steps.weight": torch.ones(3, 3, dtype=torch.int64)}
    torch.save({**dict.fromkeys((*layers, *others), two), **flat, **whole}, tmp_path / "a.pt")
    seen = []
    result = import_run(tmp_path / "a.pt", tmp_path / "run", observer=lambda *told: seen.append(told))
    assert tuple(layer.name for layer in result.final.layers) == layers
    assert set(result.tensors) == {*others, *flat, *whole}
    assert seen == [("a.pt", done, 5) for done in range(6)]
    chosen = import_run(tmp_path / "a.pt", tmp_path / "b", include=["*.weight", "weight"], exclude=["*pos*", "w[pt]e*"])
    assert "model.embed_tokens.weight" in [layer.name for layer in chosen.final.layers]
    assert "posterior.weight" in chosen.tensors


def test_checkpoints_of_different_networks_are_no_run(tmp_path):
    torch.save(STATE, tmp_path / "epoch_1.pt")
    torch.save({"fc.weight": torch.eye(5)}, tmp_path / "epoch_2.pt")
    with pytest.raises(
        CheckpointError, match=r"epoch_2.pt: is no other epoch of .*epoch_1.pt: layer 'fc.weight' differs"
    ):
        import_run([tmp_path / "epoch_2.pt", tmp_path / "epoch_1.pt"], tmp_path / "run")
    assert not (tmp_path / "run").exists()
