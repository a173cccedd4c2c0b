//! A request's life, top to bottom.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::client::Client;
use super::enforce::{self, Next};
use super::exchange::{self, Exchanged};
use super::pool::{Pool, Wanted};
use super::router::Router;
use super::visit::{End, Visit};
use super::{answer, body, upload, vet, view};
use crate::config::{Forwarded, HalfClose, Limits, ProxyConfig};
use crate::faults::RequestView;
use crate::rules::{Plan, RuleSet, Store};
use crate::telemetry::events::{Observer, Trouble};
use crate::tls::ServerTls;

/// One proxy on one shard: everything that a request on it needs.
pub(super) struct Gateway {
    config: Arc<ProxyConfig>,
    tls: Arc<ArcSwapOption<ServerTls>>,
    router: Arc<Router>,
    rules: Arc<Store>,
    observer: Arc<dyn Observer>,
    pool: Pool,
}

impl Gateway {
    pub(super) fn new(
        config: Arc<ProxyConfig>,
        tls: Arc<ArcSwapOption<ServerTls>>,
        router: Arc<Router>,
        rules: Arc<Store>,
        observer: Arc<dyn Observer>,
        pool: Pool,
    ) -> Self {
        Self { config, tls, router, rules, observer, pool }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// What clients are shown, if they are to speak TLS.
    pub(super) fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.load_full()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn router(&self) -> &Router {
        &self.router
    }

    pub(super) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    /// Whether altered responses say so.
    pub(super) fn marks(&self) -> bool {
        self.config.marks
    }

    /// Whether a client's FIN only means that it has no more to say.
    pub(super) fn waits_on_half_close(&self) -> bool {
        self.config.half_close == HalfClose::Wait
    }

    /// How long a client's connection may stand between two requests.
    pub(super) fn keepalive(&self) -> Duration {
        self.config.timeouts.keepalive
    }

    /// How much a client may ask.
    pub(super) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Whether the upstream is told who asked.
    pub(super) fn forwarded(&self) -> Forwarded {
        self.config.forwarded
    }

    /// How long a peer may be stuck before what it should have read is given up.
    pub(super) fn patience(&self) -> Duration {
        self.config.timeouts.write
    }

    /// What this request will suffer, and its route. One load of the rule set for the whole request: an edit never
    /// changes it half way.
    pub(super) async fn plan(&self, client: &mut Client) -> (Plan, Option<usize>) {
        let route = self.router.route(&view::of(client));
        match self.plan_by_head(client) {
            Ok(plan) => (plan, route),
            Err((rules, limit)) => {
                let json = body::json(client, limit, self.config.timeouts.read).await;
                let view = RequestView { json: json.as_ref(), ..view::of(client) };
                (self.plan_by(&rules, &view), route)
            }
        }
    }

    /// Most requests are decided by their heads. Else the set that decides, and how much of the body it has to see: a
    /// body is waited for only if a rule lacks nothing else.
    fn plan_by_head(&self, client: &Client) -> Result<Plan, (Arc<RuleSet>, u64)> {
        let rules = self.rules.load();
        if rules.is_empty() && self.config.client_faults.is_none() {
            return Ok(Plan::none());
        }
        let view = view::of(client);
        match rules.body_limit(self.name(), &view) {
            None => Ok(self.plan_by(&rules, &view)),
            Some(limit) => Err((Arc::clone(&rules), limit)),
        }
    }

    fn plan_by(&self, rules: &RuleSet, view: &RequestView<'_>) -> Plan {
        let mut plan = rules.plan(self.name(), view);
        if let Some(allowed) = &self.config.client_faults
            && let Err(problems) = rules.ask(allowed, view, &mut plan)
        {
            for problem in &problems.0 {
                tracing::info!(proxy = self.name(), "a client asks for a fault that is none: {problem}");
            }
        }
        plan
    }

    /// Serves one request whose head has been read.
    pub(super) async fn serve(self: &Arc<Self>, client: &mut Client, visit: &mut Visit) -> End {
        // A tunnel to anywhere is not what a reverse proxy is for.
        if client.request().method == http::Method::CONNECT {
            return answer::trouble(self, client, visit, Trouble::BadRequest).await;
        }
        // What could be read in two ways goes no further: the upstream might take the other one.
        let misread = client.control().bounds().is_misread();
        if let Err(trouble) =
            if misread { Err(Trouble::BadRequest) } else { vet::check(client.request(), self.limits()) }
        {
            return answer::trouble(self, client, visit, trouble).await;
        }
        // Faults of the request side come first: the upstream must not see a request that they stop.
        if !visit.plan.is_empty()
            && let Next::Ended(end) = Box::pin(self.suffer(client, visit)).await
        {
            return end;
        }
        self.forward(client, visit).await
    }

    /// The faults of the request side, up to what befalls the request on its way.
    async fn suffer(self: &Arc<Self>, client: &mut Client, visit: &mut Visit) -> Next {
        let course = visit.plan.request_course(&view::of(client));
        for (source, ()) in &course.goaways {
            if client.is_h2() && !visit.plan.is_released(source.hit) {
                visit.acts(*source);
                client.say_goodbye();
            }
        }
        let next = enforce::suffer(self, client, visit, &course.delays, &course.terminals).await;
        if let Next::Ended(end) = next {
            return Next::Ended(end);
        }
        if course.edits.is_empty() && course.copies.is_empty() && course.body.is_empty() {
            return Next::Proceed;
        }
        match upload::prepare(self, client, visit, course).await {
            Ok(upload) => visit.upload = Some(Box::new(upload)),
            Err(end) => return Next::Ended(end),
        }
        Next::Proceed
    }

    /// Asks the upstream; once more on a fresh connection, if the first one had been closed meanwhile.
    async fn forward(&self, client: &mut Client, visit: &mut Visit) -> End {
        let mut wanted = if client.request().method.is_idempotent() { Wanted::Any } else { Wanted::Certain };
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.pool.take(wanted, client.is_h2()) => taken,
                () = client.gone() => return visit.departs(),
            };
            let link = match taken {
                Ok(link) => link,
                Err(trouble) => return answer::trouble(self, client, visit, trouble).await,
            };
            match exchange::run(self, client, visit, link).await {
                Exchanged::Stale if wanted != Wanted::Fresh => wanted = Wanted::Fresh,
                Exchanged::Stale => return answer::trouble(self, client, visit, Trouble::UpstreamReset).await,
                Exchanged::Failed(trouble) => return answer::trouble(self, client, visit, trouble).await,
                Exchanged::Ended(end) => return end,
            }
        }
    }
}
