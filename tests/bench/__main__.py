"""`make bench`: all benches, or those named on the command line."""

import sys

from tests.bench import deep, engine, harness

BENCHES = {"engine": engine.main, "deep": deep.main, "harness": harness.main}

for name in sys.argv[1:] or BENCHES:
    if name not in BENCHES:
        sys.exit(f"no bench is called {name!r}; there are: {', '.join(BENCHES)}")
    print(f"== {name}")
    BENCHES[name]()
    print(flush=True)
