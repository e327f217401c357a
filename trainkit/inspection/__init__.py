"""What is wrong with a training, where, and how to mend it: rules that read, probe and try one step on copies."""

from trainkit.inspection.check import findings_of as findings_of
from trainkit.inspection.check import inspect as inspect
from trainkit.inspection.subject import Ran as Ran
from trainkit.inspection.subject import Subject as Subject
