"""The checkpoints of a run: always whole, read without running code, kept as long as they are needed."""

import pathlib

import pytest
import torch

from trainkit.checkpoint import FORMAT, NoStore, Store, find, migrations, newest, problem, read
from trainkit.errors import ConfigError, TrainingError
from trainkit.timing import Moment

START = Moment(0.0, 0, 0.0)


def state_of(step):
    return {"model": {"weight": torch.full((100,), float(step))}, "counters": {"step": step}}


def at(step):
    return Moment(float(step), step, float(step))


def step_in(path):
    state = read(path)
    assert state["model"]["weight"].tolist() == [float(state["counters"]["step"])] * 100
    return state["counters"]["step"]


def checkpoints(store):
    return sorted(int(path.stem.removeprefix("step-")) for path in store.folder.glob("step-*.ckpt"))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "run" / "checkpoints", every=None)
    store.open(START)
    return store


def test_links_name_the_last_and_the_best(store):
    assert not store.last.exists()
    store.save(state_of(1), at(1))
    assert (step_in(store.last), store.best.exists()) == (1, False)
    store.save(state_of(2), at(2), best=True)
    path = store.save(state_of(3), at(3))
    assert (step_in(store.last), step_in(store.best), step_in(path)) == (3, 2, 3)


def test_the_newest_and_the_best_are_kept(store):
    for step in range(1, 7):
        store.save(state_of(step), at(step), best=step == 2)
    assert checkpoints(store) == [2, 5, 6]
    assert (step_in(store.last), step_in(store.best)) == (6, 2)


@pytest.mark.parametrize("keep_last", [2, 3])
def test_so_many_are_kept(tmp_path, keep_last):
    store = Store(tmp_path, keep_last=keep_last)
    for step in (8, 9, 10, 11):
        store.save(state_of(step), at(step))
    assert checkpoints(store) == [8, 9, 10, 11][-keep_last:]


def test_after_going_on_from_an_older_one_the_last_is_never_pruned(store):
    for step in (10, 20, 3):
        store.save(state_of(step), at(step))
    assert step_in(store.last) == 3


def test_none_kept_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"checkpoint\.keep_last=1: must be at least 2"):
        Store(tmp_path, keep_last=1)
    with pytest.raises(ConfigError, match=r"checkpoint\.keep_best=0: must be at least 1"):
        Store(tmp_path, keep_best=0)
    with pytest.raises(ConfigError, match="'often' is no duration"):
        Store(tmp_path, keep_every="often")


def test_regular_checkpoints_come_as_often_as_told(tmp_path):
    store = Store(tmp_path, every="3st")
    store.open(Moment(0.0, 4, 0.0))
    assert [step for step in range(5, 13) if store.is_due(Moment(0.0, step, 0.0))] == [6, 9, 12]
    assert not any(Store(tmp_path, every=None).is_due(Moment(1.0, step, 9.0)) for step in range(9))


def test_leftovers_of_a_crash_are_swept_out(store):
    store.save(state_of(1), at(1))
    for name in (".tmp-123-step-00000002.ckpt", ".tmp-123-last.ckpt"):
        (store.folder / name).write_bytes(b"half")
    store.open(Moment(0.0, 1, 0.0))
    names = sorted(path.name for path in store.folder.iterdir())
    assert names == ["last.ckpt", "step-00000001.ckpt", "step-00000001.json"]


def test_a_new_run_does_not_write_over_another(store):
    store.save(state_of(1), at(1))
    with pytest.raises(ConfigError, match="holds the checkpoints of a run: resume it, or give another run_dir"):
        store.open(START)


def test_an_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=rf"checkpoints cannot be written to {tmp_path}/file/checkpoints: Not a directory"
    ):
        Store(tmp_path / "file" / "checkpoints").open(START)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_not_saved(store, bad, dtype):
    store.save(state_of(1), at(1))
    weight = torch.ones(5, dtype=dtype)
    weight[3] = bad
    with pytest.raises(TrainingError, match="step 2: a weight is not finite, so nothing was saved"):
        store.save({"model": {"fine": torch.ones(2), "weight": weight}}, at(2), best=True)
    assert (step_in(store.last), checkpoints(store)) == (1, [1])


