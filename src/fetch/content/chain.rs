//! A body on its way through its codings.
//!
//! [`Content`] is a pure state machine: encoded bytes go in, decoded ones come out, and no call does more than `BUDGET`
//! allows, whatever the bytes say. A few kilobytes may stand for terabytes, or for hours of work that comes to nothing.

use std::io;

use bytes::{Buf, Bytes};

use super::coding::Coding;
use super::stage::{Stage, StagePhase};
use crate::large::Large;

/// Decoded bytes that are made room for at once.
pub const PIECE: usize = 64 * 1024;
/// Between two codings.
const BETWEEN: usize = 32 * 1024;
/// Bytes read and written, in all codings together, after which a call pauses.
const BUDGET: usize = 256 * 1024;

/// Why a call of [`Content::work`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It needs more encoded bytes.
    Hungry,
    /// There are as many decoded bytes as were asked for.
    Full,
    /// It has worked long enough: others are next.
    Paused,
    /// The content is complete.
    Over,
}

/// A body on its way through its decoders.
#[derive(Default)]
pub struct Content {
    /// The first one reads what came.
    stages: Vec<Stage>,
    encoded: Bytes,
    is_last: bool,
    decoded: Large,
}

impl Content {
    /// Content to which `codings` were applied in that order.
    pub fn new(codings: &[Coding]) -> Self {
        Self {
            stages: codings.iter().rev().copied().map(Stage::new).collect(),
            ..Self::default()
        }
    }

    /// Gives it more encoded bytes. It has to be hungry.
    pub fn feed(&mut self, bytes: Bytes) {
        self.encoded = bytes;
    }

    /// There are no more encoded bytes.
    pub fn end(&mut self) {
        self.is_last = true;
    }

    /// What has been decoded and not been taken.
    pub fn decoded(&mut self) -> &mut Vec<u8> {
        &mut self.decoded
    }

    /// Decodes until there are `most` bytes, or something else is in the way.
    ///
    /// # Errors
    ///
    /// What is wrong with the content; what came before that has been decoded.
    pub fn work(&mut self, most: usize) -> io::Result<Progress> {
        let mut budget = BUDGET;
        loop {
            let start = self.decoded.len();
            if start >= most {
                return Ok(Progress::Full);
            }
            self.decoded.resize(start + PIECE.min(most - start), 0);
            let mut written = 0;
            let room = &mut self.decoded[start..];
            let source = (&mut self.encoded, self.is_last);
            let progress = fill(&mut self.stages, source, room, &mut written, &mut budget);
            self.decoded.truncate(start + written);
            match progress {
                Ok(Progress::Full) => {}
                Ok(Progress::Over) => {
                    let source = (&mut self.encoded, self.is_last);
                    return finish(&mut self.stages, source, &mut budget);
                }
                other => return other,
            }
        }
    }
}

/// The last of `stages` is over. What those before it still have is nobody's business, but it must be sound to its end:
/// else it would depend on how the bytes came whether a fault in it is noticed.
fn finish(
    stages: &mut [Stage],
    source: (&mut Bytes, bool),
    budget: &mut usize,
) -> io::Result<Progress> {
    let (encoded, is_last) = source;
    let mut before = match stages.split_last_mut() {
        Some((_, before)) => before,
        None => return Ok(Progress::Over),
    };
    while let Some(last) = before.last_mut() {
        last.start = last.buffer.len();
        match refill(before, (&mut *encoded, is_last), budget)? {
            Progress::Full => {}
            Progress::Over => {
                let rest = before.len() - 1;
                before = &mut before[..rest];
            }
            other => return Ok(other),
        }
    }
    Ok(Progress::Over)
}

/// Has the last of `stages` fill `room`.
fn fill(
    stages: &mut [Stage],
    source: (&mut Bytes, bool),
    room: &mut [u8],
    written: &mut usize,
    budget: &mut usize,
) -> io::Result<Progress> {
    let (encoded, is_last) = source;
    let Some((stage, before)) = stages.split_last_mut() else {
        return Ok(Progress::Over);
    };
    while *written < room.len() {
        if stage.phase == StagePhase::Over {
            return Ok(Progress::Over);
        }
        if *budget == 0 {
            return Ok(Progress::Paused);
        }
        let waiting = match before.last() {
            None => &encoded[..],
            Some(last) => last.buffered(),
        };
        if waiting.is_empty() && !stage.holds_back {
            let more = match before.is_empty() {
                true if is_last => Progress::Over,
                true => Progress::Hungry,
                false => refill(before, (&mut *encoded, is_last), budget)?,
            };
            match more {
                Progress::Full => {}
                Progress::Over => stage.end()?,
                other => return Ok(other),
            }
            continue;
        }
        let step = stage.step(waiting, &mut room[*written..])?;
        match before.last_mut() {
            None => encoded.advance(step.read),
            Some(last) => last.start += step.read,
        }
        *written += step.written;
        *budget = budget.saturating_sub(step.cost);
    }
    Ok(Progress::Full)
}

/// Has the last of `stages` fill its empty buffer; full: there is something in it.
fn refill(
    stages: &mut [Stage],
    source: (&mut Bytes, bool),
    budget: &mut usize,
) -> io::Result<Progress> {
    let Some(last) = stages.last_mut() else {
        return Ok(Progress::Over);
    };
    let mut buffer = std::mem::take(&mut last.buffer);
    buffer.resize(BETWEEN, 0);
    let mut written = 0;
    let progress = fill(stages, source, &mut buffer, &mut written, budget);
    if let Some(last) = stages.last_mut() {
        buffer.truncate(written);
        last.buffer = buffer;
        last.start = 0;
    }
    match progress {
        // Whatever stopped it will do so again.
        Ok(_) if written > 0 => Ok(Progress::Full),
        other => other,
    }
}

/// Content whose decoders panic.
#[cfg(test)]
pub fn panicking() -> Content {
    let mut content = Content::new(&[Coding::Gzip, Coding::Gzip]);
    content.stages[0].start = 1;
    content
}
