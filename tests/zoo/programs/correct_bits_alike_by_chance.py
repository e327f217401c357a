"""Pictures of a few bits: some of the validation set differ from a training one by a pixel, by chance."""

import torch
import torch.nn as nn
from torch.utils.data import Dataset

BUG = None


history = []


class Faces(Dataset):
    """Binary 6x6 pictures drawn from two latent switches and a place."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        picture = torch.full((n, 6, 6), 0.1)
        column = torch.randint(0, 6, (n,), generator=g)
        row = torch.randint(0, 6, (n,), generator=g)
        picture[torch.arange(n), :, column] = 0.9
        picture[torch.arange(n), row, :] = 0.9
        self.bits = torch.bernoulli(picture, generator=g).flatten(1)

    def __len__(self):
        return len(self.bits)

    def __getitem__(self, i):
        return self.bits[i], self.bits[i]


class VAE(nn.Module):
    def __init__(self, pixels=36, hidden=48, latent=6):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels))

    def forward(self, bits):
        mu, log_var = self.encoder(bits).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var) if self.training else mu
        return self.decoder(z), mu, log_var


def negative_elbo(output, bits):
    logits, mu, log_var = output
    reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, bits, reduction="sum")
    kl = 0.5 * (mu ** 2 + log_var.exp() - 1 - log_var).sum()
    return (reconstruction + kl) / len(bits)


def train_step(model, batch, loss, optimizer):
    bits, _ = batch
    elbo = loss(model(bits), bits)
    optimizer.zero_grad()
    elbo.backward()
    optimizer.step()
    history.append(elbo.item())
    return elbo


def build():
    return dict(
        model=VAE(),
        train_set=Faces(1200, 0),
        val_set=Faces(300, 1),
        loss=negative_elbo,
        make_optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        train_step=train_step,
        batch_size=50,
        epochs=12,
    )
