//! Panics on demand, for the addon that `npm run faults` builds: no other has this.

use std::sync::mpsc;

use napi_derive::napi;

use crate::faults::{self, FaultPoint};
use crate::io_thread;

/// The next time that the I/O thread, or this one (`here`), comes to the point of that name, it panics. Returns when that is so;
/// false: there is no such point.
#[napi]
pub fn inject_fault(point: String, here: Option<bool>) -> bool {
    let Some(point) = FaultPoint::named(&point) else {
        return false;
    };
    if here == Some(true) {
        faults::inject(point);
        return true;
    }
    let (tell, armed) = mpsc::channel();
    io_thread::run(move || {
        faults::inject(point);
        let _ = tell.send(());
    });
    armed.recv().is_ok()
}
