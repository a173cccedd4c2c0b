//! Experiments: load, timeline, recovery, verdict.
