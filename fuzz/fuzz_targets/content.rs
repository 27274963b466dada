//! Any bytes come to an end, without a panic, in calls that do little, and to the same whether they come at once or in
//! pieces. The first bytes of the input say which codings, and how it is split.

#![no_main]

use bytes::Bytes;
use keepwire::fuzzing::{Coding, Content, Progress};
use libfuzzer_sys::fuzz_target;

const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];
/// A few bytes may stand for any number: so many calls are enough to judge by.
const MOST_CALLS: usize = 400;

/// `None`: there is more than is worth looking at.
fn decode(codings: &[Coding], encoded: &[u8], size: usize, most: usize) -> Option<Result<Vec<u8>, String>> {
    let mut content = Content::new(codings);
    let mut rest = encoded.chunks(size.max(1));
    let mut all = Vec::new();
    for _ in 0..MOST_CALLS + encoded.len() {
        let progress = content.work(most);
        assert!(content.decoded().len() <= most);
        all.append(content.decoded());
        match progress {
            Ok(Progress::Hungry) => match rest.next() {
                Some(piece) => content.feed(Bytes::copy_from_slice(piece)),
                None => content.end(),
            },
            Ok(Progress::Over) => return Some(Ok(all)),
            Ok(Progress::Full | Progress::Paused) => {}
            Err(error) => return Some(Err(error.to_string())),
        }
    }
    None
}

fuzz_target!(|input: &[u8]| {
    let [kinds, size, encoded @ ..] = input else {
        return;
    };
    let mut codings = vec![CODINGS[usize::from(kinds & 3)]];
    if kinds & 0x80 != 0 {
        codings.push(CODINGS[usize::from(kinds >> 2 & 3)]);
    }
    let whole = decode(&codings, encoded, encoded.len(), 1 << 20);
    let pieces = decode(&codings, encoded, usize::from(*size), 1 << 16);
    if let (Some(whole), Some(pieces)) = (whole, pieces) {
        assert_eq!(whole.is_ok(), pieces.is_ok(), "{whole:?} {pieces:?}");
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            assert!(whole == pieces);
        }
    }
});
