//! Ports, and what is asked by one: leases, check-ins, commands in, records out.
//!
//! These calls are answered at once. They are functions, since finding the instance behind a method's `this` costs more than most
//! of them do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::{Buffer, BufferSlice, Either, Function, Object, Uint32Array};
use napi::{Env, Result};
use napi_derive::napi;
use once_cell::sync::{Lazy, OnceCell};

use super::bell::Bell;
use super::completion::{Chunk, Completions, Fetched, Wake};
use super::content::close_contents;
use super::in_loop;
use super::layout::{check_in as checked, leased, purpose};
use super::lending;
use super::submission::{self, Command, Commands, Submission};
use crate::connect::SocketOption;
use crate::engine::{connections, ADOPTS, ENGINE};
use crate::exchange::mailbox::Piece;
use crate::fetch;
use crate::io_thread;
use crate::pool::{AgentId, CheckIn, ExchangeId, KeyId, Kind, Lease, PortId, Stay, WaiterId};

/// The longest idle time that [`lease`] can report: a double has 53 bits, and 32 are the connection's.
const MOST_IDLE_MS: u64 = (1 << 21) - 1;

/// One JavaScript thread's way into the engine.
struct Port {
    completions: Arc<Completions>,
    bell: Arc<Bell>,
    active: bool,
}

/// The ports that are open, by number: JavaScript holds nothing of ours that its runtime could free too early. (Deno
/// frees instances of classes before its last wake-up.)
static PORTS: Lazy<Mutex<HashMap<PortId, Port>>> = Lazy::new(Mutex::default);

fn ports() -> MutexGuard<'static, HashMap<PortId, Port>> {
    PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn completions(port: PortId) -> Option<Arc<Completions>> {
    ports().get(&port).map(|port| Arc::clone(&port.completions))
}

/// Gives the addon's exports what JavaScript does in the addon's own realm.
#[napi(module_exports)]
pub fn exports(exports: Object<'_>, env: Env) -> Result<()> {
    let run: Function<'_, Object<'_>, ()> = env.run_script(include_str!("contexts.js"))?;
    run.call(exports)
}

/// Opens a port for a context of this thread. `wake` is the environment's: called on this thread with the port's number when records
/// wait, once until `drain`; it keeps no process alive by itself. The port is open until its environment ends or it is closed.
#[napi]
pub fn open_port(env: Env, wake: Function<'_, PortId, ()>) -> Result<PortId> {
    let bell = Bell::of(&env, wake, shut_all)?;
    let number = Arc::new(OnceCell::new());
    let call: Wake = {
        let (bell, number) = (Arc::clone(&bell), Arc::clone(&number));
        Box::new(move || {
            if let Some(&port) = number.get() {
                bell.ring(port);
            }
        })
    };
    let completions = Completions::new(call);
    let id = ENGINE.open_port(Arc::clone(&completions) as _);
    number.get_or_init(|| id);
    let port = Port {
        completions,
        bell,
        active: false,
    };
    ports().insert(id, port);
    Ok(id)
}

/// Its context is gone: nobody asks for anything by this port any more.
#[napi]
pub fn close_port(env: Env, port: PortId) -> Result<()> {
    shut(port).map_or(Ok(()), |bell| bell.set_active(&env, false))
}

/// Nobody is woken any more, and what the port held is closed.
///
/// Returns its bell if that keeps the event loop alive on its behalf.
fn shut(id: PortId) -> Option<Arc<Bell>> {
    let port = ports().remove(&id)?;
    close_contents(id);
    in_loop::close(id);
    lending::reclaim_all(id);
    port.completions.close();
    io_thread::run(move || fetch::abort_port(id));
    ENGINE.close_port(id);
    port.active.then_some(port.bell)
}

/// The environment ends.
fn shut_all(bell: &Arc<Bell>) {
    let of_bell = |(&id, port): (&PortId, &Port)| Arc::ptr_eq(&port.bell, bell).then_some(id);
    let ids: Vec<PortId> = ports().iter().filter_map(of_bell).collect();
    for id in ids {
        shut(id);
    }
}

