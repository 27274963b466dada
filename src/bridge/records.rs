//! What happens in the engine, written as records of [`super::completion`]: their numbers and fields are in
//! `docs/internals/protocol.md`, and `lib/bridge/records.js` reads them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::completion::{Chunk, Completions};
use super::head_cache::Told;
use super::layout::{leased, record};
use super::tls::secured_text;
use crate::config::INLINE_BODY;
use crate::connect::tls::Secured;
use crate::connect::Connected;
use crate::error::{Failure, Prospect};
use crate::exchange::event_loop::EventLoop;
use crate::exchange::events::{Assigned, Events, Replaces, Response};
use crate::http1::version::Version;
use crate::pool::{CloseReason, ConnId, ExchangeId};

fn flag(condition: bool, flag: u8) -> u8 {
    if condition {
        flag
    } else {
        0
    }
}

impl Events for Completions {
    fn response(&self, exchange: ExchangeId, response: Response<'_>) {
        let Response {
            head,
            body,
            end,
            request_written,
        } = response;
        let is_old = matches!(head.version, Version::Http10 | Version::Http09);
        let is_odd = matches!(head.version, Version::Http20 | Version::Http09);
        let flags = flag(is_old, record::HTTP10)
            | flag(is_odd, record::ODD_VERSION)
            | flag(head.keep_alive, record::KEEP_ALIVE)
            | flag(end, record::LAST)
            | flag(request_written, record::REQUEST_WRITTEN)
            | flag(head.is_informational(), record::INFORMATIONAL);
        self.push(false, |queue| {
            let (text, slot): (&[u8], u16) = match queue.heads.tell(&head.text) {
                Told::Once => (&head.text, 0),
                Told::Keep(slot) => (&head.text, slot),
                Told::Again(slot) => (&[], slot),
            };
            let aux = head.status | slot << record::SLOT_SHIFT;
            let extra = body.len() as u32;
            queue.record(record::RESPONSE, flags, aux, exchange, extra, [text, body]);
        });
    }

    fn data(&self, exchange: ExchangeId, bytes: Bytes, end: bool) {
        let last = flag(end, record::LAST);
        if bytes.len() < INLINE_BODY {
            self.push(false, |queue| {
                queue.record(record::DATA, last, 0, exchange, 0, [&bytes, &[]]);
            });
            return;
        }
        self.push_chunk(exchange, last, bytes.len(), Chunk::Owned(bytes));
    }

    fn filled(&self, exchange: ExchangeId, len: usize) {
        self.push_chunk(exchange, 0, len, Chunk::Lent(exchange));
    }

    fn end(&self, exchange: ExchangeId, keep_alive: bool, request_written: bool, trailers: &[u8]) {
        let flags =
            flag(keep_alive, record::KEEP_ALIVE) | flag(request_written, record::REQUEST_WRITTEN);
        self.push(false, |queue| {
            queue.record(record::END, flags, 0, exchange, 0, [trailers, &[]]);
        });
    }

    fn stalled(&self, exchange: ExchangeId) {
        self.push(false, |queue| {
            queue.record(record::STALLED, 0, 0, exchange, 0, [&[], &[]]);
        });
    }

    fn parted(&self, exchange: ExchangeId) {
        self.push(false, |queue| {
            queue.record(record::PARTED, 0, 0, exchange, 0, [&[], &[]]);
        });
    }

    fn hold(&self) {
        let mut queue = self.queue();
        queue.held = Some(queue.bytes.len());
    }

    fn failed(&self, exchange: ExchangeId, failure: &Failure, after_head: bool) {
        let text = failure_text(failure);
        let prospect = match failure.prospect {
            Prospect::None => 0,
            Prospect::Faint => record::MIGHT_DO,
            Prospect::Later => record::RENEGOTIATES,
            Prospect::Good => record::MAY_DO,
        };
        let flags = prospect
            | flag(after_head, record::AFTER_HEAD)
            | flag(failure.is_proxys, record::PROXYS);
        self.push(false, |queue| {
            queue.held = None;
            queue.record(
                record::ERROR,
                flags,
                0,
                exchange,
                failure.errno as u32,
                [&text, &[]],
            );
        });
    }

    fn written(&self, exchange: ExchangeId, bytes: u64, eager: bool) {
        let total = (bytes as f64).to_le_bytes();
        self.push(!eager, |queue| {
            queue.record(record::WRITTEN, 0, 0, exchange, 0, [&total, &[]]);
        });
    }

    fn assigned(&self, exchange: ExchangeId, conn: ConnId, how: Assigned) {
        let how = match how {
            Assigned::Idle => leased::IDLE,
            Assigned::Dialing => leased::DIALING,
            Assigned::Fallback => leased::FALLBACK,
        };
        self.push(false, |queue| {
            queue.record(record::ASSIGNED, 0, how as u16, exchange, conn, [&[], &[]]);
        });
    }

    fn looks_up(&self) -> bool {
        self.looks_up.load(Ordering::Relaxed)
    }

    fn lookup(&self, conn: ConnId) {
        self.push(false, |queue| {
            queue.record(record::LOOKUP, 0, 0, conn.into(), 0, [&[], &[]]);
        });
    }

