//! Toxiproxy's API on the wire: status, headers and body, byte for byte.

use crate::stage::{Answer, Server, Stage, echo};

const PLAIN: [&str; 2] = ["content-type: text/plain; charset=utf-8", "x-content-type-options: nosniff"];
const JSON: [&str; 1] = ["content-type: application/json"];

/// The answer with the random request id taken out, which must be there.
fn routed(mut answer: Answer) -> (u16, Vec<String>, String) {
    let before = answer.headers.len();
    answer.headers.retain(|line| !line.starts_with("x-toxiproxy-request-id: "));
    assert_eq!(before, answer.headers.len() + 1, "{:?}", answer.headers);
    bare(answer)
}

fn bare(mut answer: Answer) -> (u16, Vec<String>, String) {
    answer.headers.retain(|line| !line.starts_with("content-length:"));
    (answer.status, answer.headers, answer.body)
}

fn is(answer: (u16, Vec<String>, String), status: u16, headers: &[&str], body: &str) {
    let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
    assert_eq!(answer, (status, headers, body.to_owned()));
}

fn error(message: &str, status: u16) -> String {
    format!("{{\"error\":\"{message}\",\"status\":{status}}}\n")
}

fn refused(answer: Answer, status: u16, message: &str) {
    is(routed(answer), status, &PLAIN, &error(message, status));
}

/// A proxy `p` whose address is known, and that address.
fn with_proxy() -> (Stage, String, String) {
    let stage = Stage::new();
    let upstream = echo();
    let listen = stage.proxy(upstream);
    (stage, listen.to_string(), upstream.to_string())
}

#[test]
fn a_proxy_is_created_shown_listed_changed_and_deleted() {
    let stage = Stage::new();
    is(routed(stage.get("/proxies")), 200, &JSON, "{}");
    let free = Server::new().address();
    let body = format!("{{\"name\":\"p\",\"listen\":\"{free}\",\"upstream\":\"localhost:1\"}}");
    let shown =
        format!("{{\"name\":\"p\",\"listen\":\"{free}\",\"upstream\":\"localhost:1\",\"enabled\":true,\"toxics\":[]}}");
    is(routed(stage.post("/proxies", &body)), 201, &JSON, &shown);
    is(routed(stage.get("/proxies/p")), 200, &JSON, &shown);
    is(routed(stage.get("/proxies")), 200, &JSON, &format!("{{\"p\":{shown}}}"));
    refused(stage.post("/proxies", &body), 409, "proxy already exists");
    let disabled = shown.replace("true", "false");
    for method in ["POST", "PATCH"] {
        let answer = stage.call(&format!("{method} /proxies/p"), "", "{\"enabled\":false,\"name\":\"ignored\"}");
        is(routed(answer), 200, &JSON, &disabled);
        let answer = stage.call(&format!("{method} /proxies/p"), "", "{\"ENABLED\":true}");
        is(routed(answer), 200, &JSON, &shown);
    }
    is(routed(stage.delete("/proxies/p")), 204, &[], "");
    refused(stage.get("/proxies/p"), 404, "proxy not found");
    refused(stage.delete("/proxies/p"), 404, "proxy not found");
    refused(stage.post("/proxies/p", "{}"), 404, "proxy not found");
}