def test_large_weights_masks_and_integers_are_finite(store):
    mask = torch.full((3, 3), float("-inf")).triu(1)
    model = {"large": torch.full((4,), 3e38), "mask": mask, "count": torch.tensor(2**40), "none": torch.zeros(0)}
    store.save({"model": model, "counters": {}}, at(1))
    assert torch.equal(read(store.last)["model"]["mask"], mask)
    store.save({"model": {}}, at(2))


def test_a_run_folder_and_a_checkpoint_folder_mean_their_last_one(store):
    store.save(state_of(1), at(1))
    path = store.save(state_of(2), at(2))
    assert find(store.folder.parent) == store.last
    for meant in (store.folder, store.folder.parent, store.last, path, str(path)):
        assert step_in(meant) == 2


def test_a_missing_checkpoint_is_refused_with_those_there_are(store):
    store.save(state_of(1), at(1))
    with pytest.raises(ConfigError, match=r"no checkpoint there; there are last\.ckpt, step-00000001\.ckpt"):
        find(store.folder / "step-9.ckpt")
    with pytest.raises(ConfigError, match=r"no checkpoint there; there are run/checkpoints/last\.ckpt$"):
        find(store.folder.parent.parent / "missing")
    with pytest.raises(ConfigError, match=r"resume=.*missing: no checkpoint there$"):
        find(store.folder.parent / "nowhere" / "else" / "missing")
    with pytest.raises(ConfigError, match=r"no checkpoint there; there are checkpoints/last\.ckpt"):
        find(store.folder.parent / "chekpoints" / "last.ckpt")


