"""An actor-critic rolls out from start cells: batches hold one vector of states and no targets."""

import torch
from torch import nn
from torch.distributions import Categorical
from torch.utils.data import TensorDataset

BUG = None

CELLS, GOAL, HORIZON, GAMMA = 9, 6, 12, 0.95


class ActorCritic(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Embedding(CELLS, width)
        self.policy = nn.Linear(width, 2)
        self.value = nn.Linear(width, 1)

    def forward(self, cell):
        h = torch.tanh(self.embed(cell))
        return self.policy(h), self.value(h).squeeze(-1)


def move(cell, action):
    return (cell + 2 * action - 1).clamp(0, CELLS - 1)


def rollout(model, cell):
    steps, alive = [], torch.ones(len(cell))
    for _ in range(HORIZON):
        logits, value = model(cell)
        action = Categorical(logits=logits)
        chosen = action.sample()
        cell = move(cell, chosen)
        arrived = (cell == GOAL).float()
        steps.append((action.log_prob(chosen), value, alive * (arrived - 0.05), alive))
        alive = alive * (1 - arrived)
    return [torch.stack(part) for part in zip(*steps)]


def train_step(model, batch, loss, optimizer):
    (start,) = batch
    log_prob, value, reward, alive = rollout(model, start)
    returns, future = [], torch.zeros(len(start))
    for r in reversed(reward.unbind(0)):
        future = r + GAMMA * future
        returns.insert(0, future)
    returns = torch.stack(returns)
    advantage = (returns - value).detach()
    policy_loss = -(log_prob * advantage * alive).sum() / alive.sum()
    value_loss = (loss(value, returns) * alive).sum() / alive.sum()
    total = policy_loss + 0.5 * value_loss
    optimizer.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return total.detach()


@torch.no_grad()
def evaluate(model, val_set):
    """Share of the start cells from which the greedy policy gets to the goal."""
    model.eval()
    (cell,) = val_set.tensors
    arrived = cell == GOAL
    for _ in range(HORIZON):
        cell = torch.where(arrived, cell, move(cell, model(cell)[0].argmax(-1)))
        arrived = arrived | (cell == GOAL)
    return {"success": arrived.float().mean().item()}


def build():
    g = torch.Generator().manual_seed(0)
    starts = torch.tensor([c for c in range(CELLS) if c != GOAL])
    return {
        "model": ActorCritic(),
        "train_set": TensorDataset(starts[torch.randint(0, len(starts), (800,), generator=g)]),
        "val_set": TensorDataset(starts[torch.randint(0, len(starts), (100,), generator=g)]),
        "loss": nn.MSELoss(reduction="none"),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "train_step": train_step,
        "evaluate": evaluate,
        "batch_size": 40,
        "epochs": 5,
    }
