//! Events, metrics and logging.
