//! Records: what the engine tells JavaScript, gathered until JavaScript fetches it.
//!
//! One flag coalesces wake-ups: set by whoever wakes, cleared by the fetch. On the I/O thread a wake-up waits until that
//! thread has nothing else to do (or [`WAKE_AFTER_RECORDS`] have come), so one serves a batch.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use super::head_cache::{HeadCache, Told};
use super::layout::{leased, record, ALIGN, RECORD_HEADER};
use super::tls::secured_text;
use crate::config::{INLINE_BODY, WAKE_AFTER_RECORDS};
use crate::connect::tls::Secured;
use crate::connect::Connected;
use crate::error::{Failure, Prospect};
use crate::exchange::events::{Assigned, Events, Replaces, Response};
use crate::http1::version::Version;
use crate::io_thread::{self, AfterTurn};
use crate::pool::{CloseReason, ConnId, ExchangeId};

/// Calls into JavaScript's thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// The records of one port.
pub struct Completions {
    me: Weak<Completions>,
    queue: Mutex<Queue>,
    wake: Mutex<Option<Wake>>,
    /// JavaScript has been woken and has not fetched yet.
    woken: AtomicBool,
    /// The I/O thread has this port on its list of those to wake.
    listed: AtomicBool,
    undelivered: AtomicU32,
    /// JavaScript looks names up, and not the system.
    looks_up: AtomicBool,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Where the records begin that have not been fetched.
    start: usize,
    /// Where those begin that are fetched with a failure behind them.
    held: Option<usize>,
    chunks: VecDeque<Chunk>,
    closed_idle: Vec<ConnId>,
    heads: HeadCache,
}

/// What DATA records announce.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of the engine's.
    Owned(Vec<u8>),
    /// The buffer that JavaScript has lent for this exchange.
    Lent(ExchangeId),
}

/// What a fetch gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// So many bytes of whole records.
    Bytes(usize),
    /// The next record alone needs a buffer of so many bytes.
    Needs(usize),
}

impl Completions {
    /// An empty queue whose owner is woken by `wake`.
    pub fn new(wake: Wake) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            queue: Mutex::default(),
            wake: Mutex::new(Some(wake)),
            woken: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            undelivered: AtomicU32::new(0),
            looks_up: AtomicBool::new(false),
        })
    }

    /// Says who looks names up from now on.
    pub fn set_looks_up(&self, on: bool) {
        self.looks_up.store(on, Ordering::Relaxed);
    }

    /// Wakes nobody from now on.
    pub fn close(&self) {
        self.set_looks_up(false);
        drop(
            self.wake
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves whole records into `buffer`.
    pub fn fetch(&self, buffer: &mut [u8]) -> Fetched {
        self.woken.store(false, Ordering::Release);
        let mut queue = self.queue();
        let Queue {
            bytes,
            start,
            held,
            closed_idle,
            ..
        } = &mut *queue;
        let records = &bytes[*start..held.unwrap_or(bytes.len())];
        let mut end = records.len();
        if end > buffer.len() {
            end = 0;
            loop {
                let len = record_len(&records[end..]);
                if end + len > buffer.len() {
                    break;
                }
                end += len;
            }
            if end == 0 {
                return Fetched::Needs(record_len(records));
            }
        }
        buffer[..end].copy_from_slice(&records[..end]);
        *start += end;
        if *start == bytes.len() {
            bytes.clear();
            *start = 0;
            *held = held.map(|_| 0);
            // A burst's memory is given back; the steady state's is kept.
            bytes.shrink_to(1 << 20);
            self.undelivered.store(0, Ordering::Relaxed);
            // Their CLOSED records have just been fetched.
            closed_idle.clear();
        }
        Fetched::Bytes(end)
    }

    /// The next chunk that a DATA record announced.
    pub fn take_chunk(&self) -> Option<Chunk> {
        self.queue().chunks.pop_front()
    }

    /// Connections that closed while idle since the last call.
    pub fn take_closed_idle(&self) -> Vec<ConnId> {
        std::mem::take(&mut self.queue().closed_idle)
    }

    /// Appends a record and sees to it that it is fetched; a lazy one waits for [`Events::wake`] or another.
    fn push(&self, lazy: bool, write: impl FnOnce(&mut Queue)) {
        write(&mut self.queue());
        let undelivered = self.undelivered.fetch_add(1, Ordering::Relaxed) + 1;
        if lazy || self.woken.load(Ordering::Acquire) {
            return;
        }
        if !io_thread::is_current() || undelivered >= WAKE_AFTER_RECORDS {
            self.wake_now();
        } else if !self.listed.swap(true, Ordering::AcqRel) {
            if let Some(me) = self.me.upgrade() {
                io_thread::tell_after_turn(me);
            }
        }
    }

    fn push_chunk(&self, exchange: ExchangeId, flags: u8, len: usize, chunk: Chunk) {
        let flags = record::EXTERNAL | flags;
        self.push(false, |queue| {
            queue.record(record::DATA, flags, 0, exchange, len as u32, [&[], &[]]);
            queue.chunks.push_back(chunk);
        });
    }

    fn wake_now(&self) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(wake) = &*self.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }
}

