//! The examples for Kubernetes and compose: valid as such, and right about the program that they start.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brownout::config::{Config, read_rules_dir};
use brownout::diagnostics::Node;
use brownout::units::parse_duration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, HTTPGetAction, PodSpec, Probe, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn config_folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

fn documents(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(config_folder(path)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The document as what it says it is; a key that its kind does not have is a failure.
fn strictly<T: DeserializeOwned + serde::Serialize>(document: &Value) -> T {
    let object: T = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&object).unwrap(), document, "a key was not understood");
    object
}

/// Everything in `sidecar.yaml`.
struct Sidecar {
    config: Config,
    rules: usize,
    pod: PodSpec,
    service: Service,
    maps: Vec<ConfigMap>,
}

impl Sidecar {
    fn read() -> Self {
        let documents = documents("kubernetes/sidecar.yaml");
        let of = |kind: &'static str| documents.iter().filter(move |document| document["kind"] == kind);
        assert_eq!(documents.len(), of("ConfigMap").count() + 2);
        let maps: Vec<ConfigMap> = of("ConfigMap").map(strictly).collect();
        let deployment: Deployment = strictly(of("Deployment").next().unwrap());
        let service = strictly(of("Service").next().unwrap());
        let spec = deployment.spec.unwrap();
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        let wanted = spec.selector.match_labels.unwrap();
        assert!(wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
        let (config, rules) = Self::configured(&maps);
        Self { config, rules, pod: spec.template.spec.unwrap(), service, maps }
    }

    /// What the ConfigMaps say, as `brownout check` would read it.
    fn configured(maps: &[ConfigMap]) -> (Config, usize) {
        let data = |map: &ConfigMap| map.data.clone().unwrap();
        let file = data(&maps[0]).remove("brownout.toml").unwrap();
        let document = Node::from_toml("brownout.toml", &file).unwrap();
        let config = Config::resolve(Path::new("/etc/brownout/config/brownout.toml"), &document).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in data(&maps[1]) {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let rules = read_rules_dir(folder.path(), &config.safety).unwrap().len();
        (config, rules)
    }

    fn brownout(&self) -> &Container {
        let sidecars = self.pod.init_containers.as_ref().unwrap();
        sidecars.iter().find(|container| container.name == "brownout").unwrap()
    }

    fn app(&self) -> &Container {
        &self.pod.containers[0]
    }

    fn mounted(&self, volume: &str) -> &str {
        let mounts = self.brownout().volume_mounts.as_ref().unwrap();
        &mounts.iter().find(|mount| mount.name == volume).unwrap().mount_path
    }
}

fn port(container: &Container, name: &str) -> u16 {
    let ports = container.ports.as_ref().unwrap();
    let port = ports.iter().find(|port| port.name.as_deref() == Some(name)).unwrap();
    u16::try_from(port.container_port).unwrap()
}

fn asks(probe: &Option<Probe>) -> (String, IntOrString) {
    let HTTPGetAction { path, port, .. } = probe.clone().unwrap().http_get.unwrap();
    (path.unwrap(), port)
}

#[test]
fn the_sidecar_listens_where_the_manifest_says() {
    let sidecar = Sidecar::read();
    let (config, brownout) = (&sidecar.config, sidecar.brownout());
    let proxy = &config.proxies[0];
    assert!(proxy.listen.ip().is_unspecified() && config.metrics.listen.ip().is_unspecified());
    assert!(config.admin.listen.ip().is_loopback(), "whoever reaches the admin API can break the service");
    assert_eq!(port(brownout, "http"), proxy.listen.port());
    assert_eq!(port(brownout, "metrics"), config.metrics.listen.port());
    assert_eq!(proxy.upstreams[0].to_string(), format!("http://127.0.0.1:{}", port(sidecar.app(), "app")));
    let service = sidecar.service.spec.unwrap().ports.unwrap();
    assert_eq!(service[0].target_port, Some(IntOrString::String("http".to_owned())));
}

#[test]
fn the_sidecar_is_probed_where_faults_do_not_reach() {
    let sidecar = Sidecar::read();
    let metrics = || IntOrString::String("metrics".to_owned());
    assert_eq!(asks(&sidecar.brownout().startup_probe), ("/readyz".to_owned(), metrics()));
    assert_eq!(asks(&sidecar.brownout().readiness_probe), ("/readyz".to_owned(), metrics()));
    assert_eq!(asks(&sidecar.brownout().liveness_probe), ("/healthz".to_owned(), metrics()));
    assert_eq!(asks(&sidecar.app().readiness_probe).1, IntOrString::String("app".to_owned()));
}

#[test]
fn the_grace_is_longer_than_what_the_sidecar_needs_to_end() {
    let sidecar = Sidecar::read();
    let stop = sidecar.brownout().lifecycle.clone().unwrap().pre_stop.unwrap();
    let pause = Duration::from_secs(stop.sleep.unwrap().seconds.try_into().unwrap());
    let grace = Duration::from_secs(sidecar.pod.termination_grace_period_seconds.unwrap().try_into().unwrap());
    assert!(!pause.is_zero());
    assert!(grace >= pause + sidecar.config.drain.limit + Duration::from_secs(5), "{grace:?}");
    assert_eq!(sidecar.brownout().restart_policy.as_deref(), Some("Always"), "it outlives the service");
}

#[test]
fn the_sidecar_finds_its_files_and_may_do_no_more_than_it_must() {
    let sidecar = Sidecar::read();
    let (config, brownout) = (&sidecar.config, sidecar.brownout());
    let arguments = brownout.args.clone().unwrap();
    assert_eq!(arguments, ["serve", "-c", &format!("{}/brownout.toml", sidecar.mounted("config"))]);
    assert_eq!(config.rules.dir, Path::new(sidecar.mounted("rules")));
    assert_eq!(config.safety.state_file.parent(), Some(Path::new(sidecar.mounted("state"))));
    assert!(brownout.volume_mounts.iter().flatten().all(|mount| mount.sub_path.is_none()), "edits would not arrive");
    assert!(sidecar.rules > 0);
    let names: Vec<_> = sidecar.maps.iter().filter_map(|map| map.metadata.name.as_deref()).collect();
    let volumes = sidecar.pod.volumes.as_ref().unwrap();
    let used: Vec<_> = volumes.iter().filter_map(|volume| Some(volume.config_map.as_ref()?.name.as_str())).collect();
    assert_eq!(used, names);
    let rights = brownout.security_context.as_ref().unwrap();
    assert_eq!((rights.run_as_non_root, rights.read_only_root_filesystem), (Some(true), Some(true)));
    assert_eq!(rights.allow_privilege_escalation, Some(false));
    let dockerfile = fs::read_to_string(config_folder("../Dockerfile")).unwrap();
    let (user, group) = (rights.run_as_user.unwrap(), rights.run_as_group.unwrap());
    assert!(dockerfile.lines().any(|line| line == format!("USER {user}:{group}")), "as the image was built");
}

#[test]
fn the_compose_example_is_right_about_the_image_and_the_files_beside_it() {
    let compose = &documents("compose/compose.yaml")[0];
    let services = compose["services"].as_object().unwrap();
    let known: Vec<&str> = ["services", "volumes"].into();
    assert!(compose.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
    let named: Vec<&str> = compose["volumes"].as_object().unwrap().keys().map(String::as_str).collect();
    for (name, service) in services {
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let source = mount.as_str().unwrap().split(':').next().unwrap();
            let there = named.contains(&source) || config_folder("compose").join(source).exists();
            assert!(there, "{name}: {source} is not there");
        }
        for needed in service["depends_on"].as_array().into_iter().flatten() {
            assert!(services.contains_key(needed.as_str().unwrap()), "{name}: {needed}");
        }
    }
    let brownout = &services["brownout"];
    let upstream = brownout["environment"]["UPSTREAM"].as_str().unwrap();
    let (host, port) = upstream.strip_prefix("http://").unwrap().split_once(':').unwrap();
    assert_eq!(services[host]["expose"][0], *port);

    let text = fs::read_to_string(config_folder("container.toml")).unwrap();
    let filled =
        Node::from_toml_with("container.toml", &text, &|name| (name == "UPSTREAM").then(|| upstream.to_owned()));
    let config = Config::resolve(Path::new("/etc/brownout/brownout.toml"), &filled.unwrap()).unwrap();
    let published = brownout["ports"][0].as_str().unwrap();
    assert_eq!(published.rsplit(':').next(), Some(&*config.proxies[0].listen.port().to_string()));
    assert!(published.starts_with("127.0.0.1:"), "a laptop's faults are nobody else's business");
    let metrics = format!("brownout:{}", config.metrics.listen.port());
    assert_eq!(documents("compose/prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"][0], metrics);
    let mounts: Vec<_> =
        brownout["volumes"].as_array().unwrap().iter().filter_map(|m| m.as_str()?.split(':').nth(1)).collect();
    let state = config.safety.state_file.parent().unwrap();
    assert!(mounts.contains(&config.rules.dir.to_str().unwrap()) && mounts.contains(&state.to_str().unwrap()));
    assert_eq!(brownout["stop_signal"], "SIGTERM");
    let grace = parse_duration(brownout["stop_grace_period"].as_str().unwrap()).unwrap();
    assert!(grace >= config.drain.limit + Duration::from_secs(5));
    assert!(read_rules_dir(&config_folder("compose/rules"), &config.safety).is_ok_and(|rules| !rules.is_empty()));
}
