"""The harness: draws programs, runs them on two engines, and reports where the engines differ."""
