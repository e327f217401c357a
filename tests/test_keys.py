"""Keyed randomness: distinct keys, fixed values for ever, and generators that are left as they were."""

import itertools
import pickle
import random

import numpy
import pytest
import torch

from trainkit.keys import Streams, fold, generator, permutation, split


def draws():
    """Return one draw of each global generator."""
    return torch.rand(()).item(), numpy.random.rand(), random.random()


def test_fold_gives_each_arguments_their_own_key():
    parts = [0, 1, 256, -1, 2**64 - 1, -(2**63), "0", "1", "", "i", "s"]
    arguments = [
        (key, *some) for key in (0, 1, 2**64 - 1) for n in range(3) for some in itertools.product(parts, repeat=n)
    ]
    keys = {fold(*each) for each in arguments}
    assert len(keys) == len(arguments)
    assert all(0 <= key < 2**64 for key in keys)


def test_fold_tells_texts_apart_that_join_alike():
    assert len({fold(0, "ab", "c"), fold(0, "a", "bc"), fold(0, "abc"), fold(0, "ab", 99)}) == 4


def test_any_integer_is_a_seed():
    assert fold(-1, "a") == fold(2**64 - 1, "a")
    assert fold(2**70 + 3, "a") == fold(3, "a")


def test_fold_is_not_a_chain():
    assert fold(fold(0, "a"), "b") != fold(0, "a", "b")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ((0,), 1786884285633530058),
        ((0, 1), 9891967739370153321),
        ((0, "1"), 2803616092236401482),
        ((7, "data", "order", 3), 17815212139238528133),
        ((2**64 - 1, -1), 8477045454591793167),
    ],
)
def test_keys_never_change(arguments, key):
    assert fold(*arguments) == key  # another value here means that no old checkpoint can go on


def test_draws_never_change():
    assert permutation(fold(0, "x"), 8).tolist() == [7, 5, 0, 2, 1, 3, 4, 6]
    with Streams().kept():
        Streams().seed(fold(0, "golden"))
        assert draws() == pytest.approx((0.8178728818893433, 0.31937061906527997, 0.1683319569446281), abs=1e-7)


def test_generator_starts_at_its_key_and_touches_no_other():
    before = torch.get_rng_state()
    a, b, c = (torch.rand(4, generator=generator(key)) for key in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)


def test_permutation_holds_each_index_once():
    order = permutation(3, 1000)
    assert order.sort().values.tolist() == list(range(1000))
    assert order.tolist() != list(range(1000))
    assert order.tolist() != permutation(4, 1000).tolist()


@pytest.mark.parametrize("n", [1, 2, 10, 101])
@pytest.mark.parametrize("fractions", [(1.0,), (0.6, 0.2, 0.2), (0.5, 0.5), (0.33, 0.33, 0.34), (0.0, 1.0)])
def test_split_is_disjoint_and_complete(n, fractions):
    parts = split(n, fractions, key=1)
    assert len(parts) == len(fractions)
    assert torch.cat(parts).sort().values.tolist() == list(range(n))
    for part, fraction in zip(parts, fractions, strict=True):
        assert len(part) == pytest.approx(n * fraction, abs=len(fractions))
        assert part.tolist() == sorted(part.tolist())


def test_split_may_leave_some_out():
    parts = split(100, (0.5, 0.25), key=1)
    assert [len(part) for part in parts] == [50, 25]
    assert len(torch.cat(parts).unique()) == 75


def test_split_depends_on_the_key():
    (a, _), (b, _), (c, _) = (split(100, (0.5, 0.5), key) for key in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("fractions", [(0.9, 0.2), (-0.1, 1.0)])
def test_split_refuses_impossible_fractions(fractions):
    with pytest.raises(ValueError, match="sum to at most 1"):
        split(10, fractions, key=0)


def test_streams_point_all_generators_at_the_key():
    streams = Streams()
    with streams.kept():
        streams.seed(fold(0, "a"))
        first = draws()
        streams.seed(fold(0, "b"))
        other = draws()
        streams.seed(fold(0, "a"))
        assert draws() == first
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_torch_and_numpy_do_not_draw_the_same():
    with Streams().kept():
        Streams().seed(fold(0, "a"))
        flips, others = torch.randint(0, 2, (64,)), torch.from_numpy(numpy.random.randint(0, 2, 64))
    assert 16 < (flips == others).sum() < 48


def test_kept_restores_all_generators_also_after_an_error():
    before = torch.get_rng_state(), numpy.random.get_state(), random.getstate()

    def fail():
        with Streams().kept():
            Streams().seed(1)
            draws()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy.array_equal(numpy.random.get_state()[1], before[1][1])
    assert numpy.random.get_state()[2:] == before[1][2:]
    assert random.getstate() == before[2]


def test_a_pickled_copy_holds_the_generators_of_its_process():
    copy = pickle.loads(pickle.dumps(Streams()))  # what a spawned worker gets
    with copy.kept():
        copy.seed(5)
        first = torch.rand(())
        Streams().seed(5)
        assert torch.rand(()) == first
