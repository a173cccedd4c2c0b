//! Reports: one file per format over [`results`](crate::results).
