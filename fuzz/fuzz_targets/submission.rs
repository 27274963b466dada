//! Any bytes decode into commands, without panic, none that reads beyond what was submitted, and the same for a submission as
//! for the rest of it after its first command.

#![no_main]

use bytes::Bytes;
use keepwire::fuzzing::{Command, Commands, Input, COMMAND_HEADER};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let all: Vec<Command> = Commands::new(Bytes::copy_from_slice(bytes)).collect();
    assert!(all.len() <= bytes.len() / COMMAND_HEADER);
    let mut payload = 0;
    for command in &all {
        if let Command::Exchange(_, Input::Write { bytes, .. }) = command {
            payload += bytes.len();
        }
    }
    assert!(payload + all.len() * COMMAND_HEADER <= bytes.len());
    // Where a batch is cut decides about the command that is cut, and about none before it.
    let shorter = &bytes[..bytes.len() / 2];
    let some: Vec<Command> = Commands::new(Bytes::copy_from_slice(shorter)).collect();
    assert!(some.len() <= all.len());
    let whole = some.len().saturating_sub(1);
    for (one, other) in some.iter().zip(&all).take(whole) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
});
