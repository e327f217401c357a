"""Correct: both sets share a vocabulary; each keeps an index of its own document names."""
import random
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None
WORDS = "good bad great awful film plot the a was and".split()


class Docs(Dataset):
    def __init__(self, n, seed, vocab=None):
        r = random.Random(seed)
        self.rows = [(f"doc{r.randrange(n)}_{i % 7}", [r.choice(WORDS) for _ in range(8)]) for i in range(n)]
        self.names = {name: i for i, (name, _) in enumerate(self.rows)}
        self.vocab = vocab or {w: i + 1 for i, w in enumerate(sorted({w for _, ws in self.rows for w in ws}))}

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        words = self.rows[i][1]
        y = sum(w in ("good", "great") for w in words) > sum(w in ("bad", "awful") for w in words)
        return torch.tensor([self.vocab[w] for w in words]), int(y)


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.emb = nn.EmbeddingBag(n, 16)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.emb(x))


def build():
    train = Docs(500, 0)
    return {"model": Net(len(train.vocab) + 1), "train_set": train, "val_set": Docs(150, 1, train.vocab), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2), "batch_size": 25}
