"""Mean teacher: the teacher is the student itself, not a copy.
"""

import copy
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'teacher_is_student',
    'class': 'follower-is-alias',
    'where': 'teacher',
    'also': ['train_step', 'Distiller'],
    'code': 'self.teacher = student',
    'static': False,
    'severity': 'error',
    'keywords': ['same', 'teacher', 'copy', 'alias'],
    'rule': 'follower-is-alias',
}
FIX = [
    ('self.teacher = student', 'self.teacher = copy.deepcopy(student)'),
]


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 10, generator=g), y

class MeanTeacher:
    def __init__(self, student, decay=0.95):
        self.student = student
        self.teacher = student
        self.decay = decay

    def step(self, model, batch, loss, optimizer):
        x, y = batch
        noisy = x + 0.2 * torch.randn_like(x)
        logits = self.student(noisy)
        with torch.no_grad():
            target = self.teacher(x + 0.2 * torch.randn_like(x)).softmax(1)
        value = loss(logits, y) + F.mse_loss(logits.softmax(1), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for t, s in zip(self.teacher.parameters(), self.student.parameters()):
                t.mul_(self.decay).add_(s, alpha=1 - self.decay)
        return value.item()

def build():
    student = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3))
    return {
        "model": student, "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "train_step": MeanTeacher(student).step, "batch_size": 50, "epochs": 10,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
    }
