//! The event loop of Node, to hear of a descriptor on the JavaScript thread itself: the one module with `unsafe`.
//!
//! Why it is needed: whoever answers a request on the thread that asked must be called by that thread's loop, and Node-API has no
//! call for that but the loop itself. Why it is sound:
//! * libuv's functions are looked up when they are first needed, by name and with the types of its headers, which are stable within
//!   libuv 1. Where one is missing (Deno, Bun, other builds) there is no loop: that thread looks by itself, or the I/O thread does it all.
//! * Handles and what belongs to them are used on the thread of their loop only: [`Loop`] can't leave it. They are libuv's
//!   from `uv_*_init` until the callback of `uv_close`, which frees them.
//! * No panic and no exception leaves a callback.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void, CStr};
use std::ptr::null_mut;
use std::rc::Rc;

use libloading::os::unix::Library;
use napi::bindgen_prelude::{Function, JsValue};
use napi::sys;
use napi::Env;
use once_cell::sync::OnceCell;

use crate::contain::contain;
use crate::pool::PortId;

type Handle = *mut c_void;
type OnPoll = unsafe extern "C" fn(Handle, c_int, c_int);
type OnClose = unsafe extern "C" fn(Handle);

const UV_POLL: c_int = 8;
const UV_READABLE: c_int = 1;

/// The functions of libuv that are used here.
struct Libuv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    poll_init: unsafe extern "C" fn(*mut c_void, Handle, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(Handle, c_int, OnPoll) -> c_int,
    unref: unsafe extern "C" fn(Handle),
    close: unsafe extern "C" fn(Handle, OnClose),
    set_data: unsafe extern "C" fn(Handle, *mut c_void),
    get_data: unsafe extern "C" fn(Handle) -> *mut c_void,
}

static LIBUV: OnceCell<Option<Libuv>> = OnceCell::new();

impl Libuv {
    fn get() -> Option<&'static Self> {
        LIBUV.get_or_init(Self::find).as_ref()
    }

    fn find() -> Option<Self> {
        let this = Library::this();
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the type is that of libuv's header, and the process never unloads itself.
                *unsafe { this.get($name) }.ok()?
            };
        }
        let version: unsafe extern "C" fn() -> c_uint = function!(b"uv_version\0");
        // SAFETY: it takes nothing and reads a constant.
        if unsafe { version() } >> 16 != 1 {
            return None;
        }
        Some(Self {
            handle_size: function!(b"uv_handle_size\0"),
            poll_init: function!(b"uv_poll_init\0"),
            poll_start: function!(b"uv_poll_start\0"),
            unref: function!(b"uv_unref\0"),
            close: function!(b"uv_close\0"),
            set_data: function!(b"uv_handle_set_data\0"),
            get_data: function!(b"uv_handle_get_data\0"),
        })
    }

    /// Memory for a handle, zeroed.
    fn allocate(&self) -> Handle {
        // SAFETY: a constant of libuv.
        let size = unsafe { (self.handle_size)(UV_POLL) };
        // Words, for their alignment.
        let words = vec![0_u64; size.div_ceil(8)].into_boxed_slice();
        Box::into_raw(words).cast()
    }

    /// What [`Self::allocate`] gave.
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    unsafe fn free(&self, handle: Handle) {
        let words = (self.handle_size)(UV_POLL).div_ceil(8);
        let slice = std::ptr::slice_from_raw_parts_mut(handle.cast::<u64>(), words);
        drop(Box::from_raw(slice));
    }
}

/// What is called on the loop's thread when something can be read; it answers which ports have records that nobody was woken for.
pub type Ready = Box<dyn Fn() -> Vec<PortId>>;

/// What the handle points to.
struct Shared {
    uv: &'static Libuv,
    env: sys::napi_env,
    wake: sys::napi_ref,
    context: sys::napi_async_context,
    ready: Ready,
}

/// A descriptor on the loop of an environment; keeps no process alive.
pub struct Loop {
    poll: Handle,
    shared: Rc<Shared>,
}

