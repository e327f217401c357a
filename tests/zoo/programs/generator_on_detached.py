"""The generator's loss is computed on a detached sample."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "generator-on-detached",
    "rule": "gradient-cut",
    "class": "gradient-cut",
    "where": 'train_step',
    "code": 'fake = generator(noise).detach()',
    "static": False,
    "severity": "error",
    "keywords": ['gradient', 'detach'],
}
FIX = [
    ('fake = generator(noise).detach()\n        fool', 'fake = generator(noise)\n        fool'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 10))
        self.critic = nn.Sequential(nn.Linear(10, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, x):
        return self.critic(x)


def build():
    def train_step(model, batch, loss, optimizers):
        real, _ = batch
        generator, critic = model.generator, model.critic
        noise = torch.randn(len(real), 4)
        optimizers[1].zero_grad()
        judged, faked = critic(real), critic(generator(noise).detach())
        d = loss(judged, torch.ones_like(judged)) + loss(faked, torch.zeros_like(faked))
        d.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        fake = generator(noise).detach()
        fool = critic(fake)
        g = loss(fool, torch.ones_like(fool))
        g.backward()
        optimizers[0].step()
        return d.item()

    return {"model": Gan(), **sets(blobs), "loss": nn.BCEWithLogitsLoss(), "batch_size": 50, "train_step": train_step,
            "make_optimizer": lambda m: [torch.optim.Adam(m.generator.parameters(), lr=2e-4), torch.optim.Adam(m.critic.parameters(), lr=2e-4)]}
