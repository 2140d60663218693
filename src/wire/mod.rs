//! From the bytes of a webhook to an [`Event`](crate::model::Event), without I/O.
//!
//! # Guarantees
//!
//! - [`verify`] looks at the raw bytes alone, compares in constant time, and tries every live
//!   secret; nothing is parsed before it holds.
//! - [`parse`] reads only the fields that are used, copies nothing else, and never panics,
//!   whatever the bytes.
//! - What is malformed is told apart: bytes that are no JSON ([`WireError::NotJson`], refused) and
//!   JSON that GitHub signed but that lacks what its event must have ([`WireError::Poison`], kept).

mod comment;
mod head;
mod occasion;
mod parse;
mod payload;
mod private_key;
mod signature;

pub use head::{HeadError, check_head};
pub use occasion::occasion;
pub use parse::{Message, Parsed, Poison, WireError, event_label, parse};
pub use private_key::{KeyFault, KeyText, key_file, key_text, unquoted};
pub use signature::{Secrets, SignatureError, WeakSecret, has_edges, sign, verify};