    fn connected(&self, conn: ConnId, connected: &Connected, replaces: Option<Replaces>) {
        let fields = [
            connected
                .local
                .map_or_else(String::new, |local| local.ip().to_string()),
            connected
                .local
                .map_or_else(String::new, |local| local.port().to_string()),
            connected
                .remote
                .map_or_else(String::new, |remote| remote.ip().to_string()),
            connected
                .remote
                .map_or_else(String::new, |remote| remote.port().to_string()),
            connected.dns_ms.to_string(),
            connected.connect_ms.to_string(),
            connected
                .secured
                .as_ref()
                .map_or(0.0, |secured| secured.tls_ms)
                .to_string(),
            connected.proxy_ms.to_string(),
        ];
        let text = fields.join("\0");
        let (flags, aux) = replacement(replaces);
        self.push(true, |queue| {
            queue.record(
                record::CONNECTED,
                flags,
                aux,
                conn.into(),
                0,
                [text.as_bytes(), &[]],
            );
        });
    }

    fn secured(&self, conn: ConnId, secured: &Secured) {
        let text = secured_text(secured);
        let flags = flag(secured.ask, record::ASK) | flag(secured.resumed, record::RESUMED);
        self.push(!secured.ask, |queue| {
            queue.record(record::SECURED, flags, 0, conn.into(), 0, [&text, &[]]);
        });
    }

    fn adopted(
        &self,
        conn: ConnId,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        replaces: Option<Replaces>,
    ) {
        let end = |end: Option<SocketAddr>| {
            end.map_or_else(
                || "\0".to_owned(),
                |end| format!("{}\0{}", end.ip(), end.port()),
            )
        };
        let text = format!("{}\0{}\x000\x000\x000", end(local), end(remote));
        let (flags, aux) = replacement(replaces);
        self.push(false, |queue| {
            let parts: [&[u8]; 2] = [text.as_bytes(), &[]];
            let flags = record::ADOPTED | flags;
            queue.record(record::CONNECTED, flags, aux, conn.into(), 0, parts);
        });
    }

    fn closed(&self, conn: ConnId, reason: CloseReason, idle: bool) {
        self.push(false, |queue| {
            if idle {
                queue.closed_idle.push(conn);
            }
            queue.record(record::CLOSED, 0, reason as u16, conn.into(), 0, [&[], &[]]);
        });
    }

    fn evict_fallback(&self, agent: u32, key: u32) {
        self.push(false, |queue| {
            queue.record(record::EVICT, 0, 0, key.into(), agent, [&[], &[]]);
        });
    }

    fn wake(&self) {
        self.wake_for_rest();
    }

    fn event_loop(&self) -> Option<Arc<dyn EventLoop>> {
        let in_loop = self.in_loop();
        Some(Arc::clone(in_loop.as_ref()?) as _)
    }
}

/// Flags and `aux` of a CONNECTED record that tells of a replacement.
fn replacement(replaces: Option<Replaces>) -> (u8, u16) {
    replaces.map_or((0, 0), |dead| {
        let flags =
            record::REPLACES | flag(dead.resent, record::RESENT) | flag(dead.asks, record::ASKS);
        (flags, dead.reason as u16)
    })
}

/// A failure's fields, joined by NUL: its base fields, `reason, bytesParsed, http2Code` (or a refusing proxy's status), then base fields and `errno` of each cause.
fn failure_text(failure: &Failure) -> Vec<u8> {
    let mut fields = base_fields(failure).to_vec();
    fields.push(failure.reason.as_deref().unwrap_or_default().to_owned());
    fields.push(
        failure
            .bytes_parsed
            .map_or_else(String::new, |count| count.to_string()),
    );
    let answered = failure.http2_code.or(failure.status.map(u32::from));
    fields.push(answered.map_or_else(String::new, |code| code.to_string()));
    for cause in &failure.causes {
        fields.extend(base_fields(cause));
        fields.push(cause.errno.to_string());
    }
    // The texts are latin1 on the other side; only a host name or path can hold more, which becomes '?'.
    let mut text: Vec<u8> = fields
        .join("\0")
        .chars()
        .map(|char| u8::try_from(char).unwrap_or(b'?'))
        .collect();
    if failure.bytes_parsed.is_some() || failure.status.is_some() {
        text.push(0);
        text.extend_from_slice(&failure.packet);
    }
    text
}

/// `code, syscall, address, port, hostname, message, localAddress, localPort, targetAddress, targetPort`
fn base_fields(failure: &Failure) -> [String; 10] {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let ip = |end: Option<SocketAddr>| end.map_or_else(String::new, |end| end.ip().to_string());
    let port = |end: Option<SocketAddr>| end.map_or_else(String::new, |end| end.port().to_string());
    [
        failure.code.to_string(),
        failure.syscall.to_owned(),
        text(&failure.address),
        failure
            .port
            .map_or_else(String::new, |port| port.to_string()),
        text(&failure.hostname),
        failure.message.clone(),
        ip(failure.local),
        port(failure.local),
        ip(failure.target),
        port(failure.target),
    ]
}
