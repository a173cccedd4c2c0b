//! `brownout check`: says what is wrong with files, or what they were understood to say.

use std::path::{Path, PathBuf};

use super::{Outcome, output};
use crate::config::{Config, Kind, Protocol, Safety, read_rule_file, read_rules_dir, rule_files};
use crate::diagnostics::{Node, Problems};
use crate::experiment::spec::Experiment;
use crate::rules::{RuleSpec, futile, misplaced};
use crate::units::show_seconds;

/// Check files without starting anything
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout check config/brownout.toml
  brownout check rules
  brownout check config/brownout.toml rules/*.toml config/experiments/*.toml")]
pub struct Args {
    /// Configuration files (their rules are checked as well), rule files, folders of rule files, experiments
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Checks every path and says what was understood; all problems of all paths are one failure.
///
/// # Errors
/// Every problem found, once.
pub fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    for path in &args.paths {
        match check(path) {
            Ok(understood) => output::print(format_args!("{}: ok, {understood}", path.display()))?,
            // A rule file may be given and be part of a folder that is given too.
            Err(found) => {
                problems.0.extend(found.0.into_iter().filter(|p| !problems.0.contains(p)).collect::<Vec<_>>())
            }
        }
    }
    problems.or(0).map_err(Into::into)
}

fn check(path: &Path) -> Result<String, Problems> {
    if path.is_dir() {
        let rules = read_rules_dir(path, &Safety::default())?;
        let files = rule_files(path).map_or(0, |files| files.len());
        return Ok(format!("{} in {}", counted_rules(&rules), counted(files, "file")));
    }
    let document = Node::from_toml_file(path)?;
    match Kind::of(&document) {
        Some(Kind::Config) => check_config(path, &document),
        Some(Kind::Experiment) => check_experiment(path, &document),
        Some(Kind::Rules) => read_rule_file(path).map(|rules| counted_rules(&rules)),
        None => {
            let cure = "a configuration has [[proxy]], a rule file [[rule]], an experiment [experiment]";
            Err(Problems::one(path.display().to_string(), "says nothing that brownout knows", Some(cure)))
        }
    }
}

/// A configuration is what it says and what the rules that it leads to say.
fn check_config(path: &Path, document: &Node) -> Result<String, Problems> {
    let config = Config::resolve(path, document)?;
    let dir = &config.rules.dir;
    let rules = read_rules_dir(dir, &config.safety)?;
    let proxies: Vec<&str> = config.proxies.iter().map(|proxy| proxy.name.as_str()).collect();
    let mut problems = futile(&rules, &proxies);
    let over_tcp = config.proxies.iter().filter(|proxy| proxy.protocol == Protocol::Tcp);
    problems.extend(misplaced(&rules, &over_tcp.map(|proxy| proxy.name.as_str()).collect::<Vec<_>>()));
    problems.or(())?;
    Ok(format!("{}, {} from {}", counted(proxies.len(), "proxy"), counted_rules(&rules), dir.display()))
}

fn check_experiment(path: &Path, document: &Node) -> Result<String, Problems> {
    let experiment = Experiment::resolve(&path.display().to_string(), document)?;
    let plan = &experiment.plan;
    let length = show_seconds(Some(plan.end() * experiment.repeat as f64));
    let proxies = counted(experiment.proxies.len(), "proxy");
    let window = show_seconds(Some(plan.window_s));
    Ok(format!("{proxies}, {}, runs {length}, windows of {window}", counted_rules(&experiment.rules)))
}

fn counted_rules(rules: &[RuleSpec]) -> String {
    let enabled = match rules.iter().filter(|rule| rule.enabled).count() {
        0 => "none".to_owned(),
        some => some.to_string(),
    };
    format!("{} ({enabled} enabled)", counted(rules.len(), "rule"))
}

fn counted(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}
