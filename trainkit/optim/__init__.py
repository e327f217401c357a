"""What belongs to the update: parameter groups, schedules, clipping, weight averages."""

from trainkit.optim.averaging import NoAverage as NoAverage
from trainkit.optim.averaging import WeightAverage as WeightAverage
from trainkit.optim.freeze import FreezePlan as FreezePlan
from trainkit.optim.freeze import NoFreeze as NoFreeze
from trainkit.optim.options import ResumableOptimizer as ResumableOptimizer
from trainkit.optim.options import resumable as resumable
from trainkit.optim.schedules import NoSchedule as NoSchedule
from trainkit.optim.schedules import Schedule as Schedule
from trainkit.optim.schedules import make_schedule as make_schedule