impl Loop {
    /// `ready` is called when there is something to read on `descriptor`, until this is dropped, which must be before that is closed and
    /// while the environment lives. `wake` is called for each port that has records.
    pub fn new(
        env: &Env,
        descriptor: i32,
        wake: &Function<'_, PortId, ()>,
        ready: Ready,
    ) -> Option<Self> {
        let uv = Libuv::get()?;
        let raw = env.raw();
        let mut uv_loop: *mut sys::uv_loop_s = null_mut();
        let (mut reference, mut context) = (null_mut(), null_mut());
        // SAFETY: calls of Node-API with the environment of this call, on its thread.
        unsafe {
            if sys::napi_get_uv_event_loop(raw, &mut uv_loop) != sys::Status::napi_ok {
                return None;
            }
            let mut name = null_mut();
            const NAME: &CStr = c"keepwire";
            let named = sys::napi_create_string_latin1(raw, NAME.as_ptr(), 8, &mut name);
            if named != sys::Status::napi_ok
                || sys::napi_async_init(raw, null_mut(), name, &mut context) != sys::Status::napi_ok
            {
                return None;
            }
            let made = sys::napi_create_reference(raw, wake.value().value, 1, &mut reference);
            if made != sys::Status::napi_ok {
                sys::napi_async_destroy(raw, context);
                return None;
            }
        }
        let shared = Rc::new(Shared {
            uv,
            env: raw,
            wake: reference,
            context,
            ready,
        });
        let poll = uv.allocate();
        // SAFETY: fresh memory of that kind's size, the loop of this thread, an open descriptor.
        let is_made = unsafe { (uv.poll_init)(uv_loop.cast(), poll, descriptor) } == 0;
        if !is_made {
            // SAFETY: a handle that could not be made is not the loop's.
            unsafe { uv.free(poll) };
            return None;
        }
        // SAFETY: a poll handle that was made can be started. What it points to lives until it is closed.
        unsafe {
            (uv.set_data)(poll, Rc::into_raw(Rc::clone(&shared)).cast_mut().cast());
            (uv.unref)(poll);
            (uv.poll_start)(poll, UV_READABLE, on_poll);
        }
        Some(Self { poll, shared })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let Shared {
            uv,
            env,
            wake,
            context,
            ..
        } = *self.shared;
        // SAFETY: a handle of this thread's loop that nobody has closed, once; the environment lives.
        unsafe {
            (uv.close)(self.poll, on_closed);
            sys::napi_delete_reference(env, wake);
            sys::napi_async_destroy(env, context);
        }
    }
}

/// # Safety
///
/// The handle of [`Loop::new`], not closed, on its thread.
unsafe extern "C" fn on_poll(handle: Handle, _status: c_int, _events: c_int) {
    let Some(uv) = Libuv::get() else { return };
    let shared: *const Shared = (uv.get_data)(handle).cast();
    Rc::increment_strong_count(shared);
    // The environment may end within what is called.
    let shared = Rc::from_raw(shared);
    for port in contain(|| (shared.ready)()).unwrap_or_default() {
        wake(&shared, port);
    }
}

/// # Safety
///
/// The handle of [`Loop::new`], which libuv is done with.
unsafe extern "C" fn on_closed(handle: Handle) {
    if let Some(uv) = Libuv::get() {
        let shared: *const Shared = (uv.get_data)(handle).cast();
        drop(contain(|| drop(Rc::from_raw(shared))));
        uv.free(handle);
    }
}

/// Calls JavaScript as the runtime does: ticks and promises have their turn after it.
///
/// # Safety
///
/// On the environment's thread, outside of JavaScript.
unsafe fn wake(shared: &Shared, port: PortId) {
    let env = shared.env;
    let mut scope = null_mut();
    if sys::napi_open_handle_scope(env, &mut scope) != sys::Status::napi_ok {
        return;
    }
    let (mut function, mut receiver) = (null_mut(), null_mut());
    let (mut argument, mut result) = (null_mut(), null_mut());
    sys::napi_get_reference_value(env, shared.wake, &mut function);
    sys::napi_create_uint32(env, port, &mut argument);
    sys::napi_get_global(env, &mut receiver);
    let status = sys::napi_make_callback(
        env,
        shared.context,
        receiver,
        function,
        1,
        &argument,
        &mut result,
    );
    if status == sys::Status::napi_pending_exception {
        let mut error = null_mut();
        if sys::napi_get_and_clear_last_exception(env, &mut error) == sys::Status::napi_ok {
            sys::napi_fatal_exception(env, error);
        }
    }
    sys::napi_close_handle_scope(env, scope);
}
