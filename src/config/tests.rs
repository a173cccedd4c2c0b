use std::path::Path;

use super::*;

fn read(text: &str) -> Result<Config, Problems> {
    let document = Node::from_toml_with("c.toml", text, &|name| (name == "TOKEN").then(|| "s3cret".to_owned()))?;
    Config::resolve(Path::new("c.toml"), &document)
}

fn problems(text: &str) -> Vec<String> {
    read(text).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_minimal_file_is_enough_and_everything_else_has_a_safe_default() {
    let config = read(MINIMAL).unwrap();
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:7470");
    assert_eq!(config.metrics.listen.to_string(), "127.0.0.1:7471");
    assert_eq!(config.safety.state_file, Path::new(".brownout-state.json"));
    assert!(!config.log.access);
    let proxy = &config.proxies[0];
    assert_eq!((proxy.name.as_str(), proxy.listen.to_string().as_str()), ("web", "127.0.0.1:8080"));
    assert_eq!(proxy.upstreams[0].to_string(), "http://127.0.0.1:9000");
    assert_eq!(proxy.half_close, HalfClose::Abort);
    assert!(proxy.marks);
}

#[test]
fn every_key_is_read() {
    let config = read(
        r#"
        [admin]
        listen = "0.0.0.0:7470"
        token = "${TOKEN}"
        hosts = ["chaos.internal"]
        [metrics]
        listen = "[::]:9100"
        [[proxy]]
        name = "payments"
        protocol = "http"
        listen = "localhost:8080"
        upstream = ["h2c://a:1", "h2c://[::1]:2"]
        half_close = "wait"
        connect_timeout = "1s"
        read_timeout = "2s"
        write_timeout = "3s"
        idle_timeout = "4s"
        keepalive_timeout = "5s"
        marks = false
        shards = 3
        forwarded = "append"
        [proxy.limits]
        connections = 7
        [[proxy.route]]
        name = "checkout"
        match = { path = "/api/checkout/{id}" }
        [rules]
        dir = "/r"
        seed = 7
        [safety]
        max_probability = "50%"
        require_lease = true
        allow_targets = ["staging.example"]
        state_file = "/s/state.json"
        [log]
        format = "json"
        access = true
        [drain]
        limit = "2s"
        "#,
    )
    .unwrap();
    assert_eq!(config.admin.token.as_ref().map(Token::reveal), Some("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"), "a secret must not reach a log");
    assert_eq!(config.admin.hosts, ["chaos.internal"]);
    let proxy = &config.proxies[0];
    assert_eq!(proxy.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(), ["h2c://a:1", "h2c://[::1]:2"]);
    assert_eq!((proxy.half_close, proxy.marks, proxy.shards.get()), (HalfClose::Wait, false, 3));
    let t = proxy.timeouts;
    assert_eq!([t.connect, t.read, t.write, t.idle, t.keepalive].map(|d| d.as_secs()), [1, 2, 3, 4, 5]);
    assert_eq!((proxy.forwarded, proxy.limits.connections), (Forwarded::Append, 7));
    assert_eq!(proxy.routes[0].name, "checkout");
    assert_eq!((config.rules.dir.as_path(), config.rules.seed), (Path::new("/r"), 7));
    assert_eq!((config.safety.max_probability.get(), config.safety.require_lease), (0.5, true));
    assert_eq!(config.safety.state_file, Path::new("/s/state.json"));
    assert_eq!((config.log.format, config.log.access), (LogFormat::Json, true));
    assert_eq!(config.drain.limit.as_secs(), 2);
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once_with_their_lines() {
    let text = r#"[admin]
listen = "0.0.0.0:7470"
[[proxy]]
name = "a"
protocol = "tcp"
listen = "8080"
upstream = "ftp://x:1"
read_timeout = "0s"
[[proxy]]
name = "b"
listen = "127.0.0.1:8081"
upstream = "http://127.0.0.1:8081"
halfclose = "wait"
shards = 0
[[proxy]]
name = "b"
listen = "127.0.0.1:7471"
upstream = []
[[proxy]]
name = "b"
listen = "0.0.0.0:8081"
upstream = "http://127.0.0.1:9000"
half_close = "maybe"
attach = "http://127.0.0.1:1"
[log]
format = "jsn"
[drian]
limit = "1s"
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn a_missing_file_is_answered_with_one_that_works() {
    let problems = Config::load(Path::new("no/such/file.toml"), &[]).unwrap_err();
    insta::assert_snapshot!(problems.to_string());
}

#[test]
fn values_are_set_from_the_command_line_and_mistakes_there_are_reported_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, MINIMAL).unwrap();
    let set = |sets: &[&str]| Config::load(&path, &sets.iter().map(ToString::to_string).collect::<Vec<_>>());
    let config = set(&["proxy.0.listen=127.0.0.1:0", "drain.limit=1s"]).unwrap();
    assert_eq!((config.proxies[0].listen.port(), config.drain.limit.as_secs()), (0, 1));
    assert_eq!(set(&["proxy.9.listen=x", "nonsense"]).unwrap_err().0.len(), 2);
    let wrong = set(&["drain.limit=soon", "proxy.0.listen=8081"]).unwrap_err();
    let blamed: Vec<_> = wrong.0.iter().map(|problem| (problem.file.as_str(), problem.line)).collect();
    assert_eq!(blamed, [("--set proxy.0.listen=8081", None), ("--set drain.limit=soon", None)], "{wrong}");
}

#[test]
fn the_way_to_an_instance_is_known_from_its_file_alone_whatever_else_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let admin = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Config::admin_of(&path)
    };
    let file =
        "[admin]\nlisten = \"0.0.0.0:1234\"\ntoken = \"${NOT_IN_THIS_SHELL}\"\n[[proxy]]\nwrong = \"${NOR_THIS}\"";
    let found = admin(file).unwrap();
    assert_eq!((found.url().as_str(), found.token), ("http://127.0.0.1:1234", None));
    assert_eq!(admin("").unwrap().url(), "http://127.0.0.1:7470");
    assert_eq!(admin("[admin]\nlisten = \"[::]:1\"\ntoken = \"t\"").unwrap().url(), "http://[::1]:1");
    assert_eq!(admin("[admin]\nlisten = 7\nhosts = [\"a:1\", \"a/b\"]").unwrap_err().0.len(), 3);
    assert!(admin("admin =").is_err() && Config::admin_of(&folder.path().join("none")).is_err());
}

