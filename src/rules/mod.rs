//! Rules: which requests get which faults, when, how often.
