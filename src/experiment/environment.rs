//! The machine and the program, for the record.

use crate::results::Environment;

/// What this process runs on and how it was called.
pub fn environment() -> Environment {
    let kernel = |file: &str| std::fs::read_to_string(file).map(|text| text.trim().to_owned());
    let os = match (kernel("/proc/sys/kernel/ostype"), kernel("/proc/sys/kernel/osrelease")) {
        (Ok(name), Ok(release)) => format!("{name} {release}"),
        _ => std::env::consts::OS.to_owned(),
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(':').map(|(_, model)| model.trim().to_owned())
    });
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os,
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cpu,
        command: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
    }
}
