//! What `fetch()` registers before it sends requests for the client.

use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::fetch::reqwest::{clients, request};

/// The number of the client that has the TLS settings of a number.
#[napi]
pub fn fetch_client(tls: u32) -> Result<u32> {
    let unknown = || Error::new(Status::InvalidArg, "no such TLS settings");
    let number = clients::intern(tls).ok_or_else(unknown)?;
    // What a command has room for.
    if number > u16::MAX.into() {
        let message = "too many different TLS settings";
        return Err(Error::new(Status::GenericFailure, message));
    }
    Ok(number)
}

/// Whether the client can make sense of a URL.
#[napi]
pub fn can_carry(url: String) -> bool {
    request::makes_sense(&url)
}