def test_the_search_for_what_is_there_stays_near(tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c" / "deep.ckpt").write_text("")  # the folder may be the root of a disk
    with pytest.raises(ConfigError, match=r"no checkpoint there$"):
        find(tmp_path)


class Payload:
    """What a pickle can do: run a function when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_never_runs(tmp_path, zipped):
    path, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    torch.save({"format": FORMAT, "model": Payload(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ConfigError, match=r"evil\.ckpt: cannot be read as a checkpoint"):
        read(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # it would have


@pytest.mark.parametrize("content", [torch.ones(2), {"weight": torch.ones(2)}, {"format": "pt"}, [1, 2]])
def test_a_checkpoint_of_others_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match=r"other\.ckpt: not a checkpoint of trainkit$"):
        read(tmp_path / "other.ckpt")


def test_one_that_is_about_no_dict_is_refused(tmp_path):
    torch.save({"format": FORMAT, "about": 5}, tmp_path / "odd.ckpt")
    with pytest.raises(ConfigError, match="what it is about is no dict"):
        read(tmp_path / "odd.ckpt")


def test_a_newer_format_is_refused(tmp_path):
    torch.save({"format": FORMAT + 1}, tmp_path / "new.ckpt")
    with pytest.raises(
        ConfigError, match=rf"written by a newer trainkit \(format {FORMAT + 1}; this one reads up to {FORMAT}\)"
    ):
        read(tmp_path / "new.ckpt")


def test_the_best_of_the_run_resumed_from_is_adopted(store, tmp_path):
    store.save(state_of(1), at(1), best=True)
    store.save(state_of(2), at(2))
    assert store.adopt_best(store.last, 1)
    other = Store(tmp_path / "other")
    assert other.adopt_best(store.last, 1)
    assert step_in(other.best) == 1
    assert not other.adopt_best(store.last, 7)


def test_a_damaged_best_one_is_not_adopted(store, caplog):
    store.save(state_of(1), at(1), best=True, score=1.0)
    store.save(state_of(2), at(2), score=0.5)
    best = store.folder / "step-00000001.ckpt"
    data = bytearray(best.read_bytes())
    data[len(data) // 2] ^= 1
    best.write_bytes(data)
    assert not store.adopt_best(store.last, 1)
    assert "step-00000001.ckpt: the checksum of step-00000001.ckpt is wrong" in caplog.text
    assert not best.exists()
    assert best.with_name("step-00000001.ckpt.corrupt").exists()
    assert not store.best.is_symlink()
    assert store.ranks(0.1) is False  # the second one is the best that is left
    assert store.ranks(0.6)


@pytest.mark.parametrize("wrong", [{"background": "maybe"}, {"keep_last": 2.5}, {"keep_best": True}])
def test_settings_of_another_type_are_refused(tmp_path, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=rf"checkpoint\.{name}={value}: must be "):
        Store(tmp_path, **wrong)


def test_no_store_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.ckpt").write_text("of somebody else")
    store = NoStore()
    store.open(START)
    store.save({"model": {"weight": torch.tensor(float("nan"))}}, at(1), best=True)
    assert not store.is_due(Moment(9.0, 9, 9.0))
    assert not store.best.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]


def test_the_best_by_score_are_kept_and_asked_for(tmp_path):
    store = Store(tmp_path, keep_best=2)
    store.open(START)
    assert store.ranks(0.1)
    for step, score in enumerate((0.5, 0.9, 0.7, 0.2, float("nan"), None), 1):
        store.save(state_of(step), at(step), score=score, best=step <= 2)
    assert checkpoints(store) == [2, 3, 5, 6]
    assert step_in(store.best) == 2
    assert [store.ranks(score) for score in (0.95, 0.8, 0.7, 0.1, float("nan"), float("inf"), None)] == [
        *(True, True, False, False, False, False, False)
    ]
    again = Store(tmp_path, keep_best=2)
    assert again.ranks(0.8)
    assert not again.ranks(0.6)


def test_milestones_are_kept_for_good(tmp_path):
    store = Store(tmp_path, keep_every="5st")
    store.open(START)
    for step in range(1, 16):
        store.save(state_of(step), at(step))
    assert checkpoints(store) == [5, 10, 14, 15]


def test_gone_on_from_an_older_one_the_new_ones_are_the_newest(tmp_path):
    store = Store(tmp_path)
    store.open(START)
    for step in (10, 20, 30):
        store.save(state_of(step), at(step), score=step / 100, best=True)
    store = Store(tmp_path)
    store.open(at(20))
    assert store.adopt_best(store.folder / "step-00000020.ckpt", 20)
    assert store.ranks(0.25)  # better than what it had at 20; what came later does not count
    store.save(state_of(21), at(21))
    assert newest(tmp_path) == tmp_path / "step-00000021.ckpt"
    assert (step_in(store.last), step_in(store.best)) == (21, 20)
    store.save(state_of(22), at(22))
    store.save(state_of(23), at(23))
    assert checkpoints(store) == [20, 22, 23]
    assert newest(tmp_path) == tmp_path / "step-00000023.ckpt"
    assert (step_in(store.last), step_in(store.best)) == (23, 20)


def test_a_step_saved_again_gets_a_name_of_its_own(store):
    first, second = store.save(state_of(1), at(1)), store.save(state_of(1), at(1))
    assert (first.name, second.name) == ("step-00000001.ckpt", "step-00000001-2.ckpt")
    assert store.last.readlink() == pathlib.Path(second.name)
    assert newest(store.folder) == second
    assert store.save(state_of(1), at(1)).name == "step-00000001-3.ckpt"
    assert not first.exists()


def test_a_file_of_a_save_that_was_cut_short_is_written_over(store):
    store.save(state_of(1), at(1))
    left = store.save(state_of(2), at(2))
    store = Store(store.folder)
    left.with_suffix(".json").unlink()
    store.open(at(1))
    assert store.save(state_of(2), at(2)) == left
    assert checkpoints(store) == [1, 2]


def test_a_checkpoint_on_request(tmp_path):
    store = Store(tmp_path, every="10st")
    store.open(START)
    assert not store.is_due(at(1))
    store.request()
    assert store.is_due(at(2))
    assert not store.is_due(at(3))
    store.request()
    assert store.is_due(at(10))
    assert not store.is_due(at(11))  # both at once


def test_the_newest_planned_one_is_known(tmp_path):
    store = Store(tmp_path, every="10st", background=True)
    store.open(START)
    assert store.regular is None
    for step in range(1, 35):
        if step in (12, 33, 34):
            store.request()
        if store.is_due(at(step)):
            store.save(state_of(step), at(step))
    assert step_in(store.regular) == 30
    assert checkpoints(store) == [30, 33, 34]
    again = Store(tmp_path)
    again.open(at(33))
    assert step_in(again.regular) == 30
    again.open(at(20))
    assert again.regular is None  # what lay ahead of 20 is of another history
    store.save(state_of(35), at(35), best=True)
    assert step_in(store.regular) == 35


def test_tied_weights_and_parts_of_a_table_are_saved_as_such(tmp_path):
    for background in (False, True):
        store = Store(tmp_path / str(background), background=background)
        store.open(START)
        table, weight = torch.randn(1000, 100), torch.randn(20, 20)
        store.save({"model": {"a": weight, "b": weight}, "callbacks.c": {"row": table[3]}}, at(1))
        store.flush()
        state = read(store.last)
        state["model"]["a"].fill_(3)
        assert bool((state["model"]["b"] == 3).all())
        assert torch.equal(state["callbacks.c"]["row"], table[3])
        assert store.last.stat().st_size < 10_000
        assert bool((read(store.last)["model"]["a"] == weight).all())  # the file itself is never written to


def test_where_it_is_from_goes_into_each_checkpoint(store):
    store.about = {"config": "seed: 0", "versions": {"trainkit": "0.9"}}
    store.save(state_of(1), at(1))
    assert read(store.last)["about"] == store.about
    path = store.folder / "new.ckpt"
    torch.save({"format": FORMAT + 1, "about": store.about}, path)
    with pytest.raises(ConfigError, match=rf"written by trainkit 0\.9 \(format {FORMAT + 1}; this one reads up to"):
        read(path)


def test_older_formats_go_through_each_migration(monkeypatch, tmp_path):
    steps = (lambda state: {**state, "second": 2}, lambda state: {**state, "third": state["second"] + 1})
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    assert migrations.migrated({"format": 1}) == {"format": 3, "second": 2, "third": 3}
    assert migrations.migrated({"format": 2, "second": 5}) == {"format": 3, "second": 5, "third": 6}
    assert migrations.migrated({"format": 3}) == {"format": 3}
    monkeypatch.setattr(migrations, "MIGRATIONS", ())
    assert migrations.migrated({"format": 1}) == {"format": 1}


def old(folder, *steps):
    """Save as the release did that wrote no manifests."""
    folder.mkdir()
    for step in steps:
        torch.save({"format": 1, **state_of(step)}, folder / f"step-{step:08d}.ckpt")
    for name in ("last", "best"):
        (folder / f"{name}.ckpt").symlink_to(f"step-{steps[-1]:08d}.ckpt")


def test_checkpoints_without_manifests_of_an_older_release_are_gone_on_from(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(migrations, "MIGRATIONS", (lambda state: {**state, "about": {}},))
    folder = tmp_path / "checkpoints"
    old(folder, 8, 16)
    assert newest(folder) == folder / "step-00000016.ckpt"
    assert not caplog.records
    assert (step_in(folder / "last.ckpt"), step_in(folder / "best.ckpt")) == (16, 16)
    with pytest.raises(ConfigError, match="holds the checkpoints of a run"):
        Store(folder).open(START)
    store = Store(folder)
    store.open(at(16))
    assert store.save(state_of(16), at(16)).name == "step-00000016-2.ckpt"
    assert newest(folder).name == "step-00000016-2.ckpt"
    store.save(state_of(17), at(17), best=True)
    assert checkpoints_by_name(folder) == ["step-00000016-2.ckpt", "step-00000017.ckpt"]
    data = bytearray((folder / "step-00000017.ckpt").read_bytes())
    assert len(data) > 100


def checkpoints_by_name(folder):
    return sorted(path.name for path in folder.glob("step-*.ckpt"))


def test_a_best_one_from_elsewhere_is_copied_once_and_verified(store, tmp_path, caplog):
    store.save(state_of(1), at(1), best=True, score=0.5)
    store.save(state_of(2), at(2))
    for _ in range(2):
        other = Store(tmp_path / "other")
        assert other.adopt_best(store.last, 1)
        assert checkpoints_by_name(other.folder) == ["step-00000001.ckpt"]
    other.open(at(2))
    assert not other.ranks(0.4)
    other.save(state_of(1), at(1))
    assert checkpoints_by_name(other.folder) == ["step-00000001-2.ckpt", "step-00000001.ckpt"]
    for step in (3, 4, 5):
        other.save(state_of(step), at(step), score=0.6 if step == 3 else None, best=step == 3)
    assert checkpoints(other) == [3, 4, 5]
    data = bytearray((store.folder / "step-00000001.ckpt").read_bytes())
    data[100] ^= 1
    (store.folder / "step-00000001.ckpt").write_bytes(data)
    third = Store(tmp_path / "third")
    assert not third.adopt_best(store.last, 1)
    assert "its checksum is wrong" in caplog.text
    assert not list(third.folder.glob("*.ckpt"))


def test_links_that_a_crash_left_behind_are_mended(store):
    for step in (1, 2, 3):
        store.save(state_of(step), at(step), best=step == 2, score=step == 2)
    store.save(state_of(4), at(4), best=True, score=2.0)
    for name in ("last.ckpt", "best.ckpt"):  # killed after the manifest of 4, before the links
        (store.folder / name).unlink()
        (store.folder / name).symlink_to("step-00000003.ckpt")
    assert newest(store.folder) == store.folder / "step-00000004.ckpt"
    assert (step_in(store.last), step_in(store.best)) == (4, 4)
    store.save(state_of(5), at(5))
    (store.folder / "step-00000004.ckpt").write_bytes(b"")  # the best one
    (store.folder / "step-00000005.ckpt").write_bytes(b"")
    with pytest.raises(TrainingError, match="none of its checkpoints is whole"):
        newest(store.folder)


def test_a_best_one_that_is_damaged_gives_way_to_the_best_that_is_left(store):
    for step, score in ((1, 0.1), (2, 0.9), (3, 0.5), (4, 0.4)):
        store.save(state_of(step), at(step), best=step == 2, score=score)
    store.save(state_of(5), at(5), best=True, score=1.0)
    (store.folder / "step-00000005.ckpt").write_bytes(b"")
    assert newest(store.folder) == store.folder / "step-00000004.ckpt"
    assert (step_in(store.last), step_in(store.best)) == (4, 4)


def test_what_deleting_left_of_an_old_one_is_swept_out_silently(store, caplog):
    for step in (1, 2):
        store.save(state_of(step), at(step))
    (store.folder / "step-00000001.ckpt").unlink()
    assert newest(store.folder) == store.folder / "step-00000002.ckpt"
    assert not caplog.records
    assert not (store.folder / "step-00000001.json").exists()


def test_the_first_of_two_problems_is_told(store):
    path = store.save(state_of(1), at(1))
    assert problem(path) is None
    path.with_suffix(".json").write_text("{}")
    assert problem(path).startswith("its manifest step-00000001.json is damaged")
    assert problem(store.folder / "none.ckpt") == "No such file or directory"
    assert problem(store.last) == "it is a link"
