"""Correct: a masked token loss divided by the tokens, and an evaluation that leaves the padding out."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

BUG = None


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        k = int(torch.randint(3, 16, (1,), generator=g))
        w = torch.randint(1, 20, (k,), generator=g)
        rows.append((w, w % 3))
    return rows


def collate(rows):
    lengths = torch.tensor([len(w) for w, _ in rows])
    return (pad_sequence([w for w, _ in rows], batch_first=True), lengths), pad_sequence([y for _, y in rows], batch_first=True, padding_value=-1)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(20, 16, padding_idx=0)
        self.rnn = nn.GRU(16, 24, batch_first=True)
        self.fc = nn.Linear(24, 3)

    def forward(self, w, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(self.emb(w), lengths, batch_first=True, enforce_sorted=False)
        return self.fc(nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])


def loss(logits, y):
    keep = (y >= 0).float()
    each = F.cross_entropy(logits.flatten(0, 1), y.clamp(min=0).flatten(), reduction="none").view_as(y)
    return (each * keep).mean() / keep.mean()


def evaluate(model, val_set):
    model.eval()
    right = count = 0
    with torch.no_grad():
        for (w, lengths), y in DataLoader(val_set, 20, collate_fn=collate):
            hit = model(w, lengths).argmax(-1) == y
            right += hit.sum().item()
            count += (y >= 0).sum().item()
    model.train()
    return right / count


def build():
    return {"model": Tagger(), "train_set": make(500, 0), "val_set": make(100, 1), "collate": collate, "loss": loss, "evaluate": evaluate,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 20}
