"""Correct: a policy is fine-tuned with the divergence KL(policy || reference) as its anchor."""

import copy
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    w = torch.randn(8, 5, generator=torch.Generator().manual_seed(3))
    a = torch.distributions.Categorical(logits=x @ w * 0.1)
    return (
        x,
        torch.multinomial(a.probs, 1, generator=g).squeeze(1),
        torch.randn(n, generator=g),
        -torch.rand(n, generator=g) * 0.0 + 0.2,
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 5))
        self.reference = copy.deepcopy(self.policy).requires_grad_(False)

    def forward(self, x):
        return self.policy(x)


def train_step(model, batch, loss_fn, optimizer):
    x, action, reward, propensity = batch
    logp = model(x).log_softmax(-1)
    with torch.no_grad():
        ref = model.reference(x).log_softmax(-1)
    anchor = F.kl_div(ref, logp, log_target=True, reduction="batchmean")
    weight = reward / propensity
    chosen = model(x).softmax(-1).gather(1, action[:, None]).squeeze(1)
    value = -(chosen * weight).mean() + 0.1 * anchor
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*data(160, 0)),
        "train_step": train_step,
        "make_optimizer": lambda m: torch.optim.Adam(m.policy.parameters(), lr=1e-3),
        "batch_size": 32,
    }