/// Lets the port carry exchanges by itself if their BEGIN allows that: in its environment's event loop, or, if it `looks`, by [`look`].
/// False: it can't. `wake` as for `openPort`.
#[napi]
pub fn open_loop(env: Env, port: PortId, wake: Function<'_, PortId, ()>, looks: bool) -> bool {
    let wake = (!looks).then_some(&wake);
    let opened = completions(port).zip(in_loop::open(&env, port, wake));
    if let Some((completions, in_loop)) = &opened {
        completions.carry_by(Arc::clone(in_loop));
    }
    opened.is_some()
}

/// Looks whether something has come for exchanges that the port carries by itself. What has waited for longer than that goes to the I/O
/// thread. Bits of [`super::layout::looked`].
#[napi]
pub fn look(port: PortId, microseconds: u32) -> u32 {
    in_loop::look(port, Duration::from_micros(microseconds.into()))
}

/// While `active` the event loop stays alive.
#[napi]
pub fn set_active(env: Env, port: PortId, active: bool) -> Result<()> {
    let bell = match ports().get_mut(&port) {
        Some(port) if port.active != active => {
            port.active = active;
            Arc::clone(&port.bell)
        }
        _ => return Ok(()),
    };
    bell.set_active(&env, active)
}

/// Whether JavaScript looks names up for this port, asked by LOOKUP. Else the system's resolver does.
#[napi]
pub fn set_looks_up(port: PortId, on: bool) {
    if let Some(completions) = completions(port) {
        completions.set_looks_up(on);
    }
}

/// The connection is its user's alone: it is never shared.
#[napi]
pub fn bind(conn: u32) {
    ENGINE.bind(conn);
}

/// The type of service of what a connection sends, after setting it unless `class` is negative; minus the system's number of
/// an error; `null`: it has none, as a Unix socket or while it is being opened. Waits for the I/O thread.
#[napi]
pub fn type_of_service(conn: u32, class: i32) -> Option<i32> {
    let (tell, told) = std::sync::mpsc::channel();
    connections::run(move |all| {
        let done = match u8::try_from(class) {
            Ok(class) => all.set_option(conn, SocketOption::TypeOfService(class)),
            Err(_) => None,
        };
        let now = match done {
            Some(Err(err)) => Some(Err(err)),
            _ => all.type_of_service(conn),
        };
        drop(tell.send(now));
    });
    // An error: there is no I/O thread any more, and the job was dropped.
    match told.recv().ok()?? {
        Ok(class) => Some(class.into()),
        Err(err) => err.raw_os_error().map(|raw| -raw),
    }
}

/// Takes an exchange out of the queue; false if it has its turn already.
#[napi]
pub fn cancel(port: PortId, exchange: f64) -> bool {
    let exchange = exchange as ExchangeId;
    ENGINE.cancel(WaiterId { port, exchange })
}

/// Connections that closed while idle since the last call.
#[napi]
pub fn closed_idle(port: PortId) -> Option<Uint32Array> {
    let closed = completions(port)?.take_closed_idle();
    (!closed.is_empty()).then(|| Uint32Array::new(closed))
}

/// Moves records into `buffer`: bytes moved, 0 if there are none, or minus the bytes that the next record needs.
#[napi]
pub fn drain(port: PortId, mut buffer: BufferSlice<'_>) -> f64 {
    match completions(port).map(|completions| completions.fetch(&mut buffer)) {
        Some(Fetched::Bytes(count)) => count as f64,
        Some(Fetched::Needs(count)) => -(count as f64),
        None => 0.0,
    }
}

/// The next chunk that a DATA record announced: the buffer that was lent for it, else memory of the engine's, or `owned`, a copy.
#[napi]
pub fn take_chunk<'env>(
    env: &'env Env,
    port: PortId,
    owned: bool,
) -> Result<Either<BufferSlice<'env>, Buffer>> {
    let chunk = completions(port).and_then(|completions| completions.take_chunk());
    let bytes = match chunk {
        Some(Chunk::Lent(exchange)) => match lending::reclaim(port, exchange) {
            Some(buffer) => return Ok(Either::B(buffer)),
            // Whoever has lent it has given up.
            None => Bytes::new(),
        },
        Some(Chunk::Owned(bytes)) => bytes,
        None => Bytes::new(),
    };
    let chunk = if owned {
        BufferSlice::copy_from(env, &bytes)
    } else {
        BufferSlice::from_data(env, bytes)
    };
    chunk.map(Either::A)
}

