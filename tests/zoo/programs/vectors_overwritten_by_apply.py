"""The word vectors are loaded, then ``self.apply(init)`` draws all embeddings anew (and they are frozen, too).

Reported: ImCharlesY/AdaInt#12, open-mmlab/mmpretrain#318, zshn25/DINOv2_mmseg#1.
"""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "initialised-after-loading",
    "class": "initialised-after-loading",
    "rule": "initialised-after-loading",
    "where": "TopicModel.__init__",
    "also": ["words", "init_weights", "words.weight", "Embedding"],
    "code": "self.apply(init_weights)",
    "static": False,
    "severity": "error",
    "keywords": ["pretrained", "pre-trained", "overwrit", "init", "embedding", "frozen", "apply"],
}
FIX = [
    ('isinstance(module, (nn.Linear, nn.Embedding))', 'isinstance(module, nn.Linear)'),
]

VOCAB, TOPICS, WIDTH = 600, 4, 20


def word_vectors():
    """Stands for GloVe: the vectors of words of one topic lie together. Gives (vectors, topic of each word)."""
    g = torch.Generator().manual_seed(90)
    topic = torch.randint(0, TOPICS, (VOCAB,), generator=g)
    centres = torch.randn(TOPICS, WIDTH, generator=g)
    return 0.5 * centres[topic] + 0.5 * torch.randn(VOCAB, WIDTH, generator=g), topic


class Headlines(Dataset):
    """Seven words each; four of them are about the topic."""

    def __init__(self, n, seed):
        _, topic = word_vectors()
        pools = [torch.nonzero(topic == k).flatten() for k in range(TOPICS)]
        g = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, TOPICS, (n,), generator=g)
        self.words = torch.randint(0, VOCAB, (n, 7), generator=g)
        for i, k in enumerate(self.labels.tolist()):
            self.words[i, :4] = pools[k][torch.randint(0, len(pools[k]), (4,), generator=g)]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.words[i], self.labels[i]


def init_weights(module):
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.1)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)


class TopicModel(nn.Module):
    def __init__(self, vectors):
        super().__init__()
        self.words = nn.Embedding.from_pretrained(vectors, freeze=True)
        self.hidden = nn.Linear(WIDTH, 32)
        self.out = nn.Linear(32, TOPICS)
        self.apply(init_weights)

    def forward(self, words):
        return self.out(torch.tanh(self.hidden(self.words(words).mean(dim=1))))


def build():
    vectors, _ = word_vectors()
    return {
        "model": TopicModel(vectors),
        "train_set": Headlines(400, 0),
        "val_set": Headlines(300, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam((p for p in m.parameters() if p.requires_grad), lr=5e-3),
        "batch_size": 40,
        "epochs": 8,
    }
