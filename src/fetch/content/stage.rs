//! One coding on its way off, member after member.

use std::io;

use super::coding::Coding;
use super::decoder::Decoder;
use super::inflate::{truncated, undecodable};

/// What a call of a decoder costs beyond its bytes, and what a new member does.
const CALL: usize = 64;
const MEMBER: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagePhase {
    /// Nothing has come.
    Fresh,
    Within,
    /// A member is complete; another one may follow.
    Between,
    Over,
}

/// One coding on its way off.
pub struct Stage {
    coding: Coding,
    pub phase: StagePhase,
    decoder: Option<Decoder>,
    /// Its last call has filled its room: there may be more that needs no further bytes.
    pub holds_back: bool,
    /// What it has decoded for the next one; empty for the last.
    pub buffer: Vec<u8>,
    pub start: usize,
}

pub struct Step {
    pub read: usize,
    pub written: usize,
    pub cost: usize,
}

impl Stage {
    pub fn new(coding: Coding) -> Self {
        Self {
            coding,
            phase: StagePhase::Fresh,
            decoder: None,
            holds_back: false,
            buffer: Vec::new(),
            start: 0,
        }
    }

    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// There are no more bytes for it.
    pub fn end(&mut self) -> io::Result<()> {
        if self.phase == StagePhase::Within {
            return Err(truncated());
        }
        // No content at all is no fault.
        self.phase = StagePhase::Over;
        Ok(())
    }

    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> io::Result<Step> {
        let mut cost = CALL;
        if matches!(self.phase, StagePhase::Fresh | StagePhase::Between) {
            let first = input.first().copied().unwrap_or_default();
            // Zeros fill gzip up to the size of a block.
            if self.phase == StagePhase::Between && self.coding == Coding::Gzip && first == 0 {
                self.phase = StagePhase::Over;
                return Ok(Step {
                    read: 0,
                    written: 0,
                    cost,
                });
            }
            match &mut self.decoder {
                Some(decoder) => decoder.begin_again()?,
                decoder => *decoder = Some(Decoder::new(self.coding, first)?),
            }
            self.phase = StagePhase::Within;
            cost += MEMBER;
        }
        let Some(decoder) = &mut self.decoder else {
            return Err(undecodable("no decoder"));
        };
        let (read, written, is_done) = decoder.decode(input, room)?;
        if read == 0 && written == 0 && !is_done && !input.is_empty() {
            return Err(undecodable("no progress"));
        }
        self.holds_back = !is_done && written == room.len();
        if is_done {
            self.phase = match self.coding {
                Coding::Gzip | Coding::Zstd => StagePhase::Between,
                // What follows is nobody's business, as to the runtime.
                Coding::Deflate | Coding::Brotli => StagePhase::Over,
            };
        }
        Ok(Step {
            read,
            written,
            cost: cost + read + written,
        })
    }
}
