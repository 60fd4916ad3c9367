"""What holds for every test: one thread to a process, and one Hypothesis profile everywhere."""

import os

# pytest-xdist already fills the cores, and a sum split over threads may round otherwise.
# Read when numpy and torch are loaded, so set before anything imports them.
os.environ.update(
    OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", VECLIB_MAXIMUM_THREADS="1"
)

from hypothesis import HealthCheck, settings

# Where CI is set, Hypothesis takes a profile of its own; this one says all of what that would change.
# The suite repeats the same examples each time: looking for new ones is the work of `refgrad fuzz`.
settings.register_profile(
    "refgrad",
    parent=settings.get_profile("default"),
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("refgrad")
