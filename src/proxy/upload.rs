//! What befalls a request on its way up besides waits and ends: another head, another body, copies of it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use pingora::http::RequestHeader;

use super::client::{Client, Said, Want};
use super::gateway::Gateway;
use super::headers::{self, H2Target};
use super::visit::{End, Visit};
use super::{answer, copies, edit};
use crate::clock;
use crate::faults::body::Rewrite;
use crate::faults::compose::{Asked, BodyCourse, RequestCourse, Source};
use crate::faults::header::Edits;
use crate::telemetry::events::Trouble;

/// The body of a request that is to be sent again may have so many bytes.
const COPIED: u64 = 1 << 20;

/// A request that does not go up as it came.
pub(super) struct Upload {
    edits: Asked<(Arc<Edits>, bool)>,
    /// How the body's bytes are treated.
    pub(super) body: BodyCourse,
    /// What of the body has been read already.
    pub(super) begun: Option<Begun>,
    /// The body is another than the client's.
    rewritten: bool,
    content_type: Option<HeaderValue>,
}

/// The beginning of a body.
pub(super) struct Begun {
    pub(super) bytes: Bytes,
    /// It is all of it.
    pub(super) is_whole: bool,
}

/// How reading a body ahead ended.
enum Read {
    Begun(Begun),
    Left,
    Nonsense,
}

/// Readies the request for what the faults ask of it: reads its body ahead where that is needed, rewrites it, and sends
/// the copies off. `Err` when the client left or broke its framing meanwhile.
pub(super) async fn prepare(
    gateway: &Arc<Gateway>,
    client: &mut Client,
    visit: &mut Visit,
    course: RequestCourse,
) -> Result<Upload, End> {
    let RequestCourse { edits, mut body, copies, .. } = course;
    let rewrites = std::mem::take(&mut body.rewrites);
    let mut upload = Upload { edits, body, begun: None, rewritten: false, content_type: None };
    let Some(limit) = worth_reading(client, &rewrites, &copies) else { return Ok(upload) };
    let holder = rewrites.first().map(|r| r.0).or(copies.first().map(|c| c.0)).map_or(0, |source| source.hit);
    let begun = match read_ahead(gateway, client, visit, limit, holder).await {
        Read::Begun(begun) => upload.begun.insert(begun),
        Read::Left => return Err(visit.departs()),
        Read::Nonsense => return Err(answer::trouble(gateway, client, visit, Trouble::BadRequest).await),
    };
    if begun.is_whole {
        upload.rewrite(client, visit, &rewrites);
        upload.copy(gateway, client, visit, &copies);
    }
    Ok(upload)
}

/// How much of the body to read ahead; `None` if that is not needed, or would change more than the body.
fn worth_reading(client: &mut Client, rewrites: &Asked<Arc<Rewrite>>, copies: &Asked<u32>) -> Option<u64> {
    let head = &client.request().headers;
    if (rewrites.is_empty() && copies.is_empty()) || head.contains_key(UPGRADE) {
        return None;
    }
    let length = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let limits = rewrites.iter().filter(|(_, r)| r.fits(head)).map(|(_, r)| r.holds_back().unwrap_or(COPIED));
    let limit = limits.chain((!copies.is_empty()).then_some(COPIED)).max()?;
    // A client that waits to be asked for its body would wait for the upstream, which would wait for us.
    (length.is_none_or(|length| length <= limit) && !client.awaits_continue()).then_some(limit)
}

async fn read_ahead(gateway: &Gateway, client: &mut Client, visit: &Visit, limit: u64, holder: usize) -> Read {
    let mut body = BytesMut::new();
    let patience = gateway.pool().upstream().timeouts().read;
    loop {
        if client.is_request_done() {
            return Read::Begun(Begun { bytes: body.freeze(), is_whole: true });
        }
        if body.len() as u64 > limit {
            return Read::Begun(Begun { bytes: body.freeze(), is_whole: false });
        }
        let said = tokio::select! {
            said = client.ears(Want::Body).0.heard() => said,
            () = visit.plan.released(holder) => {
                return Read::Begun(Begun { bytes: body.freeze(), is_whole: false });
            }
            () = clock::sleep(patience) => Said::Left,
        };
        match said {
            Said::Piece(bytes) => body.extend_from_slice(&bytes),
            Said::End => return Read::Begun(Begun { bytes: body.freeze(), is_whole: true }),
            Said::Left => return Read::Left,
            Said::Nonsense => return Read::Nonsense,
        }
    }
}

