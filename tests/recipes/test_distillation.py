"""The objective with a teacher: its numbers, and that the teacher stays what it is."""

import copy

import pytest
import torch
from torch import nn

import trainkit
from trainkit.checkpoint import Store, read
from trainkit.errors import ConfigError
from trainkit.recipes.distillation import distilled, soft_loss
from trainkit.recipes.models import CNN, MLP

GENERATOR = torch.Generator().manual_seed(0)
IMAGES, LABELS = torch.rand(48, 1, 8, 8, generator=GENERATOR), torch.arange(48) % 4


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(5)
    teacher = CNN(1, 4, channels=(4,), dropout=0.5)
    torch.save(teacher.state_dict(), tmp_path / "teacher.pt")
    return tmp_path / "teacher.pt"


def teacher():
    return CNN(1, 4, channels=(4,), dropout=0.5)


def objective(weights, **options):
    return distilled(nn.CrossEntropyLoss(), teacher(), weights, **options)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_soft_loss_is_that_of_the_paper(temperature):
    scores, taught = torch.randn(5, 3, generator=GENERATOR), torch.randn(5, 3, generator=GENERATOR)
    expected = 0.0
    for row, other in zip(scores.double(), taught.double(), strict=True):
        p, q = (other / temperature).softmax(0), (row / temperature).softmax(0)
        expected += (p * (p / q).log()).sum().item() * temperature**2 / 5
    assert soft_loss(scores, taught, temperature).item() == pytest.approx(expected, rel=1e-5)
    assert soft_loss(taught, taught, temperature).item() == pytest.approx(0, abs=1e-6)


def test_its_gradient_keeps_its_size_for_any_temperature():
    """Hinton et al. 2015, section 2.1: at high temperatures it is that of half the squared distance, over classes."""
    scores, taught = torch.randn(6, 5, generator=GENERATOR, requires_grad=True), torch.randn(6, 5, generator=GENERATOR)
    (gradient,) = torch.autograd.grad(soft_loss(scores, taught, 1000.0), scores)
    centred = [each - each.mean(1, keepdim=True) for each in (scores.detach(), taught)]
    assert torch.allclose(gradient, (centred[0] - centred[1]) / 5 / 6, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_labels_and_teacher_have_their_shares(weights, share):
    student = MLP(64, [8], 4)
    output = objective(weights, temperature=3.0, share=share)(student, (IMAGES, LABELS))
    known = teacher()
    known.load_state_dict(torch.load(weights))
    scores = student(IMAGES)
    hard = nn.functional.cross_entropy(scores, LABELS)
    soft = soft_loss(scores, known.eval()(IMAGES), 3.0)
    assert output.loss.item() == pytest.approx(((1 - share) * hard + share * soft).item(), rel=1e-5)
    assert output.count == 48
    assert torch.equal(output.predictions, scores)
    assert torch.equal(output.targets, LABELS)


def test_a_teacher_alone_needs_no_labels(weights):
    student, wrong = MLP(64, [8], 4), (LABELS + 1) % 4
    taught = objective(weights, share=1.0)
    losses = [taught(student, (IMAGES, labels)).loss for labels in (LABELS, wrong)]
    assert torch.equal(*losses)


def trainer(weights, folder, epochs, **options):
    torch.manual_seed(0)
    model = MLP(64, [8], 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    data = torch.utils.data.TensorDataset(IMAGES, LABELS)
    loaders = trainkit.Loader(data, 16, shuffle=True), trainkit.Loader(data, 48)
    options |= {"store": Store(folder), "max_epochs": epochs, "device": "cpu"}
    return trainkit.Trainer(model, objective(weights), optimizer, *loaders, **options)


def test_the_teacher_stays_what_it_is_and_out_of_everything(weights, tmp_path):
    training = trainer(weights, tmp_path / "run", 3)
    known = training.objective.teacher
    before = copy.deepcopy(known.state_dict())
    training.fit()
    assert all(torch.equal(value, before[name]) for name, value in known.state_dict().items())
    assert not any(module.training for module in known.modules())
    assert not any(p.requires_grad or p.grad is not None for p in known.parameters())
    held = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    assert not held & {id(p) for p in known.parameters()}
    state = read(tmp_path / "run" / "last.ckpt")
    assert state["model"].keys() == training.model.state_dict().keys()
    assert "objective" not in state
    assert training.metrics["val/accuracy"] >= 0  # the metrics are those of the labels
    assert training.metrics["val/loss"] > 0


def test_a_resume_goes_on_exactly(weights, tmp_path):
    whole = trainer(weights, tmp_path / "whole", 4)
    whole.fit()
    trainer(weights, tmp_path / "half", 2).fit()
    rest = trainer(weights, tmp_path / "half", 4)
    rest.resume(tmp_path / "half" / "last.ckpt")
    rest.fit()
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.model.state_dict().values(), rest.model.state_dict().values(), strict=True)
    )


def test_a_run_is_a_teacher_with_its_best_weights(weights, tmp_path):
    first = trainer(weights, tmp_path / "run" / "checkpoints", 3, mode="max")  # of the loss, which only falls
    first.fit()
    last, best = (read(tmp_path / "run" / "checkpoints" / f"{name}.ckpt")["model"] for name in ("last", "best"))
    assert not torch.equal(last["layers.1.weight"], best["layers.1.weight"])
    taught = distilled(nn.CrossEntropyLoss(), MLP(64, [8], 4), tmp_path / "run")
    assert all(torch.equal(value, best[name]) for name, value in taught.teacher.state_dict().items())


def test_the_teacher_moves_with_the_objective(weights):
    taught = objective(weights)
    taught.to(torch.device("meta"))
    assert all(value.device.type == "meta" for value in taught.teacher.state_dict().values())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": 0}, r"objective\.temperature=0: must be above 0"),
        ({"share": 1.5}, r"objective\.share=1\.5: must be from 0 to 1"),
        ({"weights": None}, r"objective\.weights=null: a teacher must have learnt"),
        (
            {"weights": "nowhere"},
            r"^objective\.weights=nowhere: no checkpoint there.*before \(python -m trainkit help distillation\)",
        ),
        ({"loss": nn.CrossEntropyLoss(weight=torch.ones(4))}, r"objective\.loss \(CrossEntropyLoss\): must be"),
        ({"loss": nn.CrossEntropyLoss(ignore_index=0)}, r"objective\.loss \(CrossEntropyLoss\): must be"),
        ({"loss": nn.MSELoss()}, r"objective\.loss \(MSELoss\): must be"),
        ({"teacher": CNN(1, 5, channels=(4,))}, r"objective\.weights=.*: the teacher's weights do not fit"),
    ],
)
def test_wrong_settings_are_refused(weights, options, told):
    with pytest.raises(ConfigError, match=told):
        distilled(**{"loss": nn.CrossEntropyLoss(), "teacher": teacher(), "weights": weights, **options})


def test_another_number_of_classes_is_refused(weights):
    with pytest.raises(ConfigError, match=r"objective\.teacher: gives scores of shape \(48, 4\), the model \(48, 3\)"):
        objective(weights)(MLP(64, [8], 3), (IMAGES, LABELS % 3))
