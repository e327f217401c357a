"""Ratio of itself."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'ratio-of-itself',
    'rule': 'ratio-of-itself',
    'class': 'ratio-of-itself',
    'where': 'train_step',
    'code': 'ratio = torch.exp(log_probs - log_probs.detach())',
    'static': False,
    'severity': 'error',
    'keywords': ['ratio', 'old', 'always 1', 'itself', 'clip'],
    'also': ['old_log_probs'],
}
FIX = [
    ('log_probs.detach()', 'old_log_probs'),
]


def episodes(n, seed):
    g = torch.Generator().manual_seed(seed)
    s = torch.randn(n, 4, generator=g)
    a = torch.randint(0, 3, (n,), generator=g)
    ret = s[:, 0] * (a - 1).float() + 0.1 * torch.randn(n, generator=g)
    old = -0.7 - torch.rand(n, generator=g)
    return s, a, ret, old


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 64), nn.Tanh())
        self.pi = nn.Linear(64, 3)
        self.v = nn.Linear(64, 1)

    def forward(self, s):
        h = self.body(s)
        return self.pi(h), self.v(h).squeeze(1)


def train_step(model, batch, loss, optimizer):
    states, actions, returns, old_log_probs = batch
    logits, values = model(states)
    dist = torch.distributions.Categorical(logits=logits)
    log_probs = dist.log_prob(actions)
    advantages = (returns - values).detach()
    ratio = torch.exp(log_probs - log_probs.detach())
    clipped = torch.clamp(ratio, 0.8, 1.2)
    policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
    value_loss = F.mse_loss(values, returns)
    entropy = dist.entropy().mean()
    total = policy_loss + 0.5 * value_loss - 0.01 * entropy
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total



def build():
    return {
        "model": ActorCritic(),
        "train_set": TensorDataset(*episodes(300, 0)),
        "val_set": TensorDataset(*episodes(200, 1)),
        "loss": None,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
