//! Changes of layer `api`, made as a whole and only on what was read.

use std::path::PathBuf;

use serde_json::Value;

use super::no_such_rule;
use crate::cli::remote::failed;
use crate::cli::{Failure, Outcome, output};
use crate::client::{Client, ClientError};
use crate::config::{Safety, read_rule_file, read_rules_dir};
use crate::diagnostics::Problems;
use crate::rules::{RuleSpec, check};

/// How often a change is made again because somebody else was faster.
const TRIES: usize = 5;

/// Reads files and folders; every mistake at once. What the instance's `[safety]` allows is the instance's to say.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<RuleSpec>, Failure> {
    let mut problems = Problems::default();
    let mut rules = Vec::new();
    for path in paths {
        let read = if path.is_dir() { read_rules_dir(path, &Safety::default()) } else { read_rule_file(path) };
        match read {
            Ok(found) => rules.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(check::duplicates(&rules));
    Ok(problems.or(rules)?)
}

/// Puts rules into the layer: those with the same names are replaced in their places, new ones come last.
pub(super) async fn apply(client: Client, rules: Vec<RuleSpec>, replace: bool) -> Outcome {
    let total = change(&client, |mut own| {
        if replace {
            return Ok(rules.iter().map(|rule| rule.json.clone()).collect());
        }
        for rule in &rules {
            match own.iter_mut().find(|old| old["name"] == *rule.name) {
                Some(old) => *old = rule.json.clone(),
                None => own.push(rule.json.clone()),
            }
        }
        Ok(own)
    })
    .await?;
    for rule in &rules {
        let asleep = if rule.enabled { "" } else { " (enabled = false: `brownout rules enable` turns it on)" };
        output::print(format_args!("applied api/{}{asleep}", rule.name))?;
    }
    output::note(format_args!("layer api has {total} rules"));
    Ok(0)
}

/// Takes rules out of the layer: all of them or none.
pub(super) async fn remove(client: Client, names: Vec<String>) -> Outcome {
    change(&client, |mut own| {
        for name in &names {
            let before = own.len();
            own.retain(|rule| rule["name"] != **name);
            if own.len() == before {
                return Err(no_such_rule(
                    name,
                    "only layer api can be taken from; a rule of a file is removed there, or disabled",
                ));
            }
        }
        Ok(own)
    })
    .await?;
    for name in &names {
        output::print(format_args!("removed api/{name}"))?;
    }
    Ok(0)
}

/// Reads the layer, changes it, and puts it back unless somebody else was faster; then again. Gives its new size.
async fn change(client: &Client, change: impl Fn(Vec<Value>) -> Result<Vec<Value>, Failure>) -> Result<usize, Failure> {
    let mut tries = 0;
    loop {
        let (rules, tag) = client.rules_with_tag().await.map_err(failed)?;
        // A rule that goes back as it was keeps its switch, lease and counters.
        let own = rules.rules.into_iter().filter(|rule| rule.layer == "api").map(|rule| rule.rule).collect();
        let wanted = change(own)?;
        tries += 1;
        match client.put_rules(&wanted, &tag).await {
            Ok(_) => return Ok(wanted.len()),
            Err(ClientError::Refused(problem)) if problem.status == 412 && tries < TRIES => {}
            Err(ClientError::Refused(problem)) if problem.status == 422 => {
                return Err(Failure::BadInput(Problems(problem.problems)));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}