/// Asks for a connection, for a purpose: `conn * 8`, plus what came of it ([`leased`]), plus 2^32 times, for an idle
/// connection, how many ms it was, for one that is dialed, why ([`crate::pool::Miss::number`]).
#[napi]
pub fn lease(
    port: PortId,
    agent: AgentId,
    key: KeyId,
    profile: u32,
    exchange: f64,
    purpose: u32,
) -> f64 {
    let kind = match purpose {
        purpose::FALLBACK => Kind::Fallback,
        purpose::NOT_RETRYABLE => Kind::NotRetryable,
        _ => Kind::Retryable,
    };
    let exchange = exchange as ExchangeId;
    let waiter = WaiterId { port, exchange };
    let (lease, miss) = ENGINE.lease(agent, key, profile, waiter, kind);
    let (conn, code, more) = match lease {
        Lease::Queued => (0, leased::QUEUED, 0),
        Lease::Idle { conn, idle_ms } => {
            let idle_ms = idle_ms.min(MOST_IDLE_MS);
            (conn, leased::IDLE, idle_ms as u32)
        }
        Lease::Dial { conn } if miss == ADOPTS => (conn, leased::ADOPTING, 0),
        Lease::Dial { conn } => (conn, leased::DIALING, u32::from(miss)),
        Lease::Granted => (0, leased::FALLBACK, 0),
        Lease::QueueFull => (0, leased::QUEUE_FULL, 0),
    };
    f64::from(more) * 4_294_967_296.0 + f64::from(conn) * 8.0 + f64::from(code)
}

/// Ends the lease of a connection that is in order, and says how ([`checked`]). It may be idle for `idle_limit_ms`, which
/// may also be [`checked::UNUSED`] or, without a limit, another negative number.
#[napi]
pub fn check_in(conn: u32, idle_limit_ms: f64) -> u32 {
    let stay = match idle_limit_ms {
        limit if limit >= 0.0 => Stay::For(limit as u64),
        checked::UNUSED => Stay::Unused,
        _ => Stay::Unlimited,
    };
    match ENGINE.check_in(conn, stay) {
        CheckIn::Closed(_) | CheckIn::Unknown => checked::CLOSED,
        CheckIn::Idle => checked::IDLE,
        CheckIn::Handed(_) => checked::HANDED,
    }
}

/// Hands over the first `length` bytes of commands. `in_loop`: this thread may carry some of them out.
#[napi]
pub fn submit(port: PortId, commands: BufferSlice<'_>, length: u32, in_loop: bool) {
    hand_over(port, &commands, length, in_loop, None);
}

/// Hands over commands and a large piece of a request's body behind them: the head is not sent by itself while the piece is copied. Flags
/// as of WRITE. True: there are records.
#[napi]
pub fn submit_body(
    port: PortId,
    exchange: f64,
    chunk: BufferSlice<'_>,
    flags: u32,
    commands: BufferSlice<'_>,
    length: u32,
    in_loop: bool,
) -> bool {
    let piece = submission::piece(&chunk, flags as u8);
    let work = || {
        hand_over(
            port,
            &commands,
            length,
            in_loop,
            Some((exchange as ExchangeId, piece)),
        );
    };
    in_loop::heard(port, work)
}

/// Has this thread carry out what it may of commands and of a piece of a body behind them (`in_loop`), and the I/O thread the rest.
fn hand_over(
    port: PortId,
    commands: &[u8],
    length: u32,
    in_loop: bool,
    piece: Option<(ExchangeId, Piece<'_>)>,
) {
    let length = (length as usize).min(commands.len());
    let commands = Commands::new(Bytes::copy_from_slice(&commands[..length]));
    let submission = if in_loop || in_loop::is_busy() {
        let rest = in_loop::carry_out(port, commands, piece);
        if rest.is_empty() {
            return;
        }
        Submission::of(port, rest)
    } else if let Some((exchange, piece)) = piece {
        let piece = Command::Exchange(exchange, piece.kept());
        Submission::of(port, commands.chain(Some(piece)).collect())
    } else {
        Submission::new(port, commands)
    };
    match io_thread::ready() {
        Ok(()) => connections::run(move |all| submission.carry_out(all)),
        Err(failure) => submission.refuse(&failure),
    }
}
