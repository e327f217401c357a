"""Correct: labels of the answer alone, -100 at the prompt before it and at the padding behind it; tied embeddings."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

BUG = None
PAD, WORDS = 0, 24


class Chats(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.items = []
        for _ in range(n):
            size = int(torch.randint(2, 20, (1,), generator=g))
            prompt = torch.randint(1, WORDS, (2,), generator=g)
            answer = (prompt[0] + torch.arange(size)) % (WORDS - 1) + 1
            self.items.append((prompt, answer))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(items):
    width = max(len(a) + len(b) for a, b in items)
    ids = torch.full((len(items), width), PAD)
    labels = torch.full((len(items), width), -100)
    for row, (prompt, answer) in enumerate(items):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.cat([prompt, answer])
        labels[row, len(prompt) : end] = answer
    return ids, labels


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(WORDS, 32)
        self.rnn = nn.GRU(32, 32, batch_first=True)
        self.out = nn.Linear(32, WORDS)

    def forward(self, ids):
        return self.out(self.rnn(self.embed(ids))[0])


def shifted_loss(logits, labels):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100)


def build():
    torch.manual_seed(0)
    return {
        "model": Model(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": Chats(256, 0),
        "val_set": Chats(64, 1),
        "collate": collate,
        "loss": shifted_loss,
        "batch_size": 32,
    }
