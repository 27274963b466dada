//! What `fetch()` registers before it sends requests for the client.

use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::fetch::clients::{self, Identity};

/// The number of the client that trusts these certificate authorities (PEM), or any.
#[napi]
pub fn fetch_client(trusted_pem: String, verify: bool) -> Result<u32> {
    let number = clients::intern(Identity {
        trusted: trusted_pem,
        verify,
    });
    // What a command has room for.
    if number > u16::MAX.into() {
        let message = "too many different sets of trusted certificates";
        return Err(Error::new(Status::GenericFailure, message));
    }
    Ok(number)
}
