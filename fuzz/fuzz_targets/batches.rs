//! A batch of commands of which some make no sense: each that does is found, in order, as it was written, and each that does
//! not is refused under its own number. The input chooses the commands, their numbers (few, and the largest), their payloads
//! and which of them are spoiled.

#![no_main]

use bytes::Bytes;
use keepwire::fuzzing::{command, Command, Commands, Input, ALIGN};
use libfuzzer_sys::fuzz_target;

const LARGEST: u64 = (1 << 53) - 1;

fn encode(out: &mut Vec<u8>, op: u8, id: u64, payload: &[u8]) {
    out.extend([op, 0, 0, 0]);
    out.extend((payload.len() as u32).to_le_bytes());
    out.extend(id.to_le_bytes());
    out.extend(payload);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

#[derive(Debug, PartialEq)]
enum Expected {
    Write(u64, Vec<u8>),
    Ack(u64, usize),
    Begin(u64, u32),
    Close(u32),
    Refused(u64),
}

fuzz_target!(|input: &[u8]| {
    let mut batch = Vec::new();
    let mut expected = Vec::new();
    let mut rest = input;
    while let [choice, number, length, more @ ..] = rest {
        let (payload, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        let id = match number % 8 {
            7 => LARGEST - u64::from(number / 8),
            small => u64::from(small) + 1,
        };
        let four = [*number, *length, 1, 2];
        match choice % 8 {
            0 => {
                encode(&mut batch, command::WRITE, id, payload);
                expected.push(Expected::Write(id, payload.to_vec()));
            }
            1 => {
                encode(&mut batch, command::ACK, id, &four);
                expected.push(Expected::Ack(id, u32::from_le_bytes(four) as usize));
            }
            2 => {
                encode(&mut batch, command::BEGIN, id, &[four, four].concat());
                expected.push(Expected::Begin(id, u32::from_le_bytes(four)));
            }
            3 => {
                encode(&mut batch, command::ABORT, id, &four);
                expected.push(Expected::Close(u32::from_le_bytes(four)));
            }
            // Spoiled: too short, unknown, no such connection, no request.
            4 => {
                encode(&mut batch, command::BEGIN, id, &payload[..payload.len().min(7)]);
                expected.push(Expected::Refused(id));
            }
            5 => {
                encode(&mut batch, 100 | choice, id, payload);
                expected.push(Expected::Refused(id));
            }
            6 => {
                encode(&mut batch, command::CLOSE, id | 1 << 40, payload);
                expected.push(Expected::Refused(id | 1 << 40));
            }
            _ => {
                let text = [b"GET\0no url\0".as_slice(), payload].concat();
                encode(&mut batch, command::FETCH, id, &text);
                expected.push(Expected::Refused(id));
            }
        }
    }
    let found: Vec<Expected> = Commands::new(Bytes::from(batch))
        .map(|command| match command {
            Command::Exchange(id, Input::Write { bytes, .. }) => Expected::Write(id, bytes.to_vec()),
            Command::Exchange(id, Input::Ack(bytes)) => Expected::Ack(id, bytes),
            Command::Begin(conn, begin) => Expected::Begin(begin.exchange, conn),
            Command::Close(conn) => Expected::Close(conn),
            Command::Refused(id, _) => Expected::Refused(id),
            other => panic!("nobody wrote {other:?}"),
        })
        .collect();
    assert_eq!(found, expected);
});
