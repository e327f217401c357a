"""Data: the keyed loader, loaders of other makers, and the splits of a run."""

from trainkit.data.foreign import Foreign as Foreign
from trainkit.data.foreign import keyed_stream as keyed_stream
from trainkit.data.loader import Loader as Loader
from trainkit.data.loader import Source as Source
from trainkit.data.loader import as_source as as_source
from trainkit.data.loader import explained as explained
from trainkit.data.loader import length as length
from trainkit.data.loader import samples_in as samples_in
from trainkit.data.splits import Splits as Splits
