//! Panics on demand, for the addon that `npm run faults` builds: no other has this.

use std::sync::mpsc;

use napi_derive::napi;

use crate::faults::{self, Stage};
use crate::io_thread;

/// The next time that the I/O thread, or this one (`here`), comes to the stage of that name, it panics. Returns when that is so;
/// false: there is no such stage.
#[napi]
pub fn inject_fault(stage: String, here: Option<bool>) -> bool {
    let Some(stage) = Stage::named(&stage) else {
        return false;
    };
    if here == Some(true) {
        faults::inject(stage);
        return true;
    }
    let (tell, armed) = mpsc::channel();
    io_thread::run(move || {
        faults::inject(stage);
        let _ = tell.send(());
    });
    armed.recv().is_ok()
}
