//! What all routes have in common, and the simple ones.

use super::*;

#[tokio::test]
async fn an_instance_says_who_it_is_and_what_it_runs() {
    let (one, other) = (Instance::start().await, Instance::start().await);
    let said = one.client.instance().await.unwrap();
    assert_eq!(said, one.client.instance().await.unwrap());
    assert_ne!(said.id, other.client.instance().await.unwrap().id, "a restarted instance is told by its id");
    assert_eq!(said.version, env!("CARGO_PKG_VERSION"));
    assert!(humantime::parse_rfc3339(&said.started_at).is_ok(), "{}", said.started_at);
    let names: Vec<_> = one.client.proxies().await.unwrap().proxies.into_iter().map(|proxy| proxy.name).collect();
    assert_eq!(names, ["stock", "payments"]);
}

#[tokio::test]
async fn an_unknown_path_a_wrong_method_and_a_wrong_type_are_problems() {
    let instance = Instance::start().await;
    let unknown = instance.get("/api/v1/nothing").await;
    assert_eq!((unknown.status, unknown.problem().1.kind.as_str()), (404, "about:blank"));
    let wrong = instance.post("/api/v1/rules").await;
    assert_eq!(wrong.problem().1.status, 405);
    assert_eq!(wrong.header("allow"), Some("GET,HEAD,PUT"));
    let form = "PUT /api/v1/rules HTTP/1.1\nContent-Type: text/plain\nContent-Length: 2";
    assert_eq!(instance.raw(form, "{}").await.problem().0, "not-json");
    let head = instance.raw("HEAD /api/v1/rules HTTP/1.1", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_page_of_somebody_else_gets_nothing() {
    let instance = Instance::start().await;
    let foreign = "GET /api/v1/rules HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(instance.address, foreign).await.problem().0, "forbidden-host");
    let origin = instance.raw("POST /api/v1/faults/off HTTP/1.1\nOrigin: http://evil.example", "").await;
    assert_eq!((origin.status, origin.problem().0.as_str()), (403, "forbidden-origin"));
    assert!(!instance.api.store.is_off());
    let own = format!("POST /api/v1/faults/off HTTP/1.1\nOrigin: http://{}", instance.address);
    assert_eq!(instance.raw(&own, "").await.status, 200);
    assert_eq!(instance.get("/api/v1/faults").await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn without_the_token_one_learns_not_even_which_paths_there_are() {
    let instance = Instance::with(Options { token: Some("sesame"), ..Options::default() }).await;
    for path in ["/api/v1/rules", "/api/v1/nothing"] {
        let answer = instance.get(path).await;
        assert_eq!((answer.problem().1.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    }
    assert!(instance.client.rules().await.is_ok(), "the client sends its token");
    let stranger = Client::new(&Url::parse(&format!("http://{}", instance.address)).unwrap(), Some("open")).unwrap();
    assert_eq!(refusal(stranger.off().await).status, 401);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_not_json_is_refused() {
    let instance = Instance::start().await;
    let long = serde_json::json!({ "rule": [], "padding": "x".repeat(1 << 20) });
    let answer = instance.send("PUT", "/api/v1/rules", "", &long).await;
    assert_eq!(answer.problem().1.status, 413);
    let head = "PUT /api/v1/rules HTTP/1.1\nContent-Type: application/json\nContent-Length: 10";
    let (kind, problem) = instance.raw(head, "{\"rule\":\n}").await.problem();
    assert_eq!((kind.as_str(), problem.status), ("malformed", 400));
    assert_eq!(problem.problems[0].line, Some(2));
}

#[tokio::test]
async fn the_latch_acts_is_remembered_and_is_taken_up_by_the_next_instance() {
    let folder = tempfile::tempdir().unwrap();
    let state_file = Some(folder.path().join("state.json"));
    let options = || Options { state_file: state_file.clone(), ..Options::default() };
    let instance = Instance::with(options()).await;
    let off = instance.client.off().await.unwrap();
    assert!(off.off && off.persisted && instance.api.store.is_off());
    let next = Instance::with(options()).await;
    assert!(next.client.faults().await.unwrap().off);
    assert!(!next.client.on().await.unwrap().off);
    assert!(!Instance::with(options()).await.client.faults().await.unwrap().off);
}

#[tokio::test]
async fn a_latch_that_cannot_be_written_acts_all_the_same_and_says_so() {
    let instance =
        Instance::with(Options { state_file: Some("/nowhere/at/all/state".into()), ..Options::default() }).await;
    let off = instance.client.off().await.unwrap();
    assert!(off.off && !off.persisted);
    let text = String::from_utf8(instance.api.metrics.text()).unwrap();
    assert!(text.contains("\nbrownout_kill_switch_persisted 0\n"), "{text}");
}

#[tokio::test]
async fn off_releases_what_is_active() {
    let instance = Instance::start().await;
    instance.send("PUT", "/api/v1/rules", "", &serde_json::json!({ "rule": [rule("a")] })).await;
    let plan = instance.plan("stock");
    assert_eq!(instance.client.faults().await.unwrap().active, 1);
    assert!(instance.client.off().await.unwrap().off);
    assert!(plan.is_released(0));
    drop(plan);
    assert_eq!(instance.client.faults().await.unwrap().active, 0);
    assert!(instance.plan("stock").is_empty());
    instance.client.on().await.unwrap();
    assert!(!instance.plan("stock").is_empty());
}

#[test]
fn every_route_and_every_kind_of_problem_is_documented() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("docs/api.md")).unwrap();
    let quoted = |text: &str, file: &str| -> Vec<String> {
        let source = std::fs::read_to_string(root.join("src/admin").join(file)).unwrap();
        source.split(text).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
    };
    let routes = quoted(".route(\"", "router.rs");
    assert_eq!(routes.len(), 12, "{routes:?}");
    let files = ["access.rs", "body.rs", "problem.rs", "rules.rs", "runs.rs"];
    let mut kinds: Vec<_> = files
        .iter()
        .flat_map(|file| {
            [
                "FORBIDDEN",
                "UNSUPPORTED_MEDIA_TYPE",
                "BAD_REQUEST",
                "UNPROCESSABLE_ENTITY",
                "PRECONDITION_FAILED",
                "CONFLICT",
                "NOT_FOUND",
            ]
            .map(|status| quoted(&format!("Refusal::new(StatusCode::{status}, \""), file))
        })
        .flatten()
        .collect();
    kinds.extend(quoted("Self::new(StatusCode::UNPROCESSABLE_ENTITY, \"", "problem.rs"));
    assert_eq!(kinds.len(), 14, "{kinds:?}");
    for documented in routes.iter().chain(&kinds) {
        assert!(docs.contains(documented.as_str()), "docs/api.md does not mention {documented}");
    }
}
