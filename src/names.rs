//! Every public name: metrics, labels, headers.
