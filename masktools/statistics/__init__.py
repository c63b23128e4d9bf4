"""Statistics of numbers, whatever they count: chance levels, intervals, corrections for many tests."""
