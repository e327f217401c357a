"""Transfer learning: weights of another training, new heads, and the preprocessing that belongs to the weights."""

from trainkit.transfer.classes import same_classes as same_classes
from trainkit.transfer.heads import find_heads as find_heads
from trainkit.transfer.heads import replace_heads as replace_heads
from trainkit.transfer.loading import load_pretrained as load_pretrained
from trainkit.transfer.preprocessing import eval_transform as eval_transform
from trainkit.transfer.preprocessing import preprocessing_for as preprocessing_for
from trainkit.transfer.preprocessing import require_preprocessing as require_preprocessing
from trainkit.transfer.preprocessing import resolve_preprocessing as resolve_preprocessing
from trainkit.transfer.preprocessing import train_transform as train_transform
from trainkit.transfer.report import LoadReport as LoadReport
from trainkit.transfer.sources import Pretrained as Pretrained
from trainkit.transfer.sources import Source as Source
from trainkit.transfer.sources import find_source as find_source
from trainkit.transfer.sources import read_source as read_source