#[test]
fn listen_may_be_left_out_and_names_are_resolved() {
    let stage = Stage::new();
    let listen = |body: &str| {
        let answer = stage.post("/proxies", body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["listen"].as_str().unwrap().parse::<std::net::SocketAddr>().unwrap()
    };
    let anywhere = listen(r#"{"name":"a","upstream":"x:1"}"#);
    assert!(anywhere.ip().is_unspecified() && anywhere.port() != 0);
    let local = listen(r#"{"name":"b","upstream":"x:1","listen":"localhost:0"}"#);
    assert_eq!((local.ip().to_string().as_str(), local.port() != 0), ("127.0.0.1", true));
    let taken = format!("{{\"name\":\"c\",\"upstream\":\"x:1\",\"listen\":\"{local}\"}}");
    refused(stage.post("/proxies", &taken), 500, &format!("listen tcp {local}: bind: address already in use"));
    let odd = r#"{"name":"c","upstream":"x:1","listen":"localhost"}"#;
    refused(stage.post("/proxies", odd), 500, "listen tcp: address localhost: missing port in address");
    refused(stage.get("/proxies/c"), 404, "proxy not found");
}

#[test]
fn bodies_that_are_none_are_refused_as_the_original_does() {
    let stage = Stage::new();
    let field = "json: cannot unmarshal number into Go struct field Proxy.name of type string";
    for (body, message) in [
        ("", "bad request body: EOF".to_owned()),
        ("{", "bad request body: unexpected EOF".to_owned()),
        ("hello", "bad request body: invalid character 'h' looking for beginning of value".to_owned()),
        ("{\"name\":7}", format!("bad request body: {field}")),
        ("{}", "missing required field: name".to_owned()),
        ("{\"name\":\"p\"}", "missing required field: upstream".to_owned()),
    ] {
        refused(stage.post("/proxies", body), 400, &message);
    }
}

#[test]
fn toxics_have_the_originals_defaults_and_order() {
    let (stage, listen, upstream) = with_proxy();
    is(routed(stage.get("/proxies/p/toxics")), 200, &JSON, "[]");
    let down = r#"{"attributes":{"latency":0,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}"#;
    is(routed(stage.post("/proxies/p/toxics", "{\"type\":\"latency\"}")), 200, &JSON, down);
    let body =
        r#"{"type":"bandwidth","stream":"UpStream","name":"slow","toxicity":0.1,"attributes":{"Rate":64,"x":1}}"#;
    let up = r#"{"attributes":{"rate":64},"name":"slow","type":"bandwidth","stream":"UpStream","toxicity":0.1}"#;
    is(routed(stage.post("/proxies/p/toxics", body)), 200, &JSON, up);
    is(routed(stage.get("/proxies/p/toxics/slow")), 200, &JSON, up);
    is(routed(stage.get("/proxies/p/toxics")), 200, &JSON, &format!("[{up},{down}]"));
    let proxy = format!(
        "{{\"name\":\"p\",\"listen\":\"{listen}\",\"upstream\":\"{upstream}\",\"enabled\":true,\"toxics\":[{up},{down}]}}"
    );
    is(routed(stage.get("/proxies/p")), 200, &JSON, &proxy);
    for method in ["POST", "PATCH"] {
        let change = r#"{"attributes":{"jitter":5},"stream":"upstream","type":"noop","name":"other"}"#;
        let changed = down.replace("\"jitter\":0", "\"jitter\":5");
        is(
            routed(stage.call(&format!("{method} /proxies/p/toxics/latency_downstream"), "", change)),
            200,
            &JSON,
            &changed,
        );
    }
    let half = stage.call("PATCH /proxies/p/toxics/slow", "", "{\"toxicity\":0.5}");
    is(routed(half), 200, &JSON, &up.replace("0.1", "0.5"));
    is(routed(stage.delete("/proxies/p/toxics/slow")), 204, &[], "");
    refused(stage.get("/proxies/p/toxics/slow"), 404, "toxic not found");
    refused(stage.delete("/proxies/p/toxics/slow"), 404, "toxic not found");
    refused(stage.call("PATCH /proxies/p/toxics/slow", "", "{}"), 404, "toxic not found");
}

#[test]
fn every_kind_of_the_original_shows_its_attributes() {
    let (stage, ..) = with_proxy();
    for (kind, attributes) in [
        ("latency", r#"{"latency":0,"jitter":0}"#),
        ("bandwidth", r#"{"rate":0}"#),
        ("slow_close", r#"{"delay":0}"#),
        ("timeout", r#"{"timeout":0}"#),
        ("reset_peer", r#"{"timeout":0}"#),
        ("slicer", r#"{"average_size":0,"size_variation":0,"delay":0}"#),
        ("limit_data", r#"{"bytes":0}"#),
        ("noop", "{}"),
    ] {
        let body = format!("{{\"type\":\"{kind}\",\"attributes\":null}}");
        let shown = format!(
            "{{\"attributes\":{attributes},\"name\":\"{kind}_downstream\",\"type\":\"{kind}\",\"stream\":\"downstream\",\"toxicity\":1}}"
        );
        is(routed(stage.post("/proxies/p/toxics", &body)), 200, &JSON, &shown);
    }
}

#[test]
fn a_toxic_is_checked_in_the_originals_order() {
    let (stage, ..) = with_proxy();
    let wrong = r#"{"type":"nope","stream":"sideways","attributes":{"latency":"x"}}"#;
    refused(stage.post("/proxies/none/toxics", "{"), 404, "proxy not found");
    refused(stage.post("/proxies/p/toxics", ""), 400, "bad request body: EOF");
    refused(stage.post("/proxies/p/toxics", wrong), 400, "stream was invalid, can be either upstream or downstream");
    refused(stage.post("/proxies/p/toxics", &wrong.replace("sideways", "upstream")), 400, "invalid toxic type");
    refused(stage.post("/proxies/p/toxics", "{}"), 400, "invalid toxic type");
    stage.toxic(r#"{"type":"noop","name":"n"}"#);
    let taken = r#"{"type":"latency","stream":"upstream","name":"n","attributes":{"latency":"x"}}"#;
    refused(stage.post("/proxies/p/toxics", taken), 409, "toxic already exists");
    let attributes =
        "bad request body: json: cannot unmarshal string into Go struct field latency.latency of type int64";
    refused(stage.post("/proxies/p/toxics", &taken.replace("\"n\"", "\"m\"")), 400, attributes);
    let fraction = r#"{"type":"latency","attributes":{"latency":1.5}}"#;
    assert_eq!(stage.post("/proxies/p/toxics", fraction).status, 400);
}

#[test]
fn populate_creates_leaves_alone_and_replaces() {
    let stage = Stage::new();
    is(routed(stage.post("/populate", "[]")), 201, &JSON, "{\"proxies\":null}");
    refused(
        stage.post("/populate", "[{\"name\":\"a\",\"upstream\":\"x:1\"},{\"name\":\"b\"}]"),
        400,
        "missing required field: upstream at proxy 2",
    );
    refused(stage.post("/populate", "[{\"upstream\":\"x:1\"}]"), 400, "missing required field: name at proxy 1");
    assert_eq!(stage.get("/proxies").body, "{}", "nothing is touched when one is wrong");
    let free = Server::new().address();
    let item = |upstream: &str| {
        format!("{{\"name\":\"a\",\"listen\":\"{free}\",\"upstream\":\"{upstream}\",\"enabled\":true,\"toxics\":[]}}")
    };
    is(
        routed(stage.post("/populate", &format!("[{}]", item("x:1")))),
        201,
        &JSON,
        &format!("{{\"proxies\":[{}]}}", item("x:1")),
    );
    assert_eq!(stage.post("/proxies/a/toxics", "{\"type\":\"noop\"}").status, 200);
    assert_eq!(stage.post("/proxies/a", "{\"enabled\":false}").status, 200);
    let same = stage.post("/populate", &format!("[{}]", item("x:1"))).json();
    assert_eq!(
        (&same["proxies"][0]["enabled"], same["proxies"][0]["toxics"].as_array().unwrap().len()),
        (&false.into(), 1)
    );
    let other = stage.post("/populate", &format!("[{}]", item("x:2")));
    is(routed(other), 201, &JSON, &format!("{{\"proxies\":[{}]}}", item("x:2")));
    let stranger = format!("{{\"name\":\"z\",\"listen\":\"{free}\",\"upstream\":\"x:1\"}}");
    let failed = stage.post("/populate", &format!("[{},{stranger}]", item("x:2")));
    let body = format!(
        "{{\"error\":\"listen tcp {free}: bind: address already in use\",\"status\":500,\"proxies\":[{}]}}",
        item("x:2")
    );
    is(routed(failed), 500, &JSON, &body);
    let alone = stage.post("/populate", &format!("[{stranger}]")).json();
    assert!(alone["proxies"].is_null() && alone["status"] == 500);
}

#[test]
fn a_port_of_zero_always_counts_as_another_one() {
    let stage = Stage::new();
    let body = "[{\"name\":\"a\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"x:1\"}]";
    let first = stage.post("/populate", body).json();
    let second = stage.post("/populate", body).json();
    assert_ne!(first["proxies"][0]["listen"], second["proxies"][0]["listen"]);
}

#[test]
fn reset_enables_everything_and_removes_all_toxics() {
    let (stage, ..) = with_proxy();
    stage.toxic("{\"type\":\"noop\"}");
    stage.post("/proxies/p", "{\"enabled\":false}");
    is(routed(stage.post("/reset", "whatever")), 204, &[], "");
    let proxy = stage.get("/proxies/p").json();
    assert_eq!((&proxy["enabled"], proxy["toxics"].as_array().unwrap().len()), (&true.into(), 0));
}

#[test]
fn version_browsers_and_wrong_turns_are_answered_as_by_the_original() {
    let stage = Stage::with(false, Default::default());
    let ours = format!("x-brownout-version: {}", env!("CARGO_PKG_VERSION"));
    let headers = ["content-type: application/json;charset=utf-8", ours.as_str()];
    is(routed(stage.get("/version")), 200, &headers, "{\"version\": \"2.12.0\"}\n");
    let browser = stage.call("GET /proxies", "user-agent: Mozilla/5.0 (X11)\r\n", "");
    is(routed(browser), 403, &PLAIN, "User agent not allowed\n");
    for path in ["/", "/nope", "/proxies/", "/proxies/p/toxics/", "/metrics", "/proxies/a/b/c"] {
        is(bare(stage.get(path)), 404, &PLAIN, "404 page not found\n");
    }
    for line in ["PUT /proxies", "GET /reset", "HEAD /proxies", "DELETE /version", "PATCH /populate"] {
        is(bare(stage.call(line, "", "")), 405, &[], "");
    }
}

#[test]
fn names_may_need_escapes() {
    let stage = Stage::new();
    let body = r#"{"name":"a b<c>","listen":"127.0.0.1:0","upstream":"x:1"}"#;
    let answer = stage.post("/proxies", body);
    assert!(answer.body.starts_with("{\"name\":\"a b\\u003cc\\u003e\","), "{}", answer.body);
    assert_eq!(stage.get("/proxies/a%20b%3Cc%3E").status, 200);
    assert_eq!(stage.delete("/proxies/a%20b%3Cc%3E").status, 204);
}

#[test]
fn http_proxies_take_faults_as_toxics_that_act_on_requests() {
    let stage = Stage::new();
    let web = ("web".to_owned(), "127.0.0.1:80".to_owned(), "127.0.0.1:81".to_owned());
    stage.runtime.block_on(stage.registry.set_http([web]));
    let shown = r#"{"name":"web","listen":"127.0.0.1:80","upstream":"127.0.0.1:81","enabled":true,"toxics":[]}"#;
    is(routed(stage.get("/proxies/web")), 200, &JSON, shown);
    let error = r#"{"attributes":{"status":503},"name":"e","type":"error","stream":"downstream","toxicity":0.25}"#;
    let sent = r#"{"type":"error","name":"e","toxicity":0.25,"attributes":{"status":503}}"#;
    is(routed(stage.post("/proxies/web/toxics", sent)), 200, &JSON, error);
    for (kind, attributes) in [
        ("latency", r#"{"latency":50,"jitter":20}"#),
        ("timeout", r#"{"timeout":1000}"#),
        ("bandwidth", r#"{"rate":64}"#),
        ("reset_peer", r#"{"timeout":0}"#),
        ("limit_data", r#"{"bytes":10}"#),
        ("slow-body", r#"{"rate":"64KiB/s"}"#),
    ] {
        let sent = format!("{{\"type\":\"{kind}\",\"attributes\":{attributes}}}");
        assert_eq!(stage.post("/proxies/web/toxics", &sent).status, 200, "{kind}");
    }
    let rules = stage.store.status();
    assert_eq!((rules.len(), rules[0].layer.to_string(), rules[0].name.as_str()), (7, "toxics".to_owned(), "web.e"));
    refused(stage.post("/proxies/web/toxics", sent), 409, "toxic already exists");
    refused(stage.post("/proxies/web/toxics", "{\"type\":\"slicer\"}"), 400, "invalid toxic type");
    assert_eq!(stage.post("/proxies/web/toxics", "{\"type\":\"error\",\"name\":\"x\"}").status, 400);
    let changed = stage.post("/proxies/web/toxics/e", "{\"toxicity\":1,\"attributes\":{\"status\":500}}");
    is(routed(changed), 200, &JSON, &error.replace("503", "500").replace("0.25", "1"));
    is(routed(stage.delete("/proxies/web/toxics/e")), 204, &[], "");
    assert_eq!(stage.store.status().len(), 6);
    assert_eq!(stage.delete("/proxies/web").status, 400);
    assert_eq!(stage.post("/reset", "").status, 204);
    assert!(stage.store.status().is_empty());
}
