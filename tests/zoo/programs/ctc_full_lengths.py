"""CTC speech model: the lengths given to the loss are the padded length for all clips."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

BUG = {
    "id": 'ctc-full-lengths',
    "rule": 'ctc-full-lengths',
    "class": 'ctc',
    "where": 'ctc',
    "code": 'input_lengths = torch.full((n,), log_probs.size(0))',
    "static": False,
    "severity": 'warning',
    "keywords": ['input_lengths', 'padding', 'padded', 'length'],
}
FIX = [
    ('torch.full((n,), log_probs.size(0))', 'lengths'),
]


class Clips(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.clips = []
        for _ in range(n):
            k = int(torch.randint(2, 6, (1,), generator=g))
            letters = torch.randint(1, 6, (k,), generator=g)
            frames = F.one_hot(letters.repeat_interleave(3), 6).float() + 0.2 * torch.randn(3 * k, 6, generator=g)
            self.clips.append((frames, letters))

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, i):
        return self.clips[i]


def collate(rows):
    frames, letters = zip(*rows)
    return (
        (pad_sequence(frames, batch_first=True), torch.tensor([len(f) for f in frames])),
        (pad_sequence(letters, batch_first=True), torch.tensor([len(x) for x in letters])),
    )


class Recogniser(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 32, batch_first=True)
        self.fc = nn.Linear(32, 6)

    def forward(self, frames, lengths):
        h, _ = self.rnn(frames)
        return self.fc(h).log_softmax(-1).transpose(0, 1), lengths


def ctc(output, target):
    log_probs, lengths = output
    labels, label_lengths = target
    n = log_probs.size(1)
    input_lengths = torch.full((n,), log_probs.size(0))
    return F.ctc_loss(log_probs, labels, input_lengths, label_lengths, blank=0)


def build():
    return {"model": Recogniser(), "train_set": Clips(400, 0), "val_set": Clips(80, 1), "collate": collate, "loss": ctc,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 20}