impl Upload {
    fn rewrite(&mut self, client: &Client, visit: &mut Visit, rewrites: &Asked<Arc<Rewrite>>) {
        let Some(begun) = &mut self.begun else { return };
        for (source, rewrite) in rewrites {
            let fits = self.rewritten || rewrite.fits(&client.request().headers);
            if !fits || visit.plan.is_released(source.hit) {
                continue;
            }
            let Some(body) = rewrite.apply(&begun.bytes) else { continue };
            begun.bytes = body;
            self.rewritten = true;
            if let Rewrite::Replace { content_type: Some(kind), .. } = &**rewrite {
                self.content_type = Some(kind.clone());
            }
            visit.acts(*source);
        }
    }

    /// Sends the copies off; their answers are nobody's business.
    fn copy(&mut self, gateway: &Arc<Gateway>, client: &Client, visit: &mut Visit, copies: &Asked<u32>) {
        let live: Vec<(Source, u32)> =
            copies.iter().filter(|(source, _)| !visit.plan.is_released(source.hit)).copied().collect();
        if live.is_empty() {
            return;
        }
        let body = self.begun.as_ref().map(|begun| begun.bytes.clone()).unwrap_or_default();
        let (request, shape) = (client.request().clone(), self.shape(visit));
        let (address, is_secure) = (client.address(), client.is_secure());
        let copy = Arc::new(Copy { request, shape, address, is_secure, body });
        for (source, times) in live {
            visit.acts(source);
            for _ in 0..times {
                tokio::spawn(copies::send(gateway.clone(), copy.clone()));
            }
        }
    }

    /// What its head becomes. Counts the faults that say so.
    pub(super) fn shape(&self, visit: &mut Visit) -> HeadShape {
        let mut edits = Vec::with_capacity(self.edits.len());
        for (source, (edit, counts)) in &self.edits {
            if visit.plan.is_released(source.hit) {
                continue;
            }
            if *counts {
                visit.acts(*source);
            }
            edits.push(edit.clone());
        }
        let length = self.begun.as_ref().filter(|_| self.rewritten).map(|begun| begun.bytes.len());
        HeadShape { edits, body: length.map(|length| (length, self.content_type.clone())) }
    }
}

/// A request that is to be sent once more.
pub(super) struct Copy {
    pub(super) request: RequestHeader,
    pub(super) shape: HeadShape,
    /// The client's.
    pub(super) address: Option<IpAddr>,
    /// The client speaks TLS.
    pub(super) is_secure: bool,
    pub(super) body: Bytes,
}

/// What a request's head becomes on its way up.
pub(super) struct HeadShape {
    edits: Vec<Arc<Edits>>,
    /// The length and the type of a body that is another than the client's.
    body: Option<(usize, Option<HeaderValue>)>,
}

impl HeadShape {
    /// The head that goes upstream; `None` if it cannot be said in the upstream's protocol.
    pub(super) fn head(
        &self,
        request: &RequestHeader,
        target: Option<H2Target<'_>>,
        has_body: bool,
    ) -> Option<RequestHeader> {
        let is_h2 = target.is_some();
        let mut head = headers::upstream_request(request, target, has_body)?;
        if let Some((length, kind)) = &self.body {
            head.remove_header(&TRANSFER_ENCODING);
            head.remove_header(&CONTENT_ENCODING);
            head.insert_header(CONTENT_LENGTH, *length).ok()?;
            if let Some(kind) = kind {
                head.insert_header(CONTENT_TYPE, kind.clone()).ok()?;
            }
        }
        for edits in &self.edits {
            edit::request(&mut head, edits);
        }
        if is_h2 {
            name_authority(&mut head)?;
        }
        Some(head)
    }
}

/// A `host` that a fault has set is HTTP/2's `:authority`.
fn name_authority(head: &mut RequestHeader) -> Option<()> {
    let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned) else {
        return Some(());
    };
    head.remove_header(&HOST);
    let target = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let scheme = head.uri.scheme_str().unwrap_or("http").to_owned();
    head.set_uri(http::Uri::builder().scheme(&*scheme).authority(host).path_and_query(target).build().ok()?);
    Some(())
}