impl Queue {
    fn record(&mut self, kind: u8, flags: u8, aux: u16, id: u64, extra: u32, parts: [&[u8]; 2]) {
        let [first, second] = parts;
        let bytes = &mut self.bytes;
        bytes.reserve(RECORD_HEADER + first.len() + second.len() + 2 * ALIGN);
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&aux.to_le_bytes());
        bytes.extend_from_slice(&(first.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&extra.to_le_bytes());
        for part in [first, second] {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        }
    }
}

/// Bytes of the record at the start of `records`, header and padding included.
fn record_len(records: &[u8]) -> usize {
    let field = |at: usize| {
        let bytes = records
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default()) as usize
    };
    let first = field(4).next_multiple_of(ALIGN);
    let second = match records.first() {
        Some(&record::RESPONSE) => field(16).next_multiple_of(ALIGN),
        _ => 0,
    };
    RECORD_HEADER + first + second
}

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
        self.push_chunk(exchange, last, bytes.len(), Chunk::Owned(Vec::from(bytes)));
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
        let flags = prospect | flag(after_head, record::AFTER_HEAD);
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
            Assigned::Foreign => leased::FOREIGN,
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

    fn evict_foreign(&self, agent: u32, key: u32) {
        self.push(false, |queue| {
            queue.record(record::EVICT, 0, 0, key.into(), agent, [&[], &[]]);
        });
    }

    fn wake(&self) {
        self.listed.store(false, Ordering::Release);
        if self.undelivered.load(Ordering::Relaxed) > 0 {
            self.wake_now();
        }
    }
}

impl AfterTurn for Completions {
    fn after_turn(&self) {
        self.wake();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_buffer_comes_back_in_its_place_among_the_chunks() {
        let completions = Completions::new(Box::new(|| {}));
        let chunk = vec![7; INLINE_BODY];
        completions.data(1, chunk.clone().into(), false);
        completions.filled(2, INLINE_BODY);
        completions.data(3, chunk.clone().into(), false);
        let mut buffer = [0; 200];
        let length = 3 * RECORD_HEADER;
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(length));
        assert_eq!(completions.take_chunk(), Some(Chunk::Owned(chunk.clone())));
        assert_eq!(completions.take_chunk(), Some(Chunk::Lent(2)));
        assert_eq!(completions.take_chunk(), Some(Chunk::Owned(chunk)));
        assert_eq!(completions.take_chunk(), None);
    }

    #[test]
    fn a_fetch_moves_whole_records_only() {
        let completions = Completions::new(Box::new(|| {}));
        for _ in 0..3 {
            completions.data(1, Bytes::from_static(b"hello"), false);
        }
        let mut buffer = [0; 60];
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(56));
        assert_eq!(completions.fetch(&mut buffer[..20]), Fetched::Needs(28));
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(28));
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(0));
    }

    #[test]
    fn what_is_held_is_fetched_with_the_failure_behind_it() {
        let completions = Completions::new(Box::new(|| {}));
        let mut buffer = [0; 1024];
        for before in [0, 1] {
            for _ in 0..before {
                completions.end(1, true, true, &[]);
            }
            completions.hold();
            completions.end(2, true, true, &[]);
            let length = before * RECORD_HEADER;
            assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(length));
            assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(0));
            completions.failed(2, &Failure::hang_up(), true);
            let Fetched::Bytes(length) = completions.fetch(&mut buffer) else {
                panic!("nothing is left behind");
            };
            assert_eq!(
                [buffer[0], buffer[RECORD_HEADER]],
                [record::END, record::ERROR]
            );
            assert_eq!(length, RECORD_HEADER + record_len(&buffer[RECORD_HEADER..]));
        }
    }

    #[test]
    fn wake_ups_are_coalesced_until_the_fetch() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let completions = Completions::new(Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        completions.end(1, true, true, &[]);
        completions.end(2, true, true, &[]);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        completions.fetch(&mut [0; 64]);
        completions.written(3, 1, false);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        completions.wake();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