#[test]
fn a_relative_path_lies_beside_the_file_wherever_the_program_is_started() {
    let document = Node::from_toml("brownout.toml", MINIMAL).unwrap();
    // The tests are started where there is a folder `rules`: it is not the one that is meant.
    assert!(Path::new("rules").exists());
    let config = Config::resolve(Path::new("/etc/brownout/brownout.toml"), &document).unwrap();
    assert_eq!(config.rules.dir, Path::new("/etc/brownout/rules"));
    assert_eq!(config.safety.state_file, Path::new("/etc/brownout/.brownout-state.json"));
}

#[test]
fn an_experiment_attaches_to_running_proxies_or_starts_its_own() {
    let document = Node::from_toml(
        "e.toml",
        "[[proxy]]\nname = \"a\"\nattach = [\"http://10.0.0.1:7470\", \"http://10.0.0.2:7470\"]\ntoken = \"t\"\n\
         [[proxy]]\nname = \"b\"\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\n\
         [[proxy]]\nname = \"c\"\nattach = \"10.0.0.1\"\nlisten = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let problems = RefCell::default();
    let mut top = Reader::new("e.toml", &document, "", &problems);
    let mut read = Vec::new();
    for mut reader in top.tables("proxy") {
        read.push(read_experiment_proxy(&mut reader));
        reader.finish();
    }
    assert!(matches!(&read[0], Some(ExperimentProxy::Attach { name, admin, .. }) if name == "a" && admin.len() == 2));
    assert!(matches!(&read[1], Some(ExperimentProxy::Start(proxy)) if proxy.name == "b"));
    assert_eq!(read[2], None);
    assert_eq!(problems.borrow().0.iter().map(|p| p.line).collect::<Vec<_>>(), [Some(12), Some(11)]);
}
