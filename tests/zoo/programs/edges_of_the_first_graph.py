"""Graphs are joined to one big graph and the edge indices are not moved by the nodes before.

All edges of the batch lie between the nodes of the first graph. Report:
https://github.com/deepchem/deepchem/pull/3291, https://github.com/chemprop/chemprop/pull/786.
"""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'edges_of_the_first_graph',
    'class': 'batch-mixing',
    'where': 'collate',
    'also': ['merge', 'edges'],
    'code': 'edges.append(edge_index)',
    'static': True,
    'severity': 'error',
    'keywords': ['offset', 'edge', 'index', 'node', 'first graph', 'cumul'],
    'rule': 'indices-not-shifted',
}
FIX = [
    ('edges.append(edge_index)', 'edges.append(edge_index + sum(map(len, nodes[:-1])))'),
]


class Molecules(Dataset):
    """Charged atoms: class 1 where more bonds join like charges than unlike ones."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.graphs = []
        for _ in range(n):
            size = int(torch.randint(6, 11, (), generator=g))
            charge = torch.randint(0, 2, (size,), generator=g) * 2.0 - 1
            a = torch.randint(0, size, (9,), generator=g)
            b = (a + torch.randint(1, size, (9,), generator=g)) % size
            label = int((charge[a] * charge[b]).sum() > 0)
            extra = 0.3 * torch.randn(size, 3, generator=g)
            both = torch.stack([torch.cat([a, b]), torch.cat([b, a])])
            self.graphs.append((torch.cat([charge[:, None], extra], dim=1), both, label))

    def __len__(self):
        return len(self.graphs)

    def __getitem__(self, i):
        return self.graphs[i]


def merge(samples):
    nodes, edges, owner, labels = [], [], [], []
    for k, (x, edge_index, label) in enumerate(samples):
        nodes.append(x)
        edges.append(edge_index)
        owner.append(torch.full((len(x),), k))
        labels.append(label)
    inputs = (torch.cat(nodes), torch.cat(edges, dim=1), torch.cat(owner))
    return inputs, torch.tensor(labels)


class GraphNet(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.message = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.update = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU())
        self.readout = nn.Linear(dim, 2)

    def forward(self, x, edge_index, owner):
        h = self.embed(x)
        source, goal = edge_index
        sent = self.message(torch.cat([h[source], h[goal]], dim=1))
        got = torch.zeros_like(h).index_add(0, goal, sent)
        h = self.update(torch.cat([h, got], dim=1))
        graphs = int(owner.max()) + 1
        total = h.new_zeros(graphs, h.size(1)).index_add(0, owner, h)
        return self.readout(total / owner.bincount(minlength=graphs)[:, None])


def build():
    return {
        "model": GraphNet(),
        "train_set": Molecules(600, 0),
        "val_set": Molecules(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=5e-3),
        "collate": merge,
        "batch_size": 30,
        "epochs": 8,
    }
