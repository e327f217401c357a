"""Correct: CTC on lines of one width; what is behind the text is background that the net has to read as blank."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Lines(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        shapes = (torch.rand(6, 8, 4, generator=torch.Generator().manual_seed(9)) > 0.5).float()
        self.rows = []
        for _ in range(n):
            k = int(torch.randint(2, 5, (1,), generator=g))
            y = torch.randint(1, 6, (4,), generator=g)
            image = torch.zeros(1, 8, 24)
            for j in range(k):
                image[0, :, 6 * j : 6 * j + 4] = shapes[y[j]]
            self.rows.append((image, torch.where(torch.arange(4) < k, y, -1)))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 24, (8, 4), stride=(1, 2))
        self.rnn = nn.GRU(24, 24, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(48, 6)

    def forward(self, x):
        h = self.conv(x).relu().squeeze(2).transpose(1, 2)
        return self.fc(self.rnn(h)[0]).log_softmax(-1).transpose(0, 1)


def loss(log_probs, y):
    t, n, _ = log_probs.shape
    lengths = (y >= 0).sum(1)
    return F.ctc_loss(log_probs, y.clamp(min=0), torch.full((n,), t), lengths, zero_infinity=True)


def build():
    return {"model": Net(), "train_set": Lines(300, 0), "val_set": Lines(60, 1), "loss": loss,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 20}
