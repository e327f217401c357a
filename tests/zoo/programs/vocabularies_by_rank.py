"""The validation text is numbered with a vocabulary built from the validation text.

The same word has another index than in training. Report:
https://github.com/minqukanq/hierarchical-multi-label-text-classification/issues/6,
https://github.com/conversationai/wikidetox/pull/77.
"""

import random
from collections import Counter

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'vocabularies_by_rank',
    'class': 'preprocessing-differs',
    'where': 'val_set',
    'also': ['build_vocab', 'build', 'vocab'],
    'code': 'build_vocab(val_texts)',
    'static': True,
    'severity': 'error',
    'keywords': ['vocab', 'val_texts', 'index', 'mapping', 'differ', 'token', 'distribution'],
    'rule': 'vocabulary-per-split',
}
FIX = [
    ('build_vocab(val_texts)', 'build_vocab(train_texts)'),
]

TOPICS = [
    "goal match team coach striker league penalty referee".split(),
    "stock bank market profit bond trader dividend inflation".split(),
    "virus doctor patient vaccine clinic surgery nurse fever".split(),
]
COMMON = "the a of and to in was with for by".split()


def articles(n, seed):
    rng = random.Random(seed)
    texts, labels = [], []
    for _ in range(n):
        label = rng.randrange(3)
        words = [rng.choice(COMMON if rng.random() < 0.6 else TOPICS[label]) for _ in range(9)]
        texts.append(" ".join(words))
        labels.append(label)
    return texts, labels


def build_vocab(texts):
    counts = Counter(word for text in texts for word in text.split())
    return {word: i for i, (word, _) in enumerate(counts.most_common(), start=1)}


class Articles(Dataset):
    def __init__(self, texts, labels, vocab):
        self.ids = torch.tensor([[vocab.get(w, 0) for w in t.split()] for t in texts])
        self.labels = torch.tensor(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.ids[i], self.labels[i]


def build():
    train_texts, train_labels = articles(600, 0)
    val_texts, val_labels = articles(200, 1)
    vocab = build_vocab(train_texts)
    return {
        "model": nn.Sequential(nn.EmbeddingBag(len(vocab) + 1, 24, mode="mean"), nn.Linear(24, 3)),
        "train_set": Articles(train_texts, train_labels, vocab),
        "val_set": Articles(val_texts, val_labels, build_vocab(val_texts)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-2),
        "batch_size": 30,
    }
