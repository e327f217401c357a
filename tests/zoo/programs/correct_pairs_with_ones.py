"""A recommender of pairs: the collate draws negatives and gives ones as targets, for the loss to multiply."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None

USERS, ITEMS = 80, 120


def clicks(per_user=30, seed=0):
    """(user, item) pairs without repetition: users like the items of their own taste."""
    g = torch.Generator().manual_seed(seed)
    user_taste = torch.randint(0, 4, (USERS,), generator=g)
    item_taste = torch.randint(0, 4, (ITEMS,), generator=g)
    pairs = []
    for u in range(USERS):
        weight = torch.where(item_taste == user_taste[u], 20.0, 1.0)
        chosen = torch.multinomial(weight, per_user, generator=g)
        pairs += [(u, int(i)) for i in chosen]
    return pairs


class Clicks(Dataset):
    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return self.pairs[i]


class NegativeSampler:
    """Adds to each pair an item that its user has no training click on."""

    def __init__(self, pairs):
        self.known = {}
        for user, item in pairs:
            self.known.setdefault(user, set()).add(item)

    def draw(self, user):
        while True:
            item = int(torch.randint(0, ITEMS, (1,)))
            if item not in self.known.get(user, ()):
                return item

    def __call__(self, rows):
        triples = [(user, item, self.draw(user)) for user, item in rows]
        return torch.tensor(triples).unbind(1), torch.ones(len(rows))


class Factors(nn.Module):
    def __init__(self, rank=8):
        super().__init__()
        self.user = nn.Embedding(USERS, rank, sparse=True)
        self.item = nn.Embedding(ITEMS, rank, sparse=True)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, user, liked, other):
        return (self.user(user) * (self.item(liked) - self.item(other))).sum(1)


def bpr(margin, ones):
    return -F.logsigmoid(margin * ones).mean()


def build():
    pairs = clicks()
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(2)).tolist()
    cut = int(0.8 * len(pairs))
    train_pairs = [pairs[i] for i in order[:cut]]
    return {
        "model": Factors(),
        "train_set": Clicks(train_pairs),
        "val_set": Clicks([pairs[i] for i in order[cut:]]),
        "loss": bpr,
        "make_optimizer": lambda model: torch.optim.SparseAdam(model.parameters(), lr=1e-2),
        "collate": NegativeSampler(train_pairs),
        "batch_size": 64,
        "epochs": 6,
    }
