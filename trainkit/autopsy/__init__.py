"""What made a number bad, or did not fit: a step taken once more, and told operation by operation."""

from trainkit.autopsy.bundle import read_bundle as read_bundle
from trainkit.autopsy.examining import examined as examined
from trainkit.autopsy.inquest import bad_numbers as bad_numbers
from trainkit.autopsy.inquest import step_of as step_of
from trainkit.autopsy.inquest import tell_of_left_out as tell_of_left_out
from trainkit.autopsy.replaying import replayed as replayed
from trainkit.autopsy.replaying import seen_in as seen_in
from trainkit.autopsy.report import Autopsy as Autopsy
from trainkit.autopsy.seeing import Seen as Seen
from trainkit.autopsy.shapes import Failure as Failure
from trainkit.autopsy.shapes import flow_until_failure as flow_until_failure
from trainkit.autopsy.shapes import shapes_until_failure as shapes_until_failure
from trainkit.autopsy.step import Step as Step
